"""A log read as the flow reads it, without its engine: the output of the account shards for each tick."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from c360_stream.connectors.factory import open_transport
from c360_stream.contracts.events import US_PER_HOUR
from c360_stream.contracts.records import DeadLetter
from c360_stream.errors import ConfigurationError
from c360_stream.features.columns import ShardBatch
from c360_stream.features.emissions import Emission, FinalLabels, HourCounts, IntradayRows, TickExamples, TickRows
from c360_stream.logs.refusals import BoundedReasons, Refusals
from c360_stream.operators.alignment import ReadAlignment
from c360_stream.operators.ingest import IngestSource, input_partitions
from c360_stream.operators.ingest_partition import IngestPartition
from c360_stream.operators.rows import DeadLetters
from c360_stream.operators.run_context import RunContext
from c360_stream.pipeline import account_shards
from c360_stream.settings import Settings


@dataclass(slots=True)
class ReplayedTick:
    """A tick as all shards closed it, in the order of the shards.

    Parameters
    ----------
    day
        The midnight that opens this day since the epoch.
    rows, examples
        One per shard.
    hours
        The hours closed since the tick before.
    """

    day: int
    rows: list[TickRows] = field(default_factory=list)
    examples: list[TickExamples] = field(default_factory=list)
    hours: list[HourCounts] = field(default_factory=list)


class LogReplay:
    """Reads a log to its end, once.

    The source and the shards are those of the flow, and so are the ticks. Scores between ticks are left out.

    Parameters
    ----------
    settings
        Settings; `live` must be false.

    Raises
    ------
    ConfigurationError
        If there is nothing to read.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events = 0
        self.refusals: Refusals = Counter()
        self._reasons = BoundedReasons()
        self._transport = open_transport(settings)
        self._partitions = input_partitions(settings, self._transport)
        if not self._partitions:
            raise ConfigurationError(
                f"no input partition in {settings.log_dir}", "name a log directory: c360 simulate writes one"
            )
        self._shards = account_shards(settings, self._partitions)
        self._new_ids: list[list[str]] = [[] for _ in self._shards]
        self._hours: list[HourCounts] = []
        self._ticks: dict[int, ReplayedTick] = {}

    def ticks(self) -> Iterator[ReplayedTick]:
        """Every tick, in order."""
        alignment = ReadAlignment(self._partitions, self.settings.read_ahead_hours * US_PER_HOUR)
        source = IngestSource(self.settings, self._transport, self._partitions, alignment, run=RunContext())
        with contextlib.ExitStack() as open_parts:
            reading: list[IngestPartition] = []
            for name in self._partitions:
                reading.append(source.build_part("ingest", name, None))
                open_parts.callback(reading[-1].close)
            open_parts.callback(self._transport.close)
            while reading:
                for part in list(reading):
                    yield from self._read(part, reading)

    def _read(self, part: IngestPartition, reading: list[IngestPartition]) -> Iterator[ReplayedTick]:
        try:
            items = part.next_batch()
        except StopIteration:
            reading.remove(part)
            return
        for item in items:
            if isinstance(item, DeadLetters):
                for letter in item.letters:
                    self._refused(letter.topic, letter.exception_message)
            elif isinstance(item, tuple) and isinstance(item[1], ShardBatch):  # a heartbeat measures nothing here
                yield from self._give(item[1])

    def _give(self, batch: ShardBatch) -> Iterator[ReplayedTick]:
        self.events += 0 if batch.events is None else len(batch.events)
        for emission in self._shards[batch.shard].receive([batch]):
            self._sort(emission)
        while self._ticks:
            first = self._ticks[min(self._ticks)]
            if len(first.examples) < len(self._shards):
                return
            del self._ticks[first.day]
            first.rows.sort(key=lambda rows: rows.shard)
            first.examples.sort(key=lambda part: part.shard)
            first.hours, self._hours = self._hours, []
            yield first

    def _refused(self, topic: str, reason: str) -> None:
        self.refusals[topic, self._reasons.name(topic, reason)] += 1

    def _sort(self, emission: Emission) -> None:
        if isinstance(emission, HourCounts):
            self._hours.append(emission)
            return
        if isinstance(emission, IntradayRows):
            self._new_ids[emission.shard] += emission.new_ids
            return
        if isinstance(emission, DeadLetter):
            self._refused(emission.topic, emission.exception_message)
            return
        if isinstance(emission, FinalLabels):  # the labels that count here are those of ticks
            return
        tick = self._ticks.setdefault(emission.day, ReplayedTick(emission.day))
        if isinstance(emission, TickExamples):
            tick.examples.append(emission)
            return
        emission.new_ids = self._new_ids[emission.shard] + emission.new_ids
        self._new_ids[emission.shard] = []
        tick.rows.append(emission)
