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

from c360_stream.connectors.ports import OutRecord, RecordWriter, Transport
from c360_stream.connectors.transport import open_transport
from c360_stream.errors import ConfigurationError
from c360_stream.settings import INPUT_KINDS, Settings, load_settings
from c360_stream.simulation import EventSink, LogDirectorySink, SimulationSpec, account_of, simulate

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
    """Simulate, with progress on stderr and a summary on stdout.

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
        If not exactly one place is given, it holds events already, or the world is impossible.
    TransportError
        If the events could not be written.
    """
    if bool(out) == bool(kafka):
        raise ConfigurationError("c360 simulate writes to one place", "give either --out LOGDIR or --kafka BROKERS")
    settings = load_settings(kafka_brokers=kafka or "")
    prefix = settings.input_prefix or settings.topic_prefix
    spec = SimulationSpec(accounts, days, seed, scenario=scenario, topic_prefix=prefix)
    if kafka:
        # Kafka places them, by another hash: one of ours after the other would be out of order in one of Kafka's.
        spec = replace(spec, partitions=1)
    if start is not None:
        spec = replace(spec, start=start)
    truth = truth or (out or Path()) / "truth.jsonl"
    with _sink(settings, spec, out) as sink, day_progress("simulating", spec.days) as progress:
        summary = simulate(spec, sink, truth, progress)
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in summary.events.items())
    click.echo(
        f"{sum(summary.events.values()):,} events ({kinds}) of {spec.accounts:,} accounts over {spec.days:,} days"
        f" in {out or kafka}; {summary.cancellations:,} cancellations; truth in {truth}"
    )


@contextlib.contextmanager
def _sink(settings: Settings, spec: SimulationSpec, out: Path | None) -> Iterator[EventSink]:
    """Open where the events go; `simulate` closes the sink itself."""
    if out is not None:
        yield LogDirectorySink(out, spec.topic_prefix, spec.partitions)
        return
    with contextlib.closing(open_transport(settings)) as transport:
        yield KafkaEventSink(transport, settings, spec)


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
