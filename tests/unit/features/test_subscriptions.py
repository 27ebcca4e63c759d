"""Subscription state: a fold in the order (occurred_at, event_id), whatever the order of arrival."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.columns import CANCELLED, CHANGED, NO_TIME, STARTED
from c360_stream.features.subscriptions import EVENTS_MAX, HISTORY_DAYS, SubscriptionEvent, Subscriptions
from c360_stream.state.codec import pack, unpack

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
    subscriptions.settle()
    return standing(subscriptions)


def resumed(subscriptions: Subscriptions) -> Subscriptions:
    """The same, from a snapshot."""
    again = Subscriptions()
    again.restore(unpack("s", pack("s", subscriptions.state())))
    return again


def events_of(subscriptions: Subscriptions) -> int:
    """How many events the first account keeps."""
    [page] = subscriptions.state()["events"]
    return len(page[0])


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
            late.settle()
            late = resumed(late)
        late.apply(0, each, arrived_us // US_PER_DAY)
    in_order.settle()
    late.settle()
    assert standing(late) == standing(in_order)
    if events:
        downgrades = [
            later.time_us // US_PER_DAY
            for earlier, later in pairwise(ordered)
            if earlier.code == STARTED and later.code == CHANGED and (later.mrr_cents or 999) < (earlier.mrr_cents or 0)
        ]
        assert all((standing(late)[4] or 0) >= day for day in downgrades)


@st.composite
def histories(draw: st.DrawFn) -> list[SubscriptionEvent]:
    """Events of about 200 days, few of whose moments are shared; sometimes many of them within an hour."""
    size = draw(st.sampled_from([400, 40, 5]))
    days = draw(st.sampled_from([1 / 24, 30, 200]))
    source = Random(draw(st.integers(0, 2**32)))
    value = [None, None, 0, 50, 90]
    return [
        SubscriptionEvent(
            time_us=round((DAY + source.choice([source.random() * days, 0.0])) * US_PER_DAY),
            event_id=f"e{number}",
            code=(code := source.choice([STARTED, CHANGED, CHANGED, CHANGED, CANCELLED])),
            mrr_cents=source.choice(value[2:] if code == STARTED else value),
            seats=source.choice(value[2:] if code == STARTED else value),
            renewal_us=source.choice([None, 7 * US_PER_DAY]),
            plan=source.choice(["team", "business"]) if code == STARTED else source.choice([None, "starter"]),
        )
        for number in range(size)
    ]


@settings(deadline=None, max_examples=30)
@given(histories(), st.integers(0, 2**32), st.sampled_from([1, 3, 50, 1000]))
def test_no_order_of_arrival_shows(history: list[SubscriptionEvent], seed: int, batch: int) -> None:
    """However late, however many at once, and with a snapshot in between."""
    today, draw = max(event.time_us for event in history) // US_PER_DAY, Random(seed)
    in_order = Subscriptions()
    for each in sorted(history, key=lambda event: event[:2]):
        in_order.apply(0, each, each.time_us // US_PER_DAY)
        in_order.settle()
    late, cut = Subscriptions(), draw.randrange(len(history))
    arrivals = draw.choice([history[::-1], draw.sample(history, len(history))])
    for position, each in enumerate(arrivals):
        late.apply(0, each, today)
        if position % batch == 0 or position == cut:
            late.settle()
        if position == cut:
            late = resumed(late)
    late.settle()
    first = np.zeros(1, np.int32)
    assert standing(late)[:4] == standing(in_order)[:4]
    assert late.plans(first) == in_order.plans(first)
    for days in range(90):
        assert late.downgraded_since(today - days, first) == in_order.downgraded_since(today - days, first)
    assert late.misplaced == in_order.misplaced == 0


def test_a_storm_in_reverse_does_not_hide_what_came_before_it() -> None:
    """A price that rose a second after the start, then hundreds of changes of seats: they arrive newest first."""
    second = 1 / 86_400
    events = [of(0, STARTED, 100, 5, "start"), of(second, CHANGED, 200, event_id="price")]
    events += [of((2 + number) * second, CHANGED, seats=number, event_id=f"seats-{number}") for number in range(300)]
    assert after(*events[::-1])[:3] == after(*events)[:3] == (True, 200, 299)


def test_what_is_older_than_the_history_finds_its_place_among_what_has_been_dropped() -> None:
    events = [of(0, STARTED, 100, 5, "start")]
    events += [of(day, CHANGED, 100 + day, None if day > 20 else day, f"e{day}") for day in range(1, 60)]
    for late, expected in (
        (of(30.5, CANCELLED), (False, 159, 20)),
        (of(59.5, CHANGED, 7), (True, 7, 20)),
        (of(20.5, CHANGED, 7, 8), (True, 159, 8)),
        (of(19.5, CHANGED, 7, 8), (True, 159, 20)),
        (of(-1, CANCELLED), (True, 159, 20)),
        (of(25.5, STARTED, 7, 8), (True, 159, 8)),
    ):
        subscriptions = Subscriptions()
        for event in (*events, of(300, CHANGED, event_id="nothing")):
            subscriptions.apply(0, event, DAY + 300)
            subscriptions.settle()
        assert events_of(subscriptions) < len(events)
        subscriptions.apply(0, late, DAY + 300)
        subscriptions.settle()
        assert standing(subscriptions)[:3] == expected, late
        assert subscriptions.misplaced == 0


def test_events_older_than_the_history_are_dropped_but_for_the_last_to_set_a_field() -> None:
    subscriptions = Subscriptions()
    for number in range(1000):
        subscriptions.apply(0, of(number, CHANGED if number else STARTED, number, 5, f"{number:05}"), DAY + number)
        subscriptions.settle()
        assert events_of(subscriptions) < 2 * HISTORY_DAYS + 20
    assert standing(subscriptions)[:3] == (True, 999, 5)


def test_past_the_bound_an_event_still_sets_what_nothing_after_it_has_set_and_is_counted() -> None:
    subscriptions = Subscriptions()
    second = 1 / 86_400
    subscriptions.apply(0, of(0, STARTED, 1000, 5, "start"), DAY)
    for number in range(EVENTS_MAX + 10):
        subscriptions.apply(0, of((10 + number) * second, CHANGED, seats=number, event_id=f"{number:05}"), DAY)
        subscriptions.settle()
    assert events_of(subscriptions) <= EVENTS_MAX
    assert subscriptions.misplaced == 0
    subscriptions = resumed(subscriptions)
    for number in range(20):
        subscriptions.apply(0, of(number / 10 * second, CHANGED, 200 - number, 7, f"late-{number}"), DAY)
    subscriptions.settle()
    assert standing(subscriptions) == (True, 181, EVENTS_MAX + 9, None, None), "that it went down is not known"
    assert subscriptions.misplaced == 20
    assert events_of(subscriptions) <= EVENTS_MAX
    subscriptions.apply(0, of(0.9, CHANGED, 150, event_id="z"), DAY)
    subscriptions.settle()
    assert standing(subscriptions)[4] == DAY
    assert subscriptions.misplaced == 20


def test_whether_revenue_went_down_in_a_window() -> None:
    subscriptions = Subscriptions()
    for event in (of(0, STARTED, 100, 5), of(3.5, CHANGED, 80), of(4, CHANGED, 90)):
        subscriptions.apply(0, event, DAY + 4)
    subscriptions.settle()
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
        subscriptions.settle()
        for each in (subscriptions, resumed(subscriptions)):
            assert each.plans(np.array([0, 1], np.int32)) == ["business", ""]
