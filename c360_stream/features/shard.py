"""The account shard: turns partitions' batches into ticks, examples, closed hours and intraday rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.growth import grow_array
from c360_stream.contracts.events import US_PER_DAY, US_PER_HOUR
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.features.accounts import Accounts
from c360_stream.features.columns import NO_TIME, EventColumns, ShardBatch, joined_by_topic
from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.features.early_events import EarlyEvents
from c360_stream.features.emissions import (
    Emission,
    FinalLabels,
    HourCounts,
    IntradayRows,
    TickExamples,
    TickLabels,
    TickRows,
)
from c360_stream.features.example_block import ExampleBlock
from c360_stream.features.plausibility import oldest_plausible
from c360_stream.features.recent_ids import RecentIds
from c360_stream.features.unsettled_events import UnsettledEvents
from c360_stream.features.watermark import Watermark
from c360_stream.labels.contacts import Cohorts, Group
from c360_stream.labels.ledger import CORRECTION_DAYS, ClosedDay, KnownLabels, LabelLedger, MaturedExamples
from c360_stream.state.fields import Kept, fields, stored_as

_TOPIC_SALT = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


@dataclass(frozen=True, slots=True)
class ShardConfig:
    """What the account shards need to know of the settings."""

    partitions: tuple[str, ...]
    lateness_us: int
    dedupe_days: int
    horizon_days: int
    reach_days: int
    stride_days: int
    event_score_interval_us: int
    early_events_max: int

    @property
    def contact_days(self) -> int:
        """For so long contacts count: in the horizon of a label that may be corrected, and in the one before it."""
        return 2 * self.horizon_days + self.stride_days + CORRECTION_DAYS

    @property
    def cohorts(self) -> Cohorts:
        """How examples are put into groups."""
        return Cohorts(self.horizon_days, self.stride_days)


@dataclass(slots=True)
class ShardTally:
    """Counts since they were last read, for the metrics; `settled`: topics of events that are settled now."""

    late: int = 0
    after_tick: int = 0
    """Of the late: the tick of their day was over, and no tick of that day or before counts them."""
    misplaced: int = 0
    """See `Subscriptions.misplaced`."""
    duplicates: int = 0
    ticks: int = 0
    settled: list[str] = field(default_factory=list)


_JOINED_ROWS = stored_as(
    NDArray[np.int32], lambda parts: np.concatenate([np.zeros(0, np.int32), *parts]), lambda rows: [rows]
)


class AccountShard(Kept):
    """Windows and label ledger of one shard's accounts, driven by the watermark.

    Parameters
    ----------
    number
        The shard's number.
    config
        Settings.
    """

    kept = fields(
        number=int,
        accounts=Accounts,
        ledger=LabelLedger,
        watermark=Watermark,
        early=EarlyEvents,
        unsettled=UnsettledEvents,
        _recent=RecentIds,
        _today=int | None,
        _next_hour=int,
        _hours=NDArray[np.int64],
        _announced=int,
        _was_active=NDArray[np.bool_],
        _last_event_us=NDArray[np.int64],
        _scored_us=NDArray[np.int64],
        _touched=_JOINED_ROWS,
    )

    def __init__(self, number: int, config: ShardConfig) -> None:
        self.number = number
        self.config = config
        self.accounts = Accounts(config.contact_days)
        self.ledger = LabelLedger(config.horizon_days, config.reach_days)
        self.watermark = Watermark(config.partitions, config.lateness_us)
        self.early = EarlyEvents()
        self.unsettled = UnsettledEvents(self.early)
        self.tally = ShardTally()
        self._recent = RecentIds(config.dedupe_days)
        self._today: int | None = None
        self._next_hour = 0
        self._hours = np.zeros((len(INPUT_KINDS), 24), np.int64)
        self._announced = 0
        self._was_active = np.zeros(64, np.bool_)
        self._last_event_us = np.full(64, NO_TIME, np.int64)
        self._scored_us = np.full(64, NO_TIME, np.int64)
        self._touched: list[NDArray[np.int32]] = []

    def receive(self, batches: list[ShardBatch]) -> list[Emission]:
        """Take batches, those of a partition in its order; give what follows from them.

        All events are taken before any mark: their effective time is the mark of their own partition or later, so
        those of days that the marks have not opened yet wait. Few large pieces cost less than many small ones.
        """
        out: list[Emission] = []
        columns = [self._plausible(batch, out) for batch in batches]
        for events in joined_by_topic([each for each in columns if each is not None]):
            self._take(events)
        for batch in batches:
            self.watermark.receive(batch)
            self._advance(out)
        self.tally.settled += self.unsettled.accept_until(self.watermark.now_us)
        if self.watermark.ended and self._today is not None:
            if len((labels := self.ledger.labels_before_close(self._today)).account):
                out.append(FinalLabels(self.number, self.watermark.now_us, labels))
            out += self.unsettled.refuse_after(self.watermark.now_us)
        self._close_hours(self.watermark.now_us // US_PER_HOUR, out)
        intraday = self._intraday_rows()
        if intraday is not None:
            out.append(intraday)
        return out

    def _plausible(self, batch: ShardBatch, out: list[Emission]) -> EventColumns | None:
        """The events of a batch without those that are known already to be too far behind the others."""
        self.unsettled.take(batch.unsettled)
        first_us = self.watermark.first_us
        if self._today is None or first_us is None or not batch.unsettled or batch.events is None:
            return batch.events
        oldest_us = oldest_plausible(first_us)
        out += self.unsettled.refuse_behind(first_us)
        return batch.events.without([each for each in batch.unsettled if each.time_us < oldest_us])

    def _take(self, events: EventColumns) -> None:
        """Apply events with an effective time up to the day in progress; let the rest wait.

        No effective time is before the watermark, so what a tick counts does not depend on how far the other
        partitions have been read by then, even where events are late.
        """
        # A log that has grown since it ended may have events from before its end, which are late in no partition.
        in_progress = NO_TIME if self._today is None else self._today
        missed = events.time_us // US_PER_DAY < np.maximum(events.effective_time_us // US_PER_DAY, in_progress)
        self.tally.late += int(np.count_nonzero(missed | (events.time_us < events.effective_time_us)))
        self.tally.after_tick += int(np.count_nonzero(missed))
        if self._today is None:
            self.early.put(events)
            return
        waits = events.effective_time_us >= (self._today + 1) * US_PER_DAY
        if waits.any():
            self.early.put(events.take(np.flatnonzero(waits)))
            events = events.take(np.flatnonzero(~waits))
        self._apply(events, self._today)

    def _apply(self, events: EventColumns, today: int) -> None:
        if not len(events):
            return
        ids = (events.event ^ events.account_hash[events.account]) + _TOPIC_SALT[events.topic]
        fresh = self._recent.fresh(ids, today)
        if not fresh.all():
            self.tally.duplicates += int(len(fresh) - fresh.sum())
            events = events.take(np.flatnonzero(fresh))
        rows = self.accounts.rows_of(events.accounts)
        row = rows[events.account]
        self._reserve(len(self.accounts))
        for cancellation in self.accounts.apply(events, row, today):
            self.ledger.cancelled(*cancellation)
        self.tally.misplaced += self.accounts.subscriptions.misplaced
        self.accounts.subscriptions.misplaced = 0
        hour = np.maximum(events.effective_time_us // US_PER_HOUR - today * 24, 0)
        self._hours[events.topic] += np.bincount(hour, minlength=24)
        np.maximum.at(self._last_event_us, row, events.time_us)
        self._touched.append(rows)

    def _reserve(self, accounts: int) -> None:
        self.ledger.reserve(accounts)
        self._was_active = grow_array(self._was_active, accounts, False)
        self._last_event_us = grow_array(self._last_event_us, accounts, NO_TIME)
        self._scored_us = grow_array(self._scored_us, accounts, NO_TIME)

    def _advance(self, out: list[Emission]) -> None:
        """Run every tick that the watermark has reached."""
        if self._today is None:
            first, first_us = self.watermark.first_day(), self.watermark.first_us
            if first is None or first_us is None or self.watermark.now_us == NO_TIME:
                return
            out += self.unsettled.refuse_behind(first_us)
            self._next_hour = first * 24
            self._start_day(first)
            self._today = first
        while self.watermark.now_us >= (midnight := self._today + 1) * US_PER_DAY:
            self._close_hours(midnight * 24, out)
            self._tick(midnight, out)
            self._start_day(midnight)

    def _start_day(self, day: int) -> None:
        self._today = day
        self.accounts.open_day(day)
        self._recent.open_day(day)
        self._hours[:] = 0
        for events in joined_by_topic(self.early.take_until(day)):
            self._apply(events, day)

    def _close_hours(self, end_hour: int, out: list[Emission]) -> None:
        """Report the hours before `end_hour`, none of which is after the day in progress."""
        if self._today is None or end_hour <= self._next_hour:
            return
        first = self._next_hour - self._today * 24
        counts = self._hours[:, first : end_hour - self._today * 24].copy()
        out.append(HourCounts(self.number, self._next_hour, counts))
        self._next_hour = end_hour

    def _tick(self, day: int, out: list[Emission]) -> None:
        """Close the tick at the midnight that opens `day`."""
        accounts, n = self.accounts, len(self.accounts)
        by_id = accounts.in_id_order()
        closed = self.ledger.close(day)
        observed = closed.fully_observed
        active = accounts.subscriptions.active[:n]
        rows = by_id[active[by_id]]
        features = accounts.matrix(rows, day * US_PER_DAY)
        self.ledger.open(day, rows)
        due = (accounts.stride_phase[rows] + day) % self.config.stride_days == 0
        self.ledger.store(day, rows[due], features[due])
        out.append(
            TickRows(
                shard=self.number,
                day=day,
                account=rows,
                new_ids=self._new_ids(),
                features=features,
                gone=self._gone(),
                labels=self._labels(closed, int(due.sum())),
            )
        )
        opened = MaturedExamples(day, rows[due], features[due], np.zeros(int(due.sum()), np.bool_))
        out.append(
            TickExamples(
                shard=self.number,
                day=day,
                matured=self._block(closed.matured, day),
                opened=self._block(opened, day),
                week_old=self._block(closed.week_old, day),
                churned_before_horizon=ExampleBlock.merged(
                    [self._block(one, day) for one in closed.churned_before_horizon]
                ),
                corrected_as_of=[as_of for as_of, _ in closed.corrected],
                corrected_ids=[accounts.ids[account] for _, account in closed.corrected],
                corrected_treated=[
                    bool(self._treated(np.array([account], np.int32), as_of, day)[0])
                    for as_of, account in closed.corrected
                ],
                observed_ids=[accounts.ids[account] for account in observed.account.tolist()] if observed else [],
                observed_after=observed.cancelled_after.tolist() if observed else [],
                late_days=closed.late_days,
                events_by_topic=self._hours.sum(axis=1).tolist(),
            )
        )
        self.tally.ticks += 1
        self._touched.clear()

    def _gone(self) -> NDArray[np.int32]:
        """Accounts that were active at the last tick and are no longer."""
        n = len(self.accounts)
        active = self.accounts.subscriptions.active[:n]
        gone = np.flatnonzero(self._was_active[:n] & ~active).astype(np.int32)
        self._was_active[:n] = active
        return gone

    def _labels(self, closed: ClosedDay, opened: int) -> TickLabels:
        matured = closed.matured
        if matured is None:
            nobody = np.zeros(0, np.int32)
            matured = MaturedExamples(0, nobody, np.zeros((0, len(FEATURES))), nobody.astype(np.bool_))
        as_of_day = np.full(len(matured.account), matured.as_of_day, np.int64)
        return TickLabels(
            known=closed.known,
            matured=KnownLabels(matured.account, as_of_day, matured.churned),
            mrr_cents=matured.features[:, INDEX["mrr_cents"]],
            group=self._groups(matured),
            plan=self.accounts.subscriptions.plans(matured.account),
            opened=opened,
        )

    def _groups(self, matured: MaturedExamples) -> list[Group]:
        accounts = self.accounts
        ids = [accounts.ids[account] for account in matured.account.tolist()]
        phase = accounts.stride_phase[matured.account]
        return accounts.contacts.groups(matured.account, ids, phase, matured.as_of_day, self.config.cohorts)

    def _treated(self, account: NDArray[np.int32], as_of_day: int, day: int) -> NDArray[np.bool_]:
        """Whether accounts were contacted within the horizon, by what is known at the midnight that opens `day`."""
        until_day = min(as_of_day + self.config.horizon_days, day)
        return self.accounts.contacts.treated(account, as_of_day, until_day)

    def _block(self, examples: MaturedExamples | None, day: int) -> ExampleBlock:
        if examples is None:
            return ExampleBlock.none()
        ids = [self.accounts.ids[account] for account in examples.account.tolist()]
        as_of_day = np.full(len(ids), examples.as_of_day, np.int64)
        treated = self._treated(examples.account, examples.as_of_day, day)
        return ExampleBlock(as_of_day, ids, examples.features, examples.churned, treated)

    def _new_ids(self) -> list[str]:
        new = self.accounts.ids[self._announced :]
        self._announced = len(self.accounts)
        return new

    def _intraday_rows(self) -> IntradayRows | None:
        """Rows of the active accounts that events of the day in progress moved, at most one per interval.

        An account that was moved again within the interval waits until the watermark has passed its end.
        """
        if not self._touched or self._today is None:
            return None
        rows = np.unique(np.concatenate(self._touched))
        self._touched.clear()
        # An as-of is after the events it counts, on a whole millisecond.
        as_of = (self._last_event_us[rows] // 1000 + 1) * 1000
        today = self.accounts.subscriptions.active[rows] & (as_of > self._today * US_PER_DAY)
        rows, as_of = rows[today], as_of[today]
        again = self._scored_us[rows] + self.config.event_score_interval_us
        due = (as_of >= again) | (self.watermark.now_us >= again)
        self._touched.append(rows[~due])
        rows, as_of = rows[due], np.maximum(as_of, again)[due]
        if not len(rows):
            return None
        self._scored_us[rows] = as_of
        features = self.accounts.matrix(rows, as_of)
        return IntradayRows(self.number, rows, self._new_ids(), as_of, features)
