"""`c360 simulate`: writes a simulated company's events to a log directory or to Kafka."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import click

from c360_stream.connectors.factory import open_transport
from c360_stream.errors import ConfigurationError
from c360_stream.settings import Settings, load_settings
from c360_stream.tools.simulate import LogDirectorySink, SimulationSpec, SimulationSummary, simulate
from c360_stream.tools.simulate.draft import TRUTH, drafted
from c360_stream.tools.simulate.kafka import KafkaEventSink
from c360_stream.tools.simulate.progress import day_progress
from c360_stream.tools.simulate.resumed import Begun, RestSink, find_begun


def simulate_company(
    *,
    accounts: int,
    days: int,
    seed: int,
    start: date | None,
    scenario: str,
    out: Path | None,
    kafka: str | None,
    truth: Path | None,
) -> None:
    """Simulate, with progress on stderr and a summary on stdout. After an interruption it can be repeated.

    A log directory appears only once it is complete, and a repeat begins anew. Topics keep what was written, and a
    repeat writes the rest.

    Parameters
    ----------
    accounts, days, seed, scenario
        As in `SimulationSpec`.
    start
        First day; None takes the simulation's default.
    out, kafka
        Where the events go: a log directory or brokers, one of the two.
    truth
        Where the true probabilities go; None puts them beside the events.

    Raises
    ------
    ConfigurationError
        If not exactly one place is given, it holds other events already, or the world is impossible.
    TransportError
        If the events could not be written.
    """
    if bool(out) == bool(kafka):
        raise ConfigurationError("c360 simulate writes to one place", "give either --out LOGDIR or --kafka BROKERS")
    settings = load_settings(kafka_brokers=kafka or "")
    prefix = settings.input_prefix or settings.topic_prefix
    spec = SimulationSpec(accounts, days, seed, scenario=scenario, topic_prefix=prefix)
    if start is not None:
        spec = replace(spec, start=start)
    if out is not None:
        _to_directory(spec, out, truth)
    else:
        # Kafka partitions by another hash: our partitions one after the other would be out of order in Kafka's.
        _to_kafka(replace(spec, partitions=1), settings, truth or Path(TRUTH))


def _to_directory(spec: SimulationSpec, out: Path, truth: Path | None) -> None:
    with drafted(out, spec, truth=truth is None) as draft:
        summary = draft.summary
        if not summary:
            sink = LogDirectorySink(draft.directory, spec.topic_prefix, spec.partitions)
            with day_progress("simulating", spec.days) as progress:
                simulated = simulate(spec, sink, truth or draft.directory / TRUTH, progress)
            summary = _summary(spec, simulated, f"in {out}", truth or out / TRUTH)
            draft.publish(summary)
    click.echo(summary)


def _to_kafka(spec: SimulationSpec, settings: Settings, truth: Path) -> None:
    """Write what the topics do not hold yet, a day at a time: a repeat has to look at the last one only."""
    with contextlib.closing(open_transport(settings)) as transport:
        begun = find_begun(transport, settings, spec)
        events = KafkaEventSink(transport, settings, spec)
        if begun is not None:
            click.echo(
                f"c360 simulate: the topics hold this company up to {begun.day}: only the rest is written", err=True
            )
        sink = RestSink(events, begun or Begun(date.min, {}))
        with day_progress("simulating", spec.days) as progress:

            def day_done(day: int, count: int) -> None:
                events.flush()
                progress(day, count)

            simulated = simulate(spec, sink, truth, day_done)
    there = f", {sink.left:,} of them were there already" if begun is not None else ""
    click.echo(_summary(spec, simulated, f"in {settings.kafka_brokers}{there}", truth))


def _summary(spec: SimulationSpec, simulated: SimulationSummary, where: str, truth: Path) -> str:
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in simulated.events.items())
    return (
        f"{sum(simulated.events.values()):,} events ({kinds}) of {spec.accounts:,} accounts over {spec.days:,} days"
        f" {where}; {simulated.cancellations:,} cancellations; truth in {truth}"
    )
