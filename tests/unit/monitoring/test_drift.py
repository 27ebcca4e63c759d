"""Population stability index: quiet on samples of one distribution, loud on a shift."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2

from c360_stream.monitoring.drift import RING_TICKS, Psi, SlidingWindows, _chi_square_quantile, psi
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
