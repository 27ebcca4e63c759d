"""A simulated company in Kafka's topics: written with its name in a header, and found by it again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from c360_stream.connectors.dead_letters import FROM as REDRIVEN_FROM
from c360_stream.connectors.ports import OutRecord, RecordReader, RecordWriter, Transport
from c360_stream.connectors.reading import read_within
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.settings import Settings
from c360_stream.tools.simulate import EventPlace, SimulationSpec, account_of

LOOK_BACK_RECORDS = (1_000, 10_000, 100_000)
"""How far back from its end a partition is searched at first, then, and from then on."""
SILENCE_SECONDS_MAX = 30.0
WORLD_HEADER = "c360-simulation"
"""Header of every simulated event in Kafka: the company that it is of, so that `--live` can go on with it."""


def world_header(spec: SimulationSpec) -> tuple[str, bytes]:
    """The identity of a simulated company, as JSON."""
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
        known = json.loads(world)
        spec = replace(asked, **known | {"start": date.fromisoformat(known["start"])})
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
    while reader.position()[0] < high and not reader.at_end:
        batch = read_within(reader, LOOK_BACK_RECORDS[0], SILENCE_SECONDS_MAX)
        if not batch.values and not reader.at_end:
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
