"""`c360 simulate`: writes a simulated company's events to a log directory or to Kafka."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from c360_stream.commands.simulate_out import TRUTH, drafted
from c360_stream.connectors.ports import OutRecord, RecordWriter, Transport
from c360_stream.connectors.transport import open_transport
from c360_stream.errors import ConfigurationError
from c360_stream.settings import INPUT_KINDS, Settings, load_settings
from c360_stream.simulation import LogDirectorySink, SimulationSpec, SimulationSummary, account_of, simulate

LINES_PER_RUN = 10


WORLD_HEADER = "c360-simulation"
"""Header of every simulated event in Kafka: the company that it is of, so that `--live` can go on with it."""


def world_header(spec: SimulationSpec) -> tuple[str, bytes]:
    """What tells a simulated company from another, as JSON."""
    world = {name: getattr(spec, name) for name in ("accounts", "days", "seed", "scenario")}
    return WORLD_HEADER, json.dumps(world | {"start": spec.start.isoformat()}).encode()


class KafkaEventSink:
    """Writes events to the input topics. Kafka places them: the key is the account.

    Parameters
    ----------
    transport
        Stays open as long as this.
    settings
        Name the topics.
    spec
        The company, which every event's header names.

    Raises
    ------
    TransportError
        If a topic is missing, or an event could not be delivered.
    """

    def __init__(self, transport: Transport, settings: Settings, spec: SimulationSpec) -> None:
        self._headers = (world_header(spec),)
        self._writers: dict[str, RecordWriter] = {
            kind: transport.writer(settings.input_topic(kind), None) for kind in INPUT_KINDS
        }

    def write(self, topic_kind: str, partition: int, lines: list[bytes]) -> None:
        """Queue events; waits while the queue is full."""
        self._writers[topic_kind].write([OutRecord(account_of(line), line, self._headers) for line in lines])

    def flush(self) -> None:
        """Wait until every event is acknowledged."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Wait until every event is acknowledged, and close the connections."""
        try:
            self.flush()
        finally:
            for writer in self._writers.values():
                writer.close()


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
    """Simulate, with progress on stderr and a summary on stdout. What was interrupted can be repeated.

    A log directory shows nothing before it is whole, and a repeat begins anew. Topics keep what was written, and a
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
        # Kafka places them, by another hash: one of ours after the other would be out of order in one of Kafka's.
        _to_kafka(replace(spec, partitions=1), settings, truth or Path(TRUTH))


def _to_directory(spec: SimulationSpec, out: Path, truth: Path | None) -> None:
    with drafted(out, spec, truth=truth is None) as draft:
        said = draft.said
        if not said:
            sink = LogDirectorySink(draft.directory, spec.topic_prefix, spec.partitions)
            with day_progress("simulating", spec.days) as progress:
                summary = simulate(spec, sink, truth or draft.directory / TRUTH, progress)
            said = _summary(spec, summary, f"in {out}", truth or out / TRUTH)
            draft.publish(said)
    click.echo(said)


def _to_kafka(spec: SimulationSpec, settings: Settings, truth: Path) -> None:
    """Write what the topics do not hold yet, a day at a time: a repeat has to look at the last one only."""
    from c360_stream.commands.simulate_again import Begun, RestSink, find_begun

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

            summary = simulate(spec, sink, truth, day_done)
    there = f", {sink.left:,} of them were there already" if begun is not None else ""
    click.echo(_summary(spec, summary, f"in {settings.kafka_brokers}{there}", truth))


def _summary(spec: SimulationSpec, summary: SimulationSummary, where: str, truth: Path) -> str:
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in summary.events.items())
    return (
        f"{sum(summary.events.values()):,} events ({kinds}) of {spec.accounts:,} accounts over {spec.days:,} days"
        f" {where}; {summary.cancellations:,} cancellations; truth in {truth}"
    )


@contextlib.contextmanager
def day_progress(title: str, days: int) -> Iterator[Callable[[int, int], None]]:
    """Progress on stderr: a bar on a terminal, else a line now and then.

    Yields the function to call with the days done and the events so far.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        every = max(1, days // LINES_PER_RUN)

        def say(day: int, events: int) -> None:
            if day % every == 0:
                click.echo(f"{title}: day {day:,} of {days:,}, {events:,} events", err=True)

        yield say
        return
    columns = (TextColumn(title), BarColumn(), TextColumn("{task.fields[events]:,} events"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=days, events=0)
        yield lambda day, events: bar.update(task, completed=day, events=events)
