"""Outages are taken out of usage windows: exactly those windows, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.models.exposure import corrected
from tests.unit.learning.rows import DAY_US, feature_rows

TICK = 20_000
NOW = TICK * DAY_US


def one(**values: float) -> np.ndarray:
    row = np.full((1, len(FEATURES)), 1.0)
    for name, value in values.items():
        row[0, INDEX[name]] = value
    return row


def value(row: np.ndarray, name: str) -> float:
    return float(row[0, INDEX[name]])


def test_without_exposures_nothing_changes() -> None:
    rows = feature_rows(5, seed=1)
    assert corrected(rows, NOW, {}) is rows


def test_two_lost_days_are_scaled_out_of_each_window() -> None:
    """A steady account with 10 users a day: after two lost days the averages are as if nothing had happened."""
    row = one(
        avg_dau_7d=50 / 7, avg_dau_14d=120 / 14, avg_dau_30d=280 / 30, active_days_30d=28, invites_sent_30d=14,
        usage_trend_ratio_7d_30d=(50 / 7) / (280 / 30), nps_score=9, support_tickets_30d=3,
    )  # fmt: skip
    result = corrected(row, NOW, {TICK - 1: 0.0, TICK - 2: 0.0})
    for name in ("avg_dau_7d", "avg_dau_14d", "avg_dau_30d"):
        assert value(result, name) == pytest.approx(10)
    assert value(result, "usage_trend_ratio_7d_30d") == pytest.approx(1)
    assert value(result, "active_days_30d") == pytest.approx(30)
    assert value(result, "invites_sent_30d") == pytest.approx(15)
    assert (value(result, "nps_score"), value(result, "support_tickets_30d")) == (9, 3)


@pytest.mark.parametrize(
    ("as_of_us", "day", "touched"),
    [
        (NOW, TICK - 1, True),
        (NOW, TICK - 7, True),
        (NOW, TICK - 8, False),
        (NOW, TICK, False),
        (NOW + 1, TICK, True),
        (NOW + 1, TICK - 6, True),
        (NOW + 1, TICK - 7, False),
    ],
)
def test_the_window_is_the_last_7_dates(as_of_us: int, day: int, touched: bool) -> None:
    result = corrected(one(avg_dau_7d=6.0), as_of_us, {day: 0.5})
    assert value(result, "avg_dau_7d") == pytest.approx(6.0 * 7 / 6.5 if touched else 6.0)


@pytest.mark.parametrize(
    ("silence", "expected"), [(0.25, 0.25), (1.5, 1.0), (2.0, 1.0), (3.0, 1.5), (10.0, 8.5), (np.nan, np.nan)]
)
def test_silence_is_shortened_by_the_time_lost_to_it(silence: float, expected: float) -> None:
    exposures = {TICK - 2: 0.0, TICK - 3: 0.5}
    result = corrected(one(days_since_last_activity=silence), NOW, exposures)
    assert value(result, "days_since_last_activity") == pytest.approx(expected, nan_ok=True)


def test_a_window_with_nothing_left_is_scaled_within_bounds() -> None:
    result = corrected(one(avg_dau_7d=1.0, active_days_30d=30.0), NOW, {TICK - n: 0.0 for n in range(1, 31)})
    assert value(result, "avg_dau_7d") == 4.0
    assert value(result, "active_days_30d") == 30.0


def test_a_row_does_not_depend_on_its_company() -> None:
    rows = feature_rows(60, seed=2)
    as_of = (TICK - np.arange(60)) * DAY_US + np.arange(60) % 2
    exposures = {TICK - 5: 0.0, TICK - 40: 0.3}
    together = corrected(rows, as_of, exposures)
    for i in range(60):
        alone = corrected(rows[i : i + 1], int(as_of[i]), exposures)
        assert np.array_equal(alone[0], together[i], equal_nan=True)


def test_the_input_is_left_alone() -> None:
    rows = feature_rows(5, seed=3)
    copy = rows.copy()
    corrected(rows, NOW, {TICK - 1: 0.0})
    assert np.array_equal(rows, copy, equal_nan=True)
    assert corrected(rows[:0], np.empty(0, np.int64), {TICK - 1: 0.0}).shape == (0, len(FEATURES))
