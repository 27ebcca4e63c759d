"""`c360 simulate --kafka`, repeated: what the topics hold of the company already, so that the rest can be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from c360_stream.connectors.ports import Transport
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings
from c360_stream.tools.simulate import EventPlace, EventSink, SimulationSpec
from c360_stream.tools.simulate.kafka import find_company, same_company, simulated_from_end


@dataclass(frozen=True)
class Begun:
    """What was written before.

    Attributes
    ----------
    day
        The last day of which there is something. The days before it are whole: a day is acknowledged before the next
        one is begun.
    numbers
        Of each kind, which events of that day are there.
    """

    day: date
    numbers: Mapping[str, frozenset[int]]


def find_begun(transport: Transport, settings: Settings, spec: SimulationSpec) -> Begun | None:
    """Look for the company in the input topics; None if no event is simulated.

    Raises
    ------
    ConfigurationError
        If it is another company than this one: then its accounts would lead two lives.
    TransportError
        If the topics cannot be read.
    """
    found = find_company(transport, settings, spec)
    if found is None:
        return None
    same_company(settings.input_topic("product"), found.spec, spec)
    day = max(place.day for place in found.after.values())
    return Begun(day, {kind: frozenset(_numbers(transport, settings.input_topic(kind), day)) for kind in INPUT_KINDS})


def _numbers(transport: Transport, topic: str, day: date) -> set[int]:
    """Which events of a day are there: those of a partition stand at its end, whatever else does between them."""
    numbers: set[int] = set()
    for partition in transport.partitions(topic):
        for found in simulated_from_end(transport, topic, partition):
            places = [place for _, place in found]
            numbers.update(place.number for place in places if place.day == day)
            if any(place.day < day for place in places):
                break
    return numbers


class RestSink:
    """Lets through what is not there yet.

    Parameters
    ----------
    sink
        Takes the rest.
    begun
        What is there.
    """

    def __init__(self, sink: EventSink, begun: Begun) -> None:
        self._sink = sink
        self._begun = begun
        self.left = 0
        """Events that were there already."""

    def write(self, topic_kind: str, partition: int, lines: list[bytes]) -> None:
        """Write those lines, of one day, that are not there."""
        day = EventPlace.of(lines[0]).day if lines else self._begun.day
        if day > self._begun.day:
            self._sink.write(topic_kind, partition, lines)
            return
        rest = self._rest(topic_kind, lines) if day == self._begun.day else []
        self.left += len(lines) - len(rest)
        self._sink.write(topic_kind, partition, rest)

    def _rest(self, topic_kind: str, lines: Sequence[bytes]) -> list[bytes]:
        there = self._begun.numbers[topic_kind]
        return [line for line in lines if EventPlace.of(line).number not in there]

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()
