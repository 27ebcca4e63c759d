"""Hourly counts: expectation from the weeks before, and chance."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.monitoring.hourly_counts import HOURS_PER_WEEK, HourlyCounts


def test_nothing_is_expected_before_two_weeks() -> None:
    hourly = HourlyCounts([7] * (2 * HOURS_PER_WEEK))
    assert hourly.expected(1) is None
    hourly.push(0)
    assert hourly.expected(1) == (7, 2)
    assert hourly.expected(24) is None


def test_one_bad_week_is_not_the_norm() -> None:
    week = list(range(HOURS_PER_WEEK))
    hourly = HourlyCounts([*week, *week, *[0] * HOURS_PER_WEEK, *week, *week])
    assert hourly.expected(1) == (week[-1], 4)
    assert hourly.expected(24) == (sum(week[-24:]), 4)


def test_history_is_bounded_and_the_state_goes_on_alike() -> None:
    rng = np.random.default_rng(1)
    hourly = HourlyCounts(rng.poisson(20, 3000).tolist())
    again = HourlyCounts(hourly.counts())
    assert len(hourly.counts()) == 5 * HOURS_PER_WEEK
    for each in (hourly, again):
        each.push(3)
    assert again.counts() == hourly.counts()
    assert again.drop(1, 3.0) == hourly.drop(1, 3.0) > 0
    assert again.dispersion(24, 100) == hourly.dispersion(24, 100)


@pytest.mark.parametrize("burst", [1, 10])
def test_dispersion_is_the_size_of_bursts(burst: int) -> None:
    rng = np.random.default_rng(2)
    hourly = HourlyCounts((burst * rng.poisson(50, 840)).tolist())
    assert hourly.dispersion(1, 10.0) == pytest.approx(burst, rel=0.35)


def test_silent_hours_count_from_the_last_event() -> None:
    hourly = HourlyCounts([5, 0, 0])
    assert hourly.silent_hours == 2
    hourly.push(1)
    assert hourly.silent_hours == 0
    assert HourlyCounts([0] * 500).silent_hours == HOURS_PER_WEEK
