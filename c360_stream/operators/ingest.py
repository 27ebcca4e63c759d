"""The source: reads a partition, decodes, refuses, and gives every shard its events with the partition's mark."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any

import numpy as np
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition
from numpy.typing import NDArray

from c360_stream import metrics
from c360_stream.connectors.ports import RecordReader, Transport
from c360_stream.contracts.events import US_PER_DAY, US_PER_SECOND, Decoder, Refused
from c360_stream.errors import ConfigurationError
from c360_stream.features.columns import NO_TIME, TOPICS, EventColumns, Heartbeats, ShardBatch, Unsettled
from c360_stream.features.encoding import EventEncoder, KnownAccounts
from c360_stream.features.plausibility import AHEAD, AHEAD_OF_CLOCK, TimeJudge, Verdicts
from c360_stream.logs import summaries
from c360_stream.logs.events import PARTITION_OPENED
from c360_stream.logs.pace import Pace
from c360_stream.logs.summaries import count_refused
from c360_stream.operators.alignment import ReadAlignment
from c360_stream.operators.decode import READ_AT_ONCE, DecodedBatch, ReturningReader
from c360_stream.operators.health import HEALTH
from c360_stream.operators.intake import INTAKE
from c360_stream.operators.order import OrderWatch
from c360_stream.operators.rest import Rest
from c360_stream.operators.rows import DeadLetters
from c360_stream.operators.stop import failing_loudly, stop_requested
from c360_stream.settings import INPUT_KINDS, Settings
from c360_stream.state.outbox import PULSE, PULSE_SECONDS, Pulse

POLL = timedelta(milliseconds=5)
IDLE_POLL_SECONDS_MAX = 0.2
IDLE_SHARE = 100
PAUSE = timedelta(milliseconds=1)
MARK_SECONDS = 1.0
END_TOLD_SECONDS = 1.0
"""How long it may take until a reader tells that a record was the last one."""

Item = tuple[str, ShardBatch | Heartbeats] | DeadLetters | Pulse
LETTERS_AT_ONCE = 2048
LETTERS_BYTES_MAX = 128 * 1024 * 1024
"""Of dead letters that a process reads between two snapshots: with a recovery store they wait in memory until the
second one vouches for them. A partition that has some is not read on then, however many are refused."""


def partition_name(topic: str, partition: int) -> str:
    """Name of a source partition, in the recovery store and in marks."""
    return f"{topic}/{partition}"


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


def _lately(moment: float) -> bool:
    """Whether a moment is of the same `MARK_SECONDS`: those of all partitions end together."""
    return moment // MARK_SECONDS == time.monotonic() // MARK_SECONDS


def shard_key(number: int) -> str:
    """Key of a shard. The engine spreads keys over workers by their hash.

    Over two workers it spreads "0" to "15" 6 to 10, and "s0" to "s15" 8 to 8; over four 2, 4, 4, 6 and 3, 4, 4, 5.
    """
    return f"s{number}"


def input_partitions(settings: Settings, transport: Transport) -> tuple[str, ...]:
    """Names of all source partitions, ascending.

    Raises
    ------
    ConfigurationError
        If Kafka lacks one of the topics. A log directory need not have all.
    """
    found = []
    for topic in [settings.input_topic(kind) for kind in INPUT_KINDS]:
        numbers = transport.partitions(topic)
        if settings.uses_kafka and not numbers:
            raise ConfigurationError(f"Kafka at {settings.kafka_brokers} has no topic {topic}", "create it: c360 setup")
        metrics.INPUT_PARTITIONS.labels(topic).set(len(numbers))
        metrics.begin_topic(topic)
        found += [partition_name(topic, number) for number in numbers]
    return tuple(sorted(found))


class LettersHeld:
    """Dead letters that wait in this process for the next snapshot, in bytes by partition."""

    def __init__(self, bytes_max: float) -> None:
        self._bytes_max = bytes_max
        self._bytes: dict[str, int] = {}

    def add(self, partition: str, size: int) -> None:
        """Take more."""
        self._bytes[partition] = self._bytes.get(partition, 0) + size

    def kept(self, partition: str) -> None:
        """Forget those of a partition: a snapshot has them."""
        self._bytes.pop(partition, None)

    def must_wait(self, partition: str) -> bool:
        """Whether there are too many, some of this partition."""
        return partition in self._bytes and sum(self._bytes.values()) > self._bytes_max


class IngestSource(FixedPartitionedSource[Item, tuple[Any, ...]]):
    """All partitions of the three input topics.

    Parameters
    ----------
    settings
        Settings.
    transport
        Where the topics are.
    partitions
        Names of all partitions, as `input_partitions` gives them.
    alignment
        Shared by the partitions of this process.
    recovering
        Whether there is a recovery store, for whose snapshots dead letters wait.
    rest
        Where the partitions of this process wait.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        partitions: tuple[str, ...],
        alignment: ReadAlignment,
        *,
        recovering: bool = False,
        rest: Rest | None = None,
    ) -> None:
        self.settings = settings
        self.transport = transport
        self.partitions = partitions
        self.alignment = alignment
        self._accounts = threading.local()
        self._letters = LettersHeld(LETTERS_BYTES_MAX if recovering else math.inf)
        self._rest = rest or Rest(None)
        self._pulses = Pace(PULSE_SECONDS)

    def list_parts(self) -> list[str]:
        """Names of all partitions. The engine asks in every process, once the cluster is complete."""
        HEALTH.cluster_formed()
        return list(self.partitions)

    @failing_loudly
    def build_part(self, step_id: str, for_part: str, resume_state: tuple[Any, ...] | None) -> IngestPartition:
        """Open one partition."""
        topic, _, number = for_part.rpartition("/")
        position, *seen = resume_state or (None,)
        reader = self.transport.reader(topic, int(number), position, live=self.settings.live)
        offset = position[-1] if position else None
        begins = "its start" if offset is None else f"offset {offset}"
        PARTITION_OPENED.log(partition=for_part, position=begins, offset=offset)
        if not hasattr(self._accounts, "known"):  # shared by the partitions of a worker thread, and by no other's
            self._accounts.known = KnownAccounts(self.settings.shards)
        return IngestPartition(
            self.settings,
            reader,
            for_part,
            tuple(seen),
            self.alignment,
            accounts=self._accounts.known,
            alone=len(self.partitions) == 1,
            letters=self._letters,
            rest=self._rest,
            pulses=self._pulses,
        )


class IngestPartition(StatefulSourcePartition[Item, tuple[Any, ...]]):
    """One partition: a reader, a decoder, an encoder and the mark.

    Parameters
    ----------
    seen
        The mark last told, `NO_TIME` before the first, and the states of the `OrderWatch` and the `TimeJudge`; empty at
        the beginning.
    alone
        Whether there is no other partition.
    letters, rest, pulses
        What is refused, where to wait for input, when to send pulses: shared by the partitions of this process.
    """

    def __init__(
        self,
        settings: Settings,
        reader: RecordReader,
        name: str,
        seen: tuple[Any, ...],
        alignment: ReadAlignment,
        *,
        accounts: KnownAccounts,
        alone: bool = True,
        letters: LettersHeld | None = None,
        rest: Rest | None = None,
        pulses: Pace | None = None,
    ) -> None:
        kind = next(kind for kind in INPUT_KINDS if settings.input_topic(kind) == reader.topic)
        self._settings = settings
        self._reader = ReturningReader(reader)
        self._name = name
        self._lateness_us = settings.allowed_lateness_seconds * US_PER_SECOND
        self._told_us, order, judge = seen or (NO_TIME, (), ())
        self._judge = TimeJudge(self._lateness_us, settings.jump_days_max * US_PER_DAY, judge, alone=alone)
        self._clock = _wall_clock_us if settings.live else None
        # The mark to come to; the last one told may be behind it.
        self._mark_us = max(self._told_us, self._mark_of_events())
        self._alignment = alignment
        self._decoder = Decoder(kind)
        self._encoder = EventEncoder(TOPICS.index(kind), accounts, settings.core_actions, settings.category_prefixes)
        self._order = OrderWatch(settings, name, order)
        self._ended = False
        self._next_awake: datetime | None = None
        self._caught_up_since: float | None = None
        self._beat_at = -math.inf  # when a heartbeat was last read, and no event
        self._letters = letters or LettersHeld(math.inf)
        self._rest = rest or Rest(None)
        self._pulses = pulses or Pace(PULSE_SECONDS)
        self._looked_at = self._marked_at = 0.0
        self._idle_until: float | None = None
        self._shard_keys = [shard_key(number) for number in range(settings.shards)]
        alignment.reached(name, self._judge.high_us)
        HEALTH.sources_opened()

    @failing_loudly
    def next_batch(self) -> Iterable[Item]:
        """Say what has been read; read on, unless this partition is too far ahead or there is nothing."""
        HEALTH.progress()
        INTAKE.began()
        if stop_requested():
            raise AbortExecution
        if self._ended:
            raise StopIteration
        self._next_awake = None
        items = self._next_items()
        if stop_requested():
            # What was to be judged by what follows it may have been judged by less.
            raise AbortExecution
        # After telling, too: a partition may end with the marks that a resume has left to tell, without another read.
        self._alignment.reached(self._name, self._judge.high_us, at_end=self._has_no_backlog())
        if self._pulses.due():
            items.append(PULSE)
            summaries.look()
        self._rest_if_idle(has_news=bool(items))
        INTAKE.ended()
        return items

    def _rest_if_idle(self, *, has_news: bool) -> None:
        if has_news or self._idle_until is None:
            self._rest.ends(self._name)
        if self._idle_until is not None:
            until = self._rest.until(self._name, self._idle_until)
            self._next_awake = datetime.now(UTC) + timedelta(seconds=until - time.monotonic())

    def _next_items(self) -> list[Item]:
        idle_until, self._idle_until = self._idle_until, None
        if self._told_us < self._mark_us:
            return self._tell()
        if idle_until is not None and time.monotonic() < idle_until:
            self._idle_until = idle_until  # asked again so that the engine makes its rounds
            return []
        if self._alignment.must_wait(self._name):
            self._next_awake = datetime.now(UTC) + PAUSE
            return []
        if self._letters.must_wait(self._name):
            self._next_awake = datetime.now(UTC) + POLL
            return []
        if self._is_still_idle():
            self._idle_until = self._next_look()
            return []
        self._looked_at = time.monotonic()
        live, records_max = self._settings.live, self._settings.batch_events
        batch = DecodedBatch(self._reader, self._decoder, self._encoder, records_max, live=live)
        items = self._items(batch)
        if not batch.read and not items:
            self._next_awake = datetime.now(UTC) + POLL
        return items

    def _next_look(self) -> float:
        """When to look again: an event waits some ms, or a hundredth of the quiet before it, and 200 ms at most.

        By the clock, so that partitions are looked at together and a worker without input wakes for all of them once.
        """
        now = time.monotonic()
        wanted = (now - (self._caught_up_since or 0.0)) / IDLE_SHARE
        poll = IDLE_POLL_SECONDS_MAX
        while poll > wanted and poll / 2 >= POLL.total_seconds():
            poll /= 2
        return (now // poll + 1) * poll

    def _is_still_idle(self) -> bool:
        """Whether there is nothing to read, as at the last look, and it is too soon to say again what time it is.

        To find that out by a batch of nothing cost 150 us; an idle worker with 12 partitions spent a third of a core.
        """
        if self._caught_up_since is None or self._reader.returned or not _lately(max(self._looked_at, self._marked_at)):
            return False
        position, part = self._reader.position(), self._reader.read(min(READ_AT_ONCE, self._settings.batch_events))
        if part.values:
            self._reader.take_back([(position, part)])
            return False
        return self._reader.at_end

    def _items(self, batch: DecodedBatch) -> list[Item]:
        """Everything that follows from a batch: dead letters, and a message to every shard if there is news."""
        if self._settings.live and self._mark_us != NO_TIME:
            # An idle partition's mark has followed the clock, and may be beyond what its own events have said.
            self._judge.advance(self._mark_us + self._lateness_us)
        verdicts = self._refuse(batch)
        time_us, live, told_us = batch.times(), self._settings.live, self._told_us
        highs_us = np.append(verdicts.high_us, self._judge.high_us)
        letters: list[Item] = list(self._dead_letters(batch, highs_us))
        unsettled = self._unsettled(batch, verdicts)
        self._count(batch, len(verdicts.unsettled))
        self._mark_us = max(self._mark_us, self._mark(batch))
        if self._told_us == NO_TIME and self._mark_us != NO_TIME:
            # From its first event on. Idle before that, it follows the clock, and nothing from before is expected.
            first_us = self._judge.begin(self._mark_us + self._lateness_us)
            self._told_us = first_us - self._lateness_us
        at_end = self._reader.at_end
        beats = self._heartbeats(batch)
        if not len(time_us) and not at_end:
            return letters + beats  # no event read: there is no news, and no first event yet
        if not len(time_us) and live and (_lately(self._marked_at) or self._mark_us == NO_TIME):
            return letters + beats
        # Live, an idle partition's mark has followed the clock and may be beyond what it says now.
        heard_us = np.maximum(time_us, np.maximum(highs_us[:-1] - self._lateness_us, told_us))
        self._order.count(time_us, heard_us, ended=at_end)
        return [*letters, *self._tell(self._encoder.split(replace(batch.events, heard_us=heard_us)), unsettled), *beats]

    def _heartbeats(self, batch: DecodedBatch) -> list[Item]:
        """A message to every shard, to go behind the batch, if there are heartbeats in it."""
        sent_us = tuple(us for _, us in batch.heartbeats)
        shards = enumerate(self._shard_keys if sent_us else ())
        return [(key, Heartbeats(number, self._name, sent_us)) for number, key in shards]

    def _tell(
        self, by_shard: Sequence[EventColumns | None] = (), unsettled: Mapping[int, list[Unsettled]] | None = None
    ) -> list[Item]:
        """Messages to all shards, with a mark at most a day further than the last one.

        However far the log leaps, the flow runs a tick or so at a time, and can be stopped and snapshotted between.
        """
        self._marked_at = time.monotonic()
        self._told_us = min(self._mark_us, self._told_us + US_PER_DAY)
        self._ended = self._reader.at_end and not self._settings.live and self._told_us == self._mark_us
        judge, unsettled = self._judge, unsettled or {}
        marks = self._told_us, judge.first_us, self._ended
        doubtful = tuple((each.time_us, each.account_hash) for of_shard in unsettled.values() for each in of_shard)
        return [
            (
                key,
                ShardBatch(
                    number,
                    self._name,
                    *marks,
                    events,
                    unsettled.get(number, ()),
                    doubtful,
                    judge.latest_us,
                    judge.events,
                    judge.accounts,
                ),
            )
            for number, (key, events) in enumerate(zip_longest(self._shard_keys, by_shard))
        ]

    def _refuse(self, batch: DecodedBatch) -> Verdicts:
        """Refuse implausible event times; the verdicts on the events that remain."""
        verdicts = self._judge.judge(batch, self._clock)
        batch.give_back()
        if self._clock is not None:
            batch.refuse_heartbeats(self._clock() + US_PER_DAY, Refused(AHEAD_OF_CLOCK))
        if verdicts.refused:
            batch.refuse([(position, Refused(reason)) for position, reason in verdicts.refused])
        return verdicts.of_accepted()

    def _unsettled(self, batch: DecodedBatch, verdicts: Verdicts) -> dict[int, list[Unsettled]]:
        """The events that the partition alone cannot judge, by shard."""
        by_shard: dict[int, list[Unsettled]] = {}
        if verdicts.unsettled:
            events = batch.events.keep(np.array(verdicts.unsettled, np.intp))
            hashes = events.account_hash[events.account]
            shards = self._encoder.shards_of(hashes)
            columns = (each.tolist() for each in (shards, hashes, events.event, events.time_us))
            for position, shard, account, event, us in zip(verdicts.unsettled, *columns, strict=True):
                letter = batch.letter_of(position, Refused(AHEAD), int(max(verdicts.high_us[position], 0)))
                by_shard.setdefault(shard, []).append(Unsettled(self._encoder.topic, account, event, us, letter))
        return by_shard

    def _mark(self, batch: DecodedBatch) -> int:
        """The time below which this partition is not expected to say anything any more."""
        mark_us, now = self._mark_of_events(), time.monotonic()
        if self._settings.live and batch.heartbeats and not len(batch.events):
            self._beat_at = now
        if len(batch.events) or not self._has_no_backlog() or not self._settings.live:
            self._caught_up_since = None
        if not self._reader.at_end or not self._settings.live:
            return mark_us
        if self._caught_up_since is None:
            self._caught_up_since = now
        if now - self._caught_up_since >= self._settings.idle_seconds:
            mark_us = max(mark_us, time.time_ns() // 1000 - self._lateness_us)
        return mark_us

    def _has_no_backlog(self) -> bool:
        """Whether the partition is read to its end, heartbeats apart, which would keep it from ever being idle."""
        return self._reader.at_end or time.monotonic() - self._beat_at < END_TOLD_SECONDS

    def _mark_of_events(self) -> int:
        high_us = self._judge.high_us
        return high_us - self._lateness_us if high_us != NO_TIME else NO_TIME

    def _count(self, batch: DecodedBatch, unsettled: int) -> None:
        topic = self._reader.topic
        metrics.EVENTS_READ.labels(topic).inc(batch.read)
        heartbeats = len(batch.heartbeats) + batch.heartbeats_forgotten
        metrics.EVENTS_ACCEPTED.labels(topic).inc(len(batch.events) - unsettled + heartbeats)
        if heartbeats:
            metrics.HEARTBEATS_READ.labels(topic).inc(heartbeats)
        count_refused(topic, Counter((each.stage, each.reason) for _, each in batch.refusals))
        lag = metrics.CONSUMER_LAG_RECORDS if self._settings.uses_kafka else metrics.CONSUMER_LAG_BYTES
        lag.labels(topic, str(self._reader.partition)).set(self._reader.lag())

    def _dead_letters(self, batch: DecodedBatch, highs_us: NDArray[np.int64]) -> Iterator[DeadLetters]:
        # In a replay the processing clock is event time, so that its records depend on the input alone.
        clocks = batch.clocks(np.maximum(highs_us, 0)) if batch.refusals else []
        now_us = None if self._clock is None else self._clock()
        for first in range(0, len(clocks), LETTERS_AT_ONCE):
            some = zip(batch.refusals[first : first + LETTERS_AT_ONCE], clocks[first:], strict=False)
            letters = [
                batch.dead_letter(position, refusal, event_time_us if now_us is None else now_us)
                for (position, refusal), event_time_us in some
            ]
            self._letters.add(self._name, sum(letter.size_bytes for letter in letters))
            yield DeadLetters(letters)

    def next_awake(self) -> datetime | None:
        """When to ask again."""
        return self._next_awake

    @failing_loudly
    def snapshot(self) -> tuple[Any, ...]:
        """Where to resume: position, mark last told, what is known of the partition's order and time."""
        self._letters.kept(self._name)
        return self._reader.position(), self._told_us, self._order.state(), self._judge.state()

    def close(self) -> None:
        """Release the reader."""
        self._reader.close()
