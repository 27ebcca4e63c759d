"""How far a partition is from the order of time."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.contracts.events import US_PER_DAY, US_PER_HOUR
from c360_stream.features.time_order import Order, order_of

times = st.lists(st.integers(0, 40 * US_PER_HOUR), max_size=60)
FAR_US = 30_000 * US_PER_DAY


@given(times, st.integers(0, 3 * US_PER_HOUR))
def test_in_order_nothing_is_late_and_within_the_lateness_neither(found: list[int], lateness_us: int) -> None:
    found.sort()
    assert order_of(found, lateness_us) == Order(len(found), 0, 0)
    shaken = sorted(found, key=lambda us: us + Random(us).randrange(lateness_us + 1))
    assert order_of(shaken, lateness_us) == Order(len(found), 0, 0)


@pytest.mark.parametrize("spacing_us", [US_PER_HOUR // 60, US_PER_HOUR // 8, 2 * US_PER_HOUR, 3 * US_PER_DAY])
def test_newest_first_nearly_everything_is_late(spacing_us: int) -> None:
    found = [number * spacing_us for number in range(1000)][::-1]
    order = order_of(found, US_PER_HOUR)
    assert order.late == 1000 - (1 + US_PER_HOUR // spacing_us)
    assert order.behind_us == found[0]


def test_a_few_absurd_times_make_nothing_behind_them_late() -> None:
    in_order = [number * US_PER_HOUR // 6 for number in range(1000)]
    for place in (0, 1, 500, 999):
        found = [*in_order[:place], FAR_US, *in_order[place:]]
        assert order_of(found, US_PER_HOUR) == Order(1001, 0, 0)
    assert order_of([us if number % 10 else FAR_US + us for number, us in enumerate(in_order)], US_PER_HOUR).late == 0


def test_a_log_that_really_leaps_takes_its_mark_along() -> None:
    """What comes from before the leap is late then, and so is the history that somebody sent after the event."""
    present = [100 * US_PER_DAY + number for number in range(100)]
    order = order_of([1, 2, *present, *range(3, 10), *present], US_PER_HOUR)
    assert (order.events, order.late) == (209, 7)
    assert order.behind_us == present[-1] - 3


def test_of_two_sources_in_turn_the_one_that_lags_is_late() -> None:
    found = [us - lag for us in range(0, 100 * US_PER_DAY, US_PER_DAY) for lag in (0, 2 * US_PER_DAY)]
    assert order_of(found, US_PER_HOUR).late == 99, "nothing confirms the last leap, so the one behind it is not late"


def test_nothing_and_one_event_are_in_order() -> None:
    assert order_of([], 0) == Order(0, 0, 0)
    assert order_of([5], 0) == Order(1, 0, 0)
