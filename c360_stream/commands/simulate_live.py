"""`c360 simulate --live`: a simulated company's history, and then its events as they happen."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TextIO

import click

from c360_stream.commands.letters import FROM as REDRIVEN_FROM
from c360_stream.commands.signals import listening
from c360_stream.commands.simulate import WORLD_HEADER, KafkaEventSink, day_progress, world_header
from c360_stream.connectors.ports import RecordReader, Transport
from c360_stream.connectors.transport import open_transport
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.settings import INPUT_KINDS, Settings, load_settings
from c360_stream.simulation import EventPlace, SimulationSpec, live
from c360_stream.simulation.company import opened_truth

LOOK_BACK_RECORDS = (1_000, 10_000, 100_000)
"""How far back from its end a partition is searched at first, then, and from then on."""
SILENCE_SECONDS_MAX = 30.0


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


@dataclass(frozen=True)
class Found:
    """What topics hold of a simulated company already.

    Attributes
    ----------
    spec
        The company.
    after
        The last event of each kind.
    """

    spec: SimulationSpec
    after: dict[str, EventPlace]


def simulate_live(
    *, accounts: int, days: int, seed: int, scenario: str, kafka: str, truth: Path | None, until_now: bool
) -> None:
    """Write history up to now at full speed, then live events, until SIGTERM or SIGINT.

    Write history before the first run is started (`until_now`): the time of a run that has tailed empty topics for a
    while is the wall clock's, and it would take all of it for late.

    Topics that hold the company already are gone on with: what is there is not written again, what has happened
    since is made up for. After an orderly stop nothing is doubled and nothing missing; after a kill, some events of
    the last moment may be missing, or of the day under way if history was being written.

    Parameters
    ----------
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
        listening() as listener,
        contextlib.closing(open_transport(settings)) as transport,
        _truth_file(truth) as truth_file,
    ):
        found = find_company(transport, settings, asked) or Found(asked, {})
        days_before = max(1, (clock.now().date() - found.spec.start).days)
        with (
            contextlib.closing(KafkaEventSink(transport, settings, found.spec)) as sink,
            day_progress("history", days_before) as progress,
        ):
            listener.begun(clock.stop)
            _say(_first_words(found))

            def day_done(day: date, events: int) -> None:
                done = (day - found.spec.start).days + 1
                if done <= days_before:
                    progress(done, events)
                if done == days_before:
                    _say(f"history up to today is written, {events:,} events")

            events = live(found.spec, sink, clock, after=found.after, truth=truth_file, day_done=day_done)
    _say(f"{'all up to now' if until_now and not listener.heard else 'stopped'}; {events:,} events written to {kafka}")


def find_company(transport: Transport, settings: Settings, asked: SimulationSpec) -> Found | None:
    """Look for a simulated company in the input topics; other events in them do not matter.

    Returns
    -------
    What is there; None if no event is simulated.

    Raises
    ------
    ConfigurationError
        If it is another company than the one asked for: then its accounts would lead two lives.
    TransportError
        If the topics cannot be read.
    """
    spec: SimulationSpec | None = None
    after: dict[str, EventPlace] = {}
    for kind in INPUT_KINDS:
        topic = settings.input_topic(kind)
        for partition in transport.partitions(topic):
            last = _last_simulated(transport, topic, partition)
            if last is None:
                continue
            world, place = last
            spec = _same_company(topic, world, asked)
            after[kind] = max(place, after.get(kind, place))
    if spec is None:
        return None
    # A kind of which nothing is left, or nothing was yet: older events expired, and are late by now.
    begun = EventPlace(max(place.day for place in after.values()), -1)
    return Found(spec, {kind: after.get(kind, begun) for kind in INPUT_KINDS})


def _same_company(topic: str, world: bytes, asked: SimulationSpec) -> SimulationSpec:
    """The company that a header names, if it is the one asked for; how long it has been there does not matter."""
    try:
        told = json.loads(world)
        spec = replace(asked, **told | {"start": date.fromisoformat(told["start"])})
    except (ValueError, TypeError, KeyError):
        raise _another(topic, world) from None
    same_company(topic, spec, replace(asked, start=spec.start, days=spec.days))
    return spec


def same_company(topic: str, found: SimulationSpec, asked: SimulationSpec) -> None:
    """Refuse with `ConfigurationError` to mix two simulated companies in a topic."""
    if world_header(found) != world_header(asked):
        raise _another(topic, world_header(found)[1])


def _another(topic: str, world: bytes) -> ConfigurationError:
    return ConfigurationError(
        f"{topic} holds another simulated company: {world.decode(errors='replace')[:200]}",
        "ask for that one with its --accounts, --seed and the rest, or set another C360_TOPIC_PREFIX",
    )


def _last_simulated(transport: Transport, topic: str, partition: int) -> tuple[bytes, EventPlace] | None:
    """World of a partition's simulated events and the place of the latest."""
    for found in simulated_from_end(transport, topic, partition):
        if found:
            return max(found, key=lambda each: each[1])
    return None


def simulated_from_end(transport: Transport, topic: str, partition: int) -> Iterator[list[tuple[bytes, EventPlace]]]:
    """World and place of each simulated event of a partition, looked for from its end backwards, some at a time.

    They are in order: dead letters that were sent again, with their headers, are left out.
    """
    with contextlib.closing(transport.reader(topic, partition, None, live=True)) as reader:
        (begin,) = reader.position()
        high = begin + reader.lag()
    windows = iter(LOOK_BACK_RECORDS)
    window = LOOK_BACK_RECORDS[-1]
    while high > begin:
        low = max(begin, high - next(windows, window))
        with contextlib.closing(transport.reader(topic, partition, (low,), live=False)) as reader:
            found = list(_simulated(reader, high))
        yield found
        high = low


def _simulated(reader: RecordReader, high: int) -> Iterator[tuple[bytes, EventPlace]]:
    """World and place of each simulated event before an offset."""
    heard_at = time.monotonic()
    while reader.position()[0] < high and not reader.at_end:
        batch = reader.read(LOOK_BACK_RECORDS[0])
        if batch.values:
            heard_at = time.monotonic()
        elif time.monotonic() - heard_at > SILENCE_SECONDS_MAX:
            raise TransportError(
                f"{reader.topic}[{reader.partition}]: nothing to read for {SILENCE_SECONDS_MAX:g} s", "c360 doctor"
            )
        for line, headers in zip(batch.values, batch.headers or (), strict=False):
            named = dict(headers or ())
            world = named.get(WORLD_HEADER)
            if world is None or REDRIVEN_FROM in named:
                continue
            try:
                place = EventPlace.of(line)
            except (ValueError, IndexError):
                continue  # somebody else's, under our header
            yield world, place


def _first_words(found: Found) -> str:
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


def _say(what: str) -> None:
    click.echo(f"c360 simulate: {what}", err=True)
