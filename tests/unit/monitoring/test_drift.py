"""Population stability index: quiet on samples of one distribution, loud on a shift."""

from __future__ import annotations

from calendar import monthrange
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import utc_time
from c360_stream.monitoring.drift import (
    RING_TICKS,
    USUAL_WEEKS,
    Psi,
    SlidingWindows,
    UsualPsi,
    _chi_square_quantile,
    month_before,
    psi,
)
from c360_stream.monitoring.histograms import BINS, Counts, bins


def counts(values: NDArray[np.float64]) -> Counts:
    known = values[~np.isnan(values)]
    return np.append(np.bincount(bins(known), minlength=BINS), len(values) - len(known))


def of_samples(reference: NDArray[np.float64], current: NDArray[np.float64]) -> Psi:
    return psi(counts(reference), counts(current), len(reference), len(current))


@pytest.mark.parametrize("accounts", [30, 300, 3000])
def test_sampling_noise_stays_below_its_bound(accounts: int) -> None:
    rng = np.random.default_rng(accounts)
    found = [of_samples(rng.gamma(2, 3, accounts), rng.gamma(2, 3, accounts)) for _ in range(300)]
    assert all(each.value < each.noise for each in found)
    assert np.mean([each.value for each in found]) == pytest.approx(2 / accounts * 9, rel=0.25)


def test_a_shift_exceeds_the_thresholds() -> None:
    rng = np.random.default_rng(1)
    found = of_samples(rng.normal(10, 2, 1000), rng.normal(11.5, 2, 1000))
    assert found.value > 0.2
    assert found.value > found.noise


@pytest.mark.parametrize(
    ("before", "now"), [(0.0, 1.0), (1.0, 0.0), (5.0, 4.0), (5.0, 6.0), (np.nan, 1.0), (1.0, np.nan)]
)
def test_a_constant_that_moves_is_seen_in_either_direction(before: float, now: float) -> None:
    found = of_samples(np.full(200, before), np.r_[np.full(150, before), np.full(50, now)])
    assert found.value > max(0.2, found.noise)


def test_a_rare_flag_is_a_bin_of_its_own() -> None:
    found = of_samples(np.r_[np.zeros(980), np.ones(20)], np.r_[np.zeros(800), np.ones(200)])
    assert found.value > 0.2


@pytest.mark.parametrize("freedom", [1, 2, 5, 10])
def test_chi_square_quantile(freedom: int) -> None:
    assert _chi_square_quantile(freedom) == pytest.approx(chi2.ppf(1 - 1e-4, freedom), rel=0.08)


def test_windows_hold_the_last_week_and_the_weeks_a_month_before() -> None:
    windows = SlidingWindows(RING_TICKS * 2)
    for tick in range(100):
        assert windows.full == (tick >= RING_TICKS)
        windows.push(tick, tick, np.bincount([tick], minlength=RING_TICKS * 2))
    assert np.flatnonzero(windows.current.counts).tolist() == list(range(93, 100))
    assert np.flatnonzero(windows.reference.counts).tolist() == list(range(44, 72))
    assert windows.current.accounts == 96
    assert windows.reference.accounts == np.mean(range(44, 72))
    again = SlidingWindows(RING_TICKS * 2)
    again.restore(windows.state())
    np.testing.assert_array_equal(again.reference.counts, windows.reference.counts)
    np.testing.assert_array_equal(again.current.counts, windows.current.counts)


def test_the_same_days_of_the_month_before_are_a_reference_where_they_are_whole() -> None:
    march_31 = 19_813
    windows = SlidingWindows(RING_TICKS * 2)
    for place in range(RING_TICKS):
        day = march_31 - RING_TICKS + 1 + place
        windows.push(day, 10, np.bincount([place], minlength=RING_TICKS * 2))
    pooled, *same = windows.references()
    assert pooled.counts is windows.reference.counts
    # Counted from the month's beginning and from its end, both end on 29 February.
    last = RING_TICKS - 1 - 31
    assert [np.flatnonzero(each.counts).tolist() for each in same] == [list(range(last - 6, last + 1))] * 2
    assert [each.accounts for each in same] == [10.0, 10.0]
    windows.push(march_31 + 40, 10, np.bincount([0], minlength=RING_TICKS * 2))
    assert len(windows.references()) == 1, "a month that was left out is no reference"


@given(st.integers(0, 40_000))
def test_a_month_before_is_a_day_of_the_month_before(day: int) -> None:
    date = utc_time(day * US_PER_DAY).date()
    from_begin, from_end = (utc_time(each * US_PER_DAY).date() for each in month_before(day))
    for found in (from_begin, from_end):
        assert (date.year * 12 + date.month) - (found.year * 12 + found.month) == 1
    assert from_begin.day == date.day or (from_begin + timedelta(days=1)).day == 1
    left = monthrange(date.year, date.month)[1] - date.day
    assert monthrange(from_end.year, from_end.month)[1] - from_end.day == left or from_end.day == 1
    assert 28 <= day - month_before(day)[0] <= 31


def test_what_is_usual_leaves_out_the_last_weeks_and_few_peaks() -> None:
    usual = UsualPsi()
    assert usual.limits(Psi(0.0, 0.01), (0.1, 0.2)) == (0.1, 0.2)
    for tick in range(140):
        usual.take(tick, 0.9 if tick in {14, 139} else 0.08)
    assert usual.value == 0.08
    assert usual.limits(Psi(0.0, 0.01), (0.1, 0.2)) == pytest.approx((0.2, 0.4))
    assert usual.limits(Psi(0.0, 0.3), (0.1, 0.2)) == pytest.approx((0.3, 0.4))
    again = UsualPsi()
    again.restore(usual.state())
    assert again.value == usual.value
    for tick in range(140, 600):
        usual.take(tick, 0.01)
    assert len(usual.state()["weeks"]) == USUAL_WEEKS
