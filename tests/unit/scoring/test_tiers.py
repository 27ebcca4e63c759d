"""Tiers: entered at their thresholds at once, left after days below a band, and raised between ticks if certain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.contracts.records import TIERS
from c360_stream.scoring.tiers import NO_TIER, Tiers

THRESHOLDS = (0.10, 0.25, 0.50)
risks = st.floats(0, 1)


def at_ticks(days: list[float], previous: int, *, hysteresis: float = 0.2, min_days: int = 0) -> int:
    """The tier at the last of some days, given the one before it."""
    tiers = Tiers(THRESHOLDS, hysteresis, min_days)
    return int(tiers.at_tick(np.array(days[::-1])[:, None], np.array([previous], np.int8))[0])


def between(risk: float, previous: int, hysteresis: float = 0.2) -> int:
    tiers = Tiers(THRESHOLDS, hysteresis, min_days=7)
    return int(tiers.between(np.array([risk]), np.array([previous], np.int8))[0])


@pytest.mark.parametrize(
    ("risk", "tier"),
    [(0.0, "low"), (0.0999, "low"), (0.10, "medium"), (0.25, "high"), (0.4999, "high"), (0.5, "critical")],
)
def test_a_new_account_has_the_tier_of_its_threshold(risk: float, tier: str) -> None:
    assert TIERS[at_ticks([risk], NO_TIER, min_days=7)] == tier
    assert TIERS[Tiers(THRESHOLDS, 0.2, 7).entered(np.array([risk]))[0]] == tier


@pytest.mark.parametrize(
    ("risk", "previous", "tier"),
    [
        (0.2, "high", "high"),
        (0.1999, "high", "medium"),
        (0.24, "medium", "medium"),
        (0.4, "critical", "critical"),
        (0.39, "critical", "high"),
        (0.05, "critical", "low"),
        (0.085, "critical", "medium"),
        (0.6, "low", "critical"),
    ],
)
def test_without_days_a_tier_is_left_at_once_below_its_threshold_less_the_band(
    risk: float, previous: str, tier: str
) -> None:
    for min_days in (0, 1):
        assert TIERS[at_ticks([0.6, risk], TIERS.index(previous), min_days=min_days)] == tier


@pytest.mark.parametrize(
    ("days", "tier"),
    [
        ([0.3, 0.1, 0.1], "high"),  # above it two ticks ago
        ([0.3, 0.1, 0.1, 0.1], "medium"),
        ([0.3, 0.1, 0.2, 0.1], "high"),  # at the line a tick ago
        ([0.3, 0.1, 0.19, 0.01], "medium"),  # as low as its highest risk of the three days
        ([0.6, 0.01, 0.01, 0.01], "low"),
        ([np.nan, np.nan, 0.3], "high"),
    ],
)
def test_a_tier_is_left_after_days_in_a_row_below_its_line(days: list[float], tier: str) -> None:
    assert TIERS[at_ticks(days, TIERS.index("high"), min_days=3)] == tier


@pytest.mark.parametrize(
    ("risk", "previous", "tier"),
    [
        (0.29, "medium", "medium"),
        (0.31, "medium", "high"),
        (0.59, "low", "high"),
        (0.61, "low", "critical"),
        (0.0, "critical", "critical"),
    ],
)
def test_between_ticks_a_tier_only_rises_and_only_above_its_threshold_plus_the_band(
    risk: float, previous: str, tier: str
) -> None:
    assert TIERS[between(risk, TIERS.index(previous))] == tier


@given(st.lists(risks, min_size=1, max_size=8), st.integers(NO_TIER, 3))
def test_without_band_and_days_the_past_does_not_matter(days: list[float], previous: int) -> None:
    assert at_ticks(days, previous, hysteresis=0.0) == at_ticks(days[-1:], NO_TIER)
