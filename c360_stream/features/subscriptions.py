"""Subscription state: a fold over an account's subscription events in the order (occurred_at, event_id)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.growth import grow_array
from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.columns import CANCELLED, CHANGED, NO_TIME, STARTED
from c360_stream.state.fields import Kept, fields, paged_by_account

HISTORY_DAYS = 92
"""Younger events are all kept: features ask for downgrades of the last 90 days."""
# 178 events a day, for 92 days: no billing system has such a customer, so a bound past which the order of arrival may
# show is met by faulty producers alone. They cost at most 5 MB per account (300 bytes per event) and 5 ms per batch
# in which something is late.
EVENTS_MAX = 16_384
PLANS_SHARED_MAX = 10_000
# Fewer events than this are not worth dropping.
_FEW = 16
_ACTIVE, _MRR, _SEATS, _RENEWAL, _PLAN = 1, 2, 4, 8, 16
_ALL = _ACTIVE | _MRR | _SEATS | _RENEWAL | _PLAN


class SubscriptionEvent(NamedTuple):
    """One subscription event; None where a field is absent and keeps its value."""

    time_us: int
    event_id: str
    code: int
    mrr_cents: int | None
    seats: int | None
    renewal_us: int | None
    plan: str | None = None


class _Dropped(NamedTuple):
    """Up to which event, in their order, an account's events are no longer complete, and the last downgrade by then."""

    time_us: int
    event_id: str
    downgrade_day: int


_NOTHING = _Dropped(NO_TIME, "", NO_TIME)


def _fields(event: SubscriptionEvent) -> int:
    """What an event sets, as a set of bits."""
    if event.code == STARTED:
        return _ALL
    if event.code == CANCELLED:
        return _ACTIVE | _MRR
    return (
        _MRR * (event.mrr_cents is not None)
        | _SEATS * (event.seats is not None)
        | _RENEWAL * (event.renewal_us is not None)
        | _PLAN * (event.plan is not None)
    )


def _last_to_set(events: Sequence[SubscriptionEvent]) -> list[SubscriptionEvent]:
    """The events, at most five, after which no other sets a field that they set: they give the same standing as all."""
    found: list[SubscriptionEvent] = []
    missing = _ALL
    for event in reversed(events):
        if missing & _fields(event):
            found.append(event)
            missing &= ~_fields(event)
            if not missing:
                break
    return found[::-1]


def _order(event: SubscriptionEvent | _Dropped) -> tuple[int, str]:
    return event[0], event[1]


def _total_order(event: SubscriptionEvent) -> tuple[int | str, ...]:
    # Beyond time and id, so that even an id that comes again, after repeats of it have been forgotten, cannot let the
    # order of arrival decide.
    return (*event[:3], *(-1 if value is None else value for value in event[3:6]), event.plan or "")


class Subscriptions(Kept):
    """Every account's standing, as columns, the same for any order in which its events come.

    An event that comes in order is applied at once. One that comes late makes its account unsettled: `settle` sorts
    and folds the account's events anew, once for however many came. So that they do not grow for ever, those older
    than `HISTORY_DAYS` are dropped, except the last ones to set each field: one that comes later still finds its place
    among these. What is lost is whether MRR went down at the dropped ones, which no feature asks at that age.

    Past `EVENTS_MAX` events per account, younger ones are dropped in the same way. What comes behind them then still
    sets what nothing after it has set; that it, or the one after it, is a downgrade is missed: `misplaced` counts it.
    """

    kept = fields(
        active=NDArray[np.bool_],
        mrr_cents=NDArray[np.float64],
        seats=NDArray[np.float64],
        renewal_us=NDArray[np.int64],
        downgrade_day=NDArray[np.int64],
        _plan=paged_by_account(str),
        _dropped=paged_by_account(_Dropped),
        _events=paged_by_account(list[SubscriptionEvent]),
    )

    def __init__(self, capacity: int = 64) -> None:
        self.active = np.ones(capacity, np.bool_)
        self.mrr_cents = np.full(capacity, np.nan)
        self.seats = np.full(capacity, np.nan)
        self.renewal_us = np.full(capacity, NO_TIME, np.int64)
        self.downgrade_day = np.full(capacity, NO_TIME, np.int64)
        self.misplaced = 0
        """Number of events that came behind dropped ones of the history, until somebody resets it. In no snapshot."""
        self._plan: dict[int, str] = {}
        self._plans: dict[str, str] = {}
        self._events: dict[int, list[SubscriptionEvent]] = {}
        self._dropped: dict[int, _Dropped] = {}
        self._unsettled: set[int] = set()
        self._oldest_us = NO_TIME

    def reserve(self, accounts: int) -> None:
        """Make room for `accounts` accounts."""
        self.active = grow_array(self.active, accounts, True)
        self.mrr_cents = grow_array(self.mrr_cents, accounts, np.nan)
        self.seats = grow_array(self.seats, accounts, np.nan)
        self.renewal_us = grow_array(self.renewal_us, accounts, NO_TIME)
        self.downgrade_day = grow_array(self.downgrade_day, accounts, NO_TIME)

    def apply(self, account: int, event: SubscriptionEvent, today: int) -> None:
        """Take one event of an account; any order. Call `settle` before looking at the columns."""
        if event.plan is not None:
            # Few plans have many accounts: one string each, not one per event.
            if len(self._plans) > PLANS_SHARED_MAX:
                self._plans.clear()
            event = event._replace(plan=self._plans.setdefault(event.plan, event.plan))
        self._oldest_us = (today - HISTORY_DAYS) * US_PER_DAY
        events = self._events.setdefault(account, [])
        unsettled = account in self._unsettled or (bool(events) and _order(event) <= _order(events[-1]))
        events.append(event)
        if unsettled:
            self._unsettled.add(account)
            if _order(event) <= _order(self._dropped.get(account, _NOTHING)) and event.time_us >= self._oldest_us:
                self.misplaced += 1
            return
        self._set(account, event)
        # Half of them have to go: the fold that this takes is then paid for by as many events.
        old = len(events) > _FEW and events[len(events) // 2].time_us < self._oldest_us
        if old or len(events) > EVENTS_MAX:
            self._unsettled.add(account)

    def settle(self) -> None:
        """Bring the columns up to date with every event taken; to be called once a batch."""
        for account in self._unsettled:
            self._fold(account)
        self._unsettled.clear()

    def _fold(self, account: int) -> None:
        """Sort and fold an account's events anew; drop of the oldest what need not stay."""
        events = self._events[account]
        events.sort(key=_total_order)
        dropped = self._dropped.get(account, _NOTHING)
        self.active[account], self.mrr_cents[account], self.seats[account] = True, np.nan, np.nan
        self.renewal_us[account] = NO_TIME
        complete_from = bisect_right(events, _order(dropped), key=_order)
        end = max(self._dropped_end(events), complete_from)
        for event in events[:complete_from]:
            self._set(account, event)
        self.downgrade_day[account] = dropped.downgrade_day
        for event in events[complete_from:end]:
            self._set(account, event)
        kept = _last_to_set(events[:end])
        if len(kept) < end:
            newest = max(_order(events[end - 1]), _order(dropped))
            self._dropped[account] = _Dropped(*newest, int(self.downgrade_day[account]))
        for event in events[end:]:
            self._set(account, event)
        events[:end] = kept

    def _dropped_end(self, events: Sequence[SubscriptionEvent]) -> int:
        """How many of the oldest events to drop, except the last to set each field."""
        if len(events) > EVENTS_MAX and events[len(events) - EVENTS_MAX].time_us >= self._oldest_us:
            return len(events) - EVENTS_MAX // 2  # enough for the next ones to be cheap
        # The last event stays whatever its age: it shows whether the next one comes in order.
        return min(bisect_left(events, self._oldest_us, key=lambda event: event.time_us), len(events) - 1)

    def _set(self, account: int, event: SubscriptionEvent) -> None:
        """Take the event that follows on all that the columns stand for."""
        if event.plan is not None:
            self._plan[account] = event.plan
        if event.code == CANCELLED:
            self.active[account], self.mrr_cents[account] = False, 0
            return
        if event.code == STARTED:
            self.active[account] = True
            self.mrr_cents[account] = self.seats[account] = np.nan
            self.renewal_us[account] = NO_TIME
        if event.mrr_cents is not None:
            # Not after a start, which has just set it to NaN.
            if event.mrr_cents < self.mrr_cents[account]:
                self.downgrade_day[account] = max(self.downgrade_day[account], event.time_us // US_PER_DAY)
            self.mrr_cents[account] = event.mrr_cents
        if event.seats is not None:
            self.seats[account] = event.seats
        if event.renewal_us is not None:
            self.renewal_us[account] = event.renewal_us

    def downgraded_since(self, day: int, chosen: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether MRR went down on `day` or later; bool of shape (chosen,)."""
        return self.downgrade_day[chosen] >= day

    def plans(self, chosen: NDArray[np.int32]) -> list[str]:
        """The plan of each account, of the last subscription if it has cancelled; empty where none is known."""
        return [self._plan.get(account, "") for account in chosen.tolist()]


SUBSCRIPTION_CODES = frozenset((STARTED, CHANGED, CANCELLED))
