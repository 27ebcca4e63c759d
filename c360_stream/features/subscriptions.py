"""Subscription state: a fold over an account's subscription events in the order (occurred_at, event_id)."""

from __future__ import annotations

from bisect import insort
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.events import US_PER_DAY
from c360_stream.features.columns import CANCELLED, CHANGED, NO_TIME, STARTED
from c360_stream.features.growth import with_room
from c360_stream.snapshot import Pages

HISTORY_DAYS = 92
EVENTS_MAX = 256
PLANS_SHARED_MAX = 10_000


class SubscriptionEvent(NamedTuple):
    """One subscription event; None where a field is absent and keeps its value."""

    time_us: int
    event_id: str
    code: int
    mrr_cents: int | None
    seats: int | None
    renewal_us: int | None
    plan: str | None = None


class _Standing(NamedTuple):
    active: bool = True
    mrr_cents: int | None = None
    seats: int | None = None
    renewal_us: int | None = None
    downgrade_day: int = NO_TIME
    plan: str | None = None


def _after(standing: _Standing, event: SubscriptionEvent) -> _Standing:
    if event.code == CANCELLED:
        return standing._replace(active=False, mrr_cents=0)
    if event.code == STARTED:
        return _Standing(True, event.mrr_cents, event.seats, event.renewal_us, standing.downgrade_day, event.plan)
    mrr, seats, renewal = (
        held if given is None else given
        for held, given in zip(standing[1:4], (event.mrr_cents, event.seats, event.renewal_us), strict=True)
    )
    went_down = mrr is not None and standing.mrr_cents is not None and mrr < standing.mrr_cents
    day = max(standing.downgrade_day, event.time_us // US_PER_DAY) if went_down else standing.downgrade_day
    plan = event.plan or standing.plan
    return standing._replace(mrr_cents=mrr, seats=seats, renewal_us=renewal, downgrade_day=day, plan=plan)


def _order(event: SubscriptionEvent) -> tuple[int, str]:
    return event.time_us, event.event_id


class Subscriptions:
    """Every account's standing, as columns, kept exact when events come late.

    The events of the last `HISTORY_DAYS` days (at most `EVENTS_MAX` an account) are kept and folded again
    when one arrives out of order; older ones are folded away for good.
    """

    def __init__(self, capacity: int = 64) -> None:
        self.active = np.ones(capacity, np.bool_)
        self.mrr_cents = np.full(capacity, np.nan)
        self.seats = np.full(capacity, np.nan)
        self.renewal_us = np.full(capacity, NO_TIME, np.int64)
        self.downgrade_day = np.full(capacity, NO_TIME, np.int64)
        self._plan: dict[int, str] = {}
        self._plans: dict[str, str] = {}
        self._base: dict[int, _Standing] = {}
        self._events: dict[int, list[SubscriptionEvent]] = {}

    def reserve(self, accounts: int) -> None:
        """Make room for `accounts` accounts."""
        self.active = with_room(self.active, accounts, True)
        self.mrr_cents = with_room(self.mrr_cents, accounts, np.nan)
        self.seats = with_room(self.seats, accounts, np.nan)
        self.renewal_us = with_room(self.renewal_us, accounts, NO_TIME)
        self.downgrade_day = with_room(self.downgrade_day, accounts, NO_TIME)

    def apply(self, account: int, event: SubscriptionEvent, today: int) -> None:
        """Take one event of an account; any order."""
        if event.plan is not None:
            # Few plans have many accounts: one string each, not one an event.
            if len(self._plans) > PLANS_SHARED_MAX:
                self._plans.clear()
            event = event._replace(plan=self._plans.setdefault(event.plan, event.plan))
        events = self._events.setdefault(account, [])
        insort(events, event, key=_order)
        oldest_us = (today - HISTORY_DAYS) * US_PER_DAY
        while len(events) > 1 and (events[0].time_us < oldest_us or len(events) > EVENTS_MAX):
            self._base[account] = _after(self._base.get(account, _Standing()), events.pop(0))
        standing = self._base.get(account, _Standing())
        for held in events:
            standing = _after(standing, held)
        self.active[account] = standing.active
        self.mrr_cents[account] = np.nan if standing.mrr_cents is None else standing.mrr_cents
        self.seats[account] = np.nan if standing.seats is None else standing.seats
        self.renewal_us[account] = NO_TIME if standing.renewal_us is None else standing.renewal_us
        self.downgrade_day[account] = standing.downgrade_day
        if standing.plan is not None:
            self._plan[account] = standing.plan

    def downgraded_since(self, day: int, chosen: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether MRR went down on `day` or later; bool of shape (chosen,)."""
        return self.downgrade_day[chosen] >= day

    def plans(self, chosen: NDArray[np.int32]) -> list[str]:
        """The plan of each account, of the last subscription if it has cancelled; empty where none is known."""
        return [self._plan.get(account, "") for account in chosen.tolist()]

    def state(self, accounts: int) -> dict[str, Any]:
        """Plain data for `restore`, to be packed before anything changes: arrays are those in use."""
        return {
            "active": self.active,
            "mrr_cents": self.mrr_cents,
            "seats": self.seats,
            "renewal_us": self.renewal_us,
            "downgrade_day": self.downgrade_day,
            "plan": Pages.by_account(self._plan, accounts),
            "base": Pages.by_account(self._base, accounts),
            "events": Pages.by_account(self._events, accounts),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self.active, self.mrr_cents, self.seats, self.renewal_us, self.downgrade_day = (
            state[name] for name in ("active", "mrr_cents", "seats", "renewal_us", "downgrade_day")
        )
        self._plan = dict(Pages.joined(state["plan"]))
        self._base = {account: _Standing(*standing) for account, standing in Pages.joined(state["base"])}
        self._events = {
            account: [SubscriptionEvent(*event) for event in events]
            for account, events in Pages.joined(state["events"])
        }


SUBSCRIPTION_CODES = frozenset((STARTED, CHANGED, CANCELLED))
