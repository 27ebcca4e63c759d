"""`c360 simulate --live`: a simulated company's history, and then its events as they happen."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TextIO

import click

from c360_stream.connectors.factory import open_transport
from c360_stream.runtime.signals import Listener
from c360_stream.settings import load_settings
from c360_stream.tools.simulate import SimulationSpec, live
from c360_stream.tools.simulate.company import opened_truth
from c360_stream.tools.simulate.kafka import Found, KafkaEventSink, find_company, world_header
from c360_stream.tools.simulate.progress import day_progress


class RealClock:
    """The machine's time; `stop` ends a wait.

    Parameters
    ----------
    until_now
        Whether to stop as soon as there is something to wait for: all that has happened is written.
    """

    def __init__(self, *, until_now: bool = False) -> None:
        self._until_now = until_now
        self._stopping = threading.Event()

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)

    def wait(self, seconds: float) -> bool:
        """Wait; true if it was asked to stop."""
        return self._stopping.wait(0) or (seconds > 0 and (self._until_now or self._stopping.wait(seconds)))

    def stop(self) -> None:
        """Ask to stop; may be called from another thread."""
        self._stopping.set()


def simulate_live(
    listener: Listener,
    *,
    accounts: int,
    days: int,
    seed: int,
    scenario: str,
    kafka: str,
    truth: Path | None,
    until_now: bool,
) -> None:
    """Write history up to now at full speed, then live events, until SIGTERM or SIGINT.

    Write history before the first run is started (`until_now`): the time of a run that has tailed empty topics for a
    while is the wall clock's, and it would take all of it for late.

    Topics that hold the company already are gone on with: what is there is not written again, what has happened
    since is made up for. After an orderly stop nothing is doubled and nothing missing; after a kill, some events of
    the last moment may be missing, or of the day under way if history was being written.

    Parameters
    ----------
    listener
        What listens for SIGTERM and SIGINT.
    accounts, seed, scenario
        As in `SimulationSpec`.
    days
        Days of history before today. The company's whole time is twice as long, so that somebody still subscribes,
        and what a scenario does halfway comes now.
    kafka
        The brokers.
    truth
        Where the true probabilities go; None: nowhere.
    until_now
        Stop once history is written.

    Raises
    ------
    ConfigurationError
        If the world is impossible, or the topics hold another simulated company.
    TransportError
        If Kafka cannot be read or written.
    """
    settings = load_settings(kafka_brokers=kafka)
    start = datetime.now(UTC).date() - timedelta(days=days)
    asked = SimulationSpec(accounts, 2 * days, seed, start, scenario)
    clock = RealClock(until_now=until_now)
    with (
        contextlib.closing(open_transport(settings)) as transport,
        _truth_file(truth) as truth_file,
    ):
        found = find_company(transport, settings, asked) or Found(asked, {})
        with contextlib.closing(KafkaEventSink(transport, settings, found.spec)) as sink:
            listener.begun(clock.stop)
            events = _write(found, sink, clock, truth_file)
    how = "all up to now" if until_now and not listener.stop_requested else "stopped"
    _echo(f"{how}; {events:,} events written to {kafka}")


def _write(found: Found, sink: KafkaEventSink, clock: RealClock, truth: TextIO | None) -> int:
    """Write history and live events, and show how far history has come; the number of events."""
    days_before = max(1, (clock.now().date() - found.spec.start).days)
    with day_progress("history", days_before) as progress:
        _echo(_greeting(found))

        def day_done(day: date, events: int) -> None:
            done = (day - found.spec.start).days + 1
            if done <= days_before:
                progress(done, events)
            if done == days_before:
                _echo(f"history up to today is written, {events:,} events")

        return live(found.spec, sink, clock, after=found.after, truth=truth, day_done=day_done)


def _greeting(found: Found) -> str:
    _, world = world_header(found.spec)
    if not found.after:
        return f"the topics hold no simulated events: history from {found.spec.start} first; {world.decode()}"
    newest = max(place.day for place in found.after.values())
    return f"the topics hold this company up to {newest}: no history again, going on from there; {world.decode()}"


@contextlib.contextmanager
def _truth_file(truth: Path | None) -> Iterator[TextIO | None]:
    if truth is None:
        yield None
        return
    with opened_truth(truth) as file:
        yield file


def _echo(what: str) -> None:
    click.echo(f"c360 simulate: {what}", err=True)
