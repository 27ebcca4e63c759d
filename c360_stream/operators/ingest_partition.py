"""One input partition: reads, decodes, refuses, and gives every shard its events with the partition's mark."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any

import numpy as np
from bytewax.inputs import AbortExecution, StatefulSourcePartition
from numpy.typing import NDArray

from c360_stream import metrics
from c360_stream.connectors.ports import RecordReader
from c360_stream.contracts.events import US_PER_DAY, US_PER_SECOND, Decoder, Refused
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.features.columns import NO_TIME, EventColumns, Heartbeats, ShardBatch, Unsettled
from c360_stream.features.encoding import EventEncoder, KnownAccounts
from c360_stream.features.plausibility import AHEAD, AHEAD_OF_CLOCK, TimeJudge, Verdicts
from c360_stream.operators.decode import READ_AT_ONCE, DecodedBatch, ReturningReader
from c360_stream.operators.late_share import OrderWatch
from c360_stream.operators.look_schedule import POLL_SECONDS, LookSchedule
from c360_stream.operators.partition_mark import PartitionMark
from c360_stream.operators.rows import DeadLetters
from c360_stream.operators.run_context import record_failure
from c360_stream.operators.shared_intake import SharedIntake
from c360_stream.settings import Settings
from c360_stream.state.outbox import Pulse

POLL = timedelta(seconds=POLL_SECONDS)
PAUSE = timedelta(milliseconds=1)
DEAD_LETTERS_AT_ONCE = 2048
Item = tuple[str, ShardBatch | Heartbeats] | DeadLetters | Pulse


def shard_key(number: int) -> str:
    """Key of a shard. The engine spreads keys over workers by their hash.

    Over two workers it spreads "0" to "15" 6 to 10, and "s0" to "s15" 8 to 8; over four 2, 4, 4, 6 and 3, 4, 4, 5.
    """
    return f"s{number}"


def _wall_clock_us() -> int:
    return time.time_ns() // 1000


class IngestPartition(StatefulSourcePartition[Item, tuple[Any, ...]]):
    """One partition: a reader, a decoder, an encoder and the mark.

    Parameters
    ----------
    seen
        The mark last emitted, `NO_TIME` before the first, and the states of the `OrderWatch` and the `TimeJudge`;
        empty at the beginning.
    alone
        Whether there is no other partition.
    shared
        By the partitions of this process.
    """

    def __init__(
        self,
        settings: Settings,
        reader: RecordReader,
        name: str,
        seen: tuple[Any, ...],
        shared: SharedIntake,
        *,
        accounts: KnownAccounts,
        alone: bool = True,
    ) -> None:
        kind = next(kind for kind in INPUT_KINDS if settings.input_topic(kind) == reader.topic)
        self.run = shared.run
        self._settings = settings
        self._reader = ReturningReader(reader)
        self._name = name
        self._lateness_us = settings.allowed_lateness_seconds * US_PER_SECOND
        emitted_us, order, judge = seen or (NO_TIME, (), ())
        self._judge = TimeJudge(self._lateness_us, settings.jump_days_max * US_PER_DAY, judge, alone=alone)
        self._mark = PartitionMark(self._judge, self._lateness_us, emitted_us)
        self._clock = _wall_clock_us if settings.live else None
        self._shared = shared
        self._decoder = Decoder(kind)
        self._encoder = EventEncoder(
            INPUT_KINDS.index(kind), accounts, settings.core_actions, settings.category_prefixes
        )
        self._order = OrderWatch(settings, name, self.run.late, order)
        self._ended = False
        self._next_awake: datetime | None = None
        self._looks = LookSchedule(live=settings.live, idle_seconds=settings.idle_seconds, clock=time.monotonic)
        self._shard_keys = [shard_key(number) for number in range(settings.shards)]
        shared.alignment.reached(name, self._judge.high_us)
        self.run.health.sources_opened()

    @record_failure
    def next_batch(self) -> Iterable[Item]:
        """Emit what has been read; read on, unless this partition is too far ahead or there is nothing."""
        self.run.health.progress()
        self.run.intake.began()
        if self.run.shutdown.requested:
            raise AbortExecution
        if self._ended:
            raise StopIteration
        self._next_awake = None
        items = self._next_items()
        if self.run.shutdown.requested:
            # What was to be judged by what follows it may have been judged by less.
            raise AbortExecution
        # After emitting, too: a partition may end with the marks that a resume has left to emit, without another read.
        at_end = self._looks.has_no_backlog(at_end=self._reader.at_end)
        self._shared.alignment.reached(self._name, self._judge.high_us, at_end=at_end)
        items += self._shared.pulse()
        self._rest_if_idle(has_news=bool(items))
        self.run.intake.ended()
        return items

    def _rest_if_idle(self, *, has_news: bool) -> None:
        rest, until = self._shared.rest, self._looks.rest_until
        if has_news or until is None:
            rest.ends(self._name)
        if until is not None:
            self._wake_in(timedelta(seconds=rest.until(self._name, until) - time.monotonic()))

    def _wake_in(self, wait: timedelta) -> None:
        self._next_awake = datetime.now(UTC) + wait

    def _next_items(self) -> list[Item]:
        if self._mark.is_behind:
            return self._emit()
        if self._looks.rests():  # asked again so that the engine makes its rounds
            return []
        if self._shared.alignment.must_wait(self._name):
            self._wake_in(PAUSE)
            return []
        if self._shared.dead_letters.must_wait(self._name):
            self._wake_in(POLL)
            return []
        if self._is_still_idle():
            self._looks.rest()
            return []
        self._looks.looks()
        live, records_max = self._settings.live, self._settings.batch_events
        batch = DecodedBatch(self._reader, self._decoder, self._encoder, self.run, records_max, live=live)
        items = self._items(batch)
        if not batch.read and not items:
            self._wake_in(POLL)
        return items

    def _is_still_idle(self) -> bool:
        """Whether there is nothing to read, as at the last look, and it is too soon to emit the mark again.

        To find that out by a batch of nothing cost 150 us; an idle worker with 12 partitions spent a third of a core.
        """
        if self._reader.returned or not self._looks.is_quiet():
            return False
        position, part = self._reader.position(), self._reader.read(min(READ_AT_ONCE, self._settings.batch_events))
        if part.values:
            self._reader.take_back([(position, part)])
            return False
        return self._reader.at_end

    def _items(self, batch: DecodedBatch) -> list[Item]:
        """Everything that follows from a batch: dead letters, and a message to every shard if there is news."""
        live, emitted_us = self._settings.live, self._mark.emitted_us
        if live:
            self._mark.inform_judge()
        verdicts = self._refuse(batch)
        time_us, at_end = batch.times(), self._reader.at_end
        highs_us = np.append(verdicts.high_us, self._judge.high_us)
        letters: list[Item] = list(self._dead_letters(batch, highs_us))
        unsettled = self._unsettled(batch, verdicts)
        self._count(batch, len(verdicts.unsettled))
        idle = self._looks.take(events=len(time_us) > 0, heartbeats=bool(batch.heartbeats), at_end=at_end)
        self._mark.move(idle=idle)
        beats = self._heartbeats(batch)
        if not len(time_us) and not at_end:
            return letters + beats  # no event read: there is no news, and no first event yet
        if not len(time_us) and live and (self._looks.emitted_lately() or self._mark.us == NO_TIME):
            return letters + beats
        # Live, an idle partition's mark has followed the clock and may be beyond the clock now.
        effective_us = np.maximum(time_us, np.maximum(highs_us[:-1] - self._lateness_us, emitted_us))
        self._order.count(time_us, effective_us, ended=at_end)
        return [
            *letters,
            *self._emit(self._encoder.split(replace(batch.events, effective_time_us=effective_us)), unsettled),
            *beats,
        ]

    def _heartbeats(self, batch: DecodedBatch) -> list[Item]:
        """A message to every shard, to go behind the batch, if there are heartbeats in it."""
        sent_us = tuple(us for _, us in batch.heartbeats)
        shards = enumerate(self._shard_keys if sent_us else ())
        return [(key, Heartbeats(number, self._name, sent_us)) for number, key in shards]

    def _emit(
        self, by_shard: Sequence[EventColumns | None] = (), unsettled: Mapping[int, list[Unsettled]] | None = None
    ) -> list[Item]:
        """Messages to all shards, with the next mark."""
        self._looks.emits()
        mark_us = self._mark.emit()
        self._ended = self._reader.at_end and not self._settings.live and not self._mark.is_behind
        judge, unsettled = self._judge, unsettled or {}
        doubtful = tuple((each.time_us, each.account_hash) for of_shard in unsettled.values() for each in of_shard)
        return [
            (
                key,
                ShardBatch(
                    shard=number,
                    partition=self._name,
                    mark_us=mark_us,
                    first_us=judge.first_us,
                    ended=self._ended,
                    events=events,
                    unsettled=unsettled.get(number, ()),
                    doubtful=doubtful,
                    latest_us=judge.latest_us,
                    events_read=judge.events,
                    accounts=judge.accounts,
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

    def _count(self, batch: DecodedBatch, unsettled: int) -> None:
        topic = self._reader.topic
        metrics.EVENTS_READ.labels(topic).inc(batch.read)
        heartbeats = len(batch.heartbeats) + batch.heartbeats_forgotten
        metrics.EVENTS_ACCEPTED.labels(topic).inc(len(batch.events) - unsettled + heartbeats)
        if heartbeats:
            metrics.HEARTBEATS_READ.labels(topic).inc(heartbeats)
        self.run.dead_letters.count(topic, Counter((each.stage, each.reason) for _, each in batch.refusals))
        lag = metrics.CONSUMER_LAG_RECORDS if self._settings.uses_kafka else metrics.CONSUMER_LAG_BYTES
        lag.labels(topic, str(self._reader.partition)).set(self._reader.lag())

    def _dead_letters(self, batch: DecodedBatch, highs_us: NDArray[np.int64]) -> Iterator[DeadLetters]:
        # In a replay the processing clock is event time, so that its records depend on the input alone.
        clocks = batch.clocks(np.maximum(highs_us, 0)) if batch.refusals else []
        now_us = None if self._clock is None else self._clock()
        for first in range(0, len(clocks), DEAD_LETTERS_AT_ONCE):
            some = zip(batch.refusals[first : first + DEAD_LETTERS_AT_ONCE], clocks[first:], strict=False)
            letters = [
                batch.dead_letter(position, refusal, event_time_us if now_us is None else now_us)
                for (position, refusal), event_time_us in some
            ]
            self._shared.dead_letters.add(self._name, sum(letter.size_bytes for letter in letters))
            yield DeadLetters(letters)

    def next_awake(self) -> datetime | None:
        """When to ask again."""
        return self._next_awake

    @record_failure
    def snapshot(self) -> tuple[Any, ...]:
        """Where to resume: position, mark last emitted, what is known of the partition's order and time."""
        self._shared.dead_letters.kept(self._name)
        return self._reader.position(), self._mark.emitted_us, self._order.state(), self._judge.state()

    def close(self) -> None:
        """Release the reader."""
        self._reader.close()
