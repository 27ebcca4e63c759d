"""Events on their way to account shards: partitions, arrival orders, batches; and what the shards emit.

Events are JSON objects of the input contract, decoded and encoded as the source does it; only the engine that
would carry the messages is left out.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY, US_PER_HOUR, Decoder, time_us, times_us
from c360_stream.contracts.events import Event as DecodedEvent
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.features.columns import NO_TIME, EventColumns, ShardBatch
from c360_stream.features.emissions import Emission, HourCounts, IntradayRows, TickExamples, TickLabels, TickRows
from c360_stream.features.encoding import EventEncoder, KnownAccounts
from c360_stream.features.shard import AccountShard, ShardConfig
from c360_stream.labels.ledger import KnownLabels
from c360_stream.settings import Settings

LATENESS_US = US_PER_HOUR
HORIZON_DAYS, REACH_DAYS = 4, 6
Event = dict[str, Any]
Events = Mapping[InputKind, Sequence[Event]]
DECODERS = {kind: Decoder(kind) for kind in INPUT_KINDS}
DEFAULTS = Settings()


def shard_config(partitions: Iterable[str], **changed: Any) -> ShardConfig:
    """Shards that learn soon: a short horizon, an example every other day."""
    config = {
        "partitions": tuple(partitions),
        "lateness_us": LATENESS_US,
        "dedupe_days": 1,
        "horizon_days": HORIZON_DAYS,
        "reach_days": REACH_DAYS,
        "stride_days": 2,
        "event_score_interval_us": 60_000_000,
        "early_events_max": 1_000_000,
    }
    return ShardConfig(**{**config, **changed})


def columns(
    topic: InputKind,
    events: Sequence[Event],
    shards: int = 1,
    effective_time_us: NDArray[np.int64] | None = None,
    prefixes: Mapping[str, str] | None = None,
) -> list[EventColumns | None]:
    """Decode and encode events of one topic: their columns by shard."""
    decoded = [_decoded(topic, json.dumps(event)) for event in events]
    prefixes = DEFAULTS.category_prefixes if prefixes is None else prefixes
    encoder = EventEncoder(INPUT_KINDS.index(topic), KnownAccounts(shards), DEFAULTS.core_actions, prefixes)
    encoded = encoder.encode(decoded, times_us([event.occurred_at for event in decoded]))
    return encoder.split(
        encoded if effective_time_us is None else replace(encoded, effective_time_us=effective_time_us)
    )


def time_of(topic: InputKind, event: Event) -> int:
    """Event time in microseconds."""
    return time_us(_decoded(topic, json.dumps(event)).occurred_at)


@lru_cache(10_000)
def _decoded(topic: InputKind, text: str) -> DecodedEvent:
    return DECODERS[topic].decode(text.encode())


class Partition:
    """A source partition that sends what it reads to every shard, as the source does."""

    def __init__(self, topic: InputKind, name: str, shards: int) -> None:
        self.topic, self.name, self.shards = topic, name, shards
        self.high_us = self.first_us = NO_TIME
        self.events = 0

    def say(self, events: Sequence[Event], *, ended: bool = False) -> list[ShardBatch]:
        """A message to each shard: the events, and the partition's mark after them."""
        times = [time_of(self.topic, event) for event in events]
        if times and self.first_us == NO_TIME:
            self.first_us = times[0]
        highs = np.maximum.accumulate([self.high_us, *times])
        effective_time_us = np.maximum(np.array(times, np.int64), highs[:-1] - LATENESS_US)
        self.high_us = int(highs[-1])
        mark_us = self.high_us - LATENESS_US if self.high_us != NO_TIME else NO_TIME
        self.events += len(times)
        by_shard = columns(self.topic, events, self.shards, effective_time_us) if events else [None] * self.shards
        return [
            ShardBatch(
                shard, self.name, mark_us, self.first_us, ended, found, latest_us=self.high_us, events_read=self.events
            )
            for shard, found in enumerate(by_shard)
        ]


@dataclass(frozen=True)
class Delivery:
    """One way for a set of events to arrive: everything that must not matter.

    Parameters
    ----------
    seed
        Of the delays, the cuts and the turns of the partitions.
    partitions
        Of each topic.
    batch_events
        Events in a batch, at most.
    reorder
        Share of the allowed lateness up to which an event is delayed.
    duplicates
        Share of the events that arrive again, within 24 hours of event time.
    shards
        Number of shards.
    aligned
        Whether the partition furthest behind is read first; else the partitions are mixed at random.
    """

    seed: int = 0
    partitions: int = 1
    batch_events: int = 10_000
    reorder: float = 0.0
    duplicates: float = 0.0
    shards: int = 1
    aligned: bool = True

    def names(self) -> list[str]:
        """Of all partitions of all topics."""
        return [f"{topic}/{number}" for topic in INPUT_KINDS for number in range(self.partitions)]

    def messages(self, events: Events) -> list[list[ShardBatch]]:
        """What the partitions send, one message to every shard after the other; at last that they have ended."""
        draw = Random(self.seed)
        queues = []
        for topic in INPUT_KINDS:
            parts: list[list[tuple[float, Event]]] = [[] for _ in range(self.partitions)]
            for event in events.get(topic, ()):
                parts[draw.randrange(self.partitions)] += self._arrivals(topic, event, draw)
            for number, arrivals in enumerate(parts):
                arrivals.sort(key=lambda arrival: arrival[0])
                partition = Partition(topic, f"{topic}/{number}", self.shards)
                queues.append(deque(self._batches(partition, [event for _, event in arrivals], draw)))
        return list(_in_turns(queues, draw, aligned=self.aligned))

    def _arrivals(self, topic: InputKind, event: Event, draw: Random) -> Iterator[tuple[float, Event]]:
        occurred_us = time_of(topic, event)
        yield occurred_us + draw.random() * self.reorder * LATENESS_US, event
        if draw.random() < self.duplicates:
            yield occurred_us + draw.random() * US_PER_DAY, event

    def _batches(self, partition: Partition, events: list[Event], draw: Random) -> Iterator[list[ShardBatch]]:
        while events:
            size = draw.randint(1, self.batch_events)
            yield partition.say(events[:size])
            events = events[size:]
        yield partition.say([], ended=True)


def _in_turns(queues: list[deque[list[ShardBatch]]], draw: Random, *, aligned: bool) -> Iterator[list[ShardBatch]]:
    """Each partition's messages in their order, the partitions mixed."""
    while queues:
        queue = min(queues, key=lambda waiting: waiting[0][0].latest_us) if aligned else draw.choice(queues)
        yield queue.popleft()
        if not queue:
            queues.remove(queue)


class Label(NamedTuple):
    """What became known of an as-of, and at which tick."""

    churned: bool
    known_on: int


def tick_labels(known: KnownLabels | None = None) -> TickLabels:
    """What a tick has made known: these labels, and none of an example."""
    nobody = np.zeros(0, np.int32)
    none = KnownLabels(nobody, nobody.astype(np.int64), nobody.astype(np.bool_))
    return TickLabels(known or none, none, mrr_cents=np.zeros(0), group=[], plan=[], opened=0)


@dataclass
class Emitted:
    """What shards have emitted, by account id: free of shard numbers, indices and order.

    Features are kept as bytes, since equal has to mean equal to the last bit. Days and hours without anything are
    left out: where the ticks begin depends on the first event to arrive.
    """

    rows: dict[tuple[str, int], bytes] = field(default_factory=dict)
    labels: dict[tuple[str, int], Label] = field(default_factory=dict)
    examples: dict[tuple[str, str, int], tuple[bytes, bool, int]] = field(default_factory=dict)
    gone: set[tuple[str, int]] = field(default_factory=set)
    late_days: dict[int, list[int]] = field(default_factory=dict)
    events: dict[tuple[int, str], int] = field(default_factory=lambda: defaultdict(int))
    hours: dict[tuple[int, str], int] = field(default_factory=lambda: defaultdict(int))
    treated: dict[tuple[str, str, int], bool] = field(default_factory=dict)
    groups: dict[tuple[str, int], str | None] = field(default_factory=dict)
    ids: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def take(self, emission: Emission) -> None:
        """Take what a shard emitted."""
        if isinstance(emission, TickRows | IntradayRows):
            self.ids[emission.shard] += emission.new_ids
        if isinstance(emission, TickRows):
            self._take_rows(emission, self.ids[emission.shard])
        elif isinstance(emission, TickExamples):
            self._take_examples(emission)
            _add(self.events, emission.day - 1, emission.events_by_topic)
        elif isinstance(emission, HourCounts):
            for offset, counts in enumerate(emission.counts.T.tolist()):
                _add(self.hours, emission.first_hour + offset, counts)

    def _take_examples(self, tick: TickExamples) -> None:
        for kind in ("matured", "opened", "week_old", "churned_before_horizon"):
            block = getattr(tick, kind)
            keys = list(zip(block.as_of_day.tolist(), block.ids, strict=True))
            assert keys == sorted(keys), kind
            columns = (block.features, block.churned, block.treated)
            for (as_of, account), row, churned, treated in zip(keys, *columns, strict=True):
                assert (kind, account, as_of) not in self.examples, "each once"
                self.examples[kind, account, as_of] = (row.tobytes(), bool(churned), tick.day)
                self.treated[kind, account, as_of] = bool(treated)
        if tick.late_days:
            self.late_days[tick.day] = sorted([*self.late_days.get(tick.day, []), *tick.late_days])
        corrected = (tick.corrected_as_of, tick.corrected_ids, tick.corrected_treated)
        for as_of, account, treated in zip(*corrected, strict=True):
            self.examples["corrected", account, as_of] = (b"", True, tick.day)
            self.treated["corrected", account, as_of] = treated

    def _take_rows(self, tick: TickRows, ids: list[str]) -> None:
        active = [ids[index] for index in tick.account.tolist()]
        assert active == sorted(active), "rows are in ascending order of account id"
        for account, row in zip(active, tick.features, strict=True):
            assert (account, tick.day) not in self.rows, "a tick is emitted once"
            self.rows[account, tick.day] = row.tobytes()
        self.gone |= {(ids[index], tick.day) for index in tick.gone.tolist()}
        known, matured = tick.labels.known, tick.labels.matured
        for index, as_of, churned in zip(known.account, known.as_of_day, known.churned, strict=True):
            self.labels[ids[index], int(as_of)] = Label(bool(churned), tick.day)
        for index, as_of, group in zip(matured.account, matured.as_of_day, tick.labels.group, strict=True):
            self.groups[ids[index], int(as_of)] = group

    def of_kind(self, kind: str) -> dict[tuple[str, int], tuple[bytes, bool, int]]:
        """Examples of one of the kinds that a tick emits: (account, as-of) -> features, label, tick."""
        return {(account, as_of): value for (of, account, as_of), value in self.examples.items() if of == kind}

    def comparable(self) -> tuple[object, ...]:
        """Everything that must not depend on the delivery."""
        of_examples = self.examples, self.treated, self.groups
        events = dict(self.events), dict(self.hours)
        return self.rows, self.labels, of_examples, self.gone, self.late_days, *events


def _add(totals: dict[tuple[int, str], int], when: int, counts: Sequence[int]) -> None:
    for topic, count in zip(INPUT_KINDS, counts, strict=True):
        if count:
            totals[when, topic] += count


def deliver(
    events: Events, delivery: Delivery, on_emission: Callable[[Emission], None] | None = None, **changed: Any
) -> tuple[Emitted, list[AccountShard]]:
    """Drive shards with a delivery; give what they emitted and what they are in the end."""
    config = shard_config(delivery.names(), **changed)
    shards = [AccountShard(number, config) for number in range(delivery.shards)]
    emitted = Emitted()
    for message in delivery.messages(events):
        for shard, batch in zip(shards, message, strict=True):
            for emission in shard.receive([batch]):
                emitted.take(emission)
                if on_emission is not None:
                    on_emission(emission)
    return emitted, shards


def plain(value: Any) -> Any:
    """Nested dataclasses and mappings as nested lists, to compare them byte by byte."""
    if is_dataclass(value):
        return [type(value).__name__, *(plain(getattr(value, each.name)) for each in fields(value))]
    if isinstance(value, Mapping):
        return [[key, plain(value[key])] for key in sorted(value)]
    return value
