"""Subscription state: a fold in the order (occurred_at, event_id), whatever the order of arrival."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.events import US_PER_DAY
from c360_stream.features.columns import CANCELLED, CHANGED, NO_TIME, STARTED
from c360_stream.features.subscriptions import EVENTS_MAX, HISTORY_DAYS, SubscriptionEvent, Subscriptions
from c360_stream.snapshot import pack, unpack

DAY = 1000
Standing = tuple[bool, float | None, float | None, int | None, int | None]


def standing(subscriptions: Subscriptions, account: int = 0) -> Standing:
    """Active, MRR, seats, renewal and the day of the latest downgrade, None where there is none."""
    mrr, seats = float(subscriptions.mrr_cents[account]), float(subscriptions.seats[account])
    renewal, downgrade = int(subscriptions.renewal_us[account]), int(subscriptions.downgrade_day[account])
    return (
        bool(subscriptions.active[account]),
        None if math.isnan(mrr) else mrr,
        None if math.isnan(seats) else seats,
        None if renewal == NO_TIME else renewal,
        None if downgrade == NO_TIME else downgrade,
    )


def of(
    day: float, code: int, mrr: int | None = None, seats: int | None = None, event_id: str = "e"
) -> SubscriptionEvent:
    return SubscriptionEvent(round((DAY + day) * US_PER_DAY), event_id, code, mrr, seats, None)


def after(*events: SubscriptionEvent, today: int = DAY + 30) -> Standing:
    subscriptions = Subscriptions()
    for each in events:
        subscriptions.apply(0, each, today)
    return standing(subscriptions)


def test_absent_fields_keep_their_value_and_a_start_sets_all() -> None:
    assert after(of(0, STARTED, 100, 5), of(1, CHANGED, seats=7)) == (True, 100, 7, None, None)
    assert after(of(0, STARTED, 100, 5), of(1, CHANGED, 80)) == (True, 80, 5, None, DAY + 1)
    renewing = of(0, STARTED, 100, 5)._replace(renewal_us=77)
    assert after(renewing, of(1, CHANGED)) == (True, 100, 5, 77, None)
    assert after(renewing, of(1, STARTED, 50, 2)) == (True, 50, 2, None, None), "a new start is no downgrade"


def test_a_cancellation_ends_revenue_and_activity_until_a_new_start() -> None:
    assert after(of(0, STARTED, 100, 5), of(1, CANCELLED)) == (False, 0, 5, None, None)
    assert after(of(0, STARTED, 100, 5), of(1, CANCELLED), of(2, STARTED, 60, 3))[:3] == (True, 60, 3)
    assert after(of(0, STARTED, 100, 5), of(1, CANCELLED), of(2, CHANGED, 60))[:2] == (False, 60)


def test_events_at_one_instant_are_in_the_order_of_their_ids() -> None:
    first, second = of(0, CANCELLED, event_id="a"), of(0, STARTED, 100, 5, event_id="b")
    assert after(first, second) == after(second, first) == (True, 100, 5, None, None)


steps = st.tuples(
    st.floats(0, 260), st.sampled_from([STARTED, CHANGED, CHANGED, CANCELLED]), st.sampled_from([None, 0, 50, 90])
)


@settings(deadline=None)
@given(st.lists(steps, max_size=20), st.integers(0, 2**32), st.integers(0, 20))
def test_late_events_and_resuming_do_not_matter(
    history: list[tuple[float, int, int | None]], seed: int, cut: int
) -> None:
    """Events come up to 40 days late; what is older than the memory is folded away meanwhile."""
    events = [
        of(day, code, 70 if code == STARTED and mrr is None else mrr, 5, f"e{i}")
        for i, (day, code, mrr) in enumerate(history)
    ]
    in_order, late = Subscriptions(), Subscriptions()
    ordered = sorted(events)
    for each in ordered:
        in_order.apply(0, each, each.time_us // US_PER_DAY)
    draw = Random(seed)
    arrivals = sorted((each.time_us + round(draw.random() * 40 * US_PER_DAY), each) for each in events)
    for position, (arrived_us, each) in enumerate(arrivals):
        if position == cut:
            state = unpack("s", pack("s", late.state(1)))
            late = Subscriptions()
            late.restore(state)
        late.apply(0, each, arrived_us // US_PER_DAY)
    assert standing(late) == standing(in_order)
    if events:
        downgrades = [
            later.time_us // US_PER_DAY
            for earlier, later in pairwise(ordered)
            if earlier.code == STARTED and later.code == CHANGED and (later.mrr_cents or 999) < (earlier.mrr_cents or 0)
        ]
        assert all((standing(late)[4] or 0) >= day for day in downgrades)


def test_memory_is_bounded_in_time_and_number() -> None:
    subscriptions = Subscriptions()
    for number in range(EVENTS_MAX + 10):
        subscriptions.apply(0, of(0, CHANGED, number, 5, f"{number:05}"), DAY)
    [[events]] = subscriptions.state(1)["events"]
    assert len(events) == EVENTS_MAX
    later = HISTORY_DAYS + 1
    subscriptions.apply(0, of(later, CHANGED, seats=9), DAY + later)
    [[events]] = subscriptions.state(1)["events"]
    assert len(events) == 1
    assert standing(subscriptions)[:3] == (True, EVENTS_MAX + 9, 9)


def test_whether_revenue_went_down_in_a_window() -> None:
    subscriptions = Subscriptions()
    for event in (of(0, STARTED, 100, 5), of(3.5, CHANGED, 80), of(4, CHANGED, 90)):
        subscriptions.apply(0, event, DAY + 4)
    chosen = np.array([0, 1], np.int32)
    assert subscriptions.downgraded_since(DAY + 3, chosen).tolist() == [True, False]
    assert subscriptions.downgraded_since(DAY + 4, chosen).tolist() == [False, False]


def test_the_plan_is_that_of_the_latest_event_that_names_one() -> None:
    changes = [
        of(0, STARTED)._replace(plan="team"),
        of(1, CHANGED),
        of(2, CHANGED)._replace(plan="business"),
        of(3, CANCELLED),
    ]
    for order in (changes, changes[::-1]):
        subscriptions = Subscriptions()
        for event in order:
            subscriptions.apply(0, event, DAY + 4)
        restored = Subscriptions()
        restored.restore(unpack("s", pack("s", subscriptions.state(2))))
        for each in (subscriptions, restored):
            assert each.plans(np.array([0, 1], np.int32)) == ["business", ""]
