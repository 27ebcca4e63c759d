"""Tiers: thresholds, hysteresis, and no flapping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.learning.tiers import NO_TIER, TIERS, Tiers

THRESHOLDS = (0.10, 0.25, 0.50)
risks = st.floats(0, 1)


def assign(risk: float, previous: int, hysteresis: float = 0.1) -> int:
    return int(Tiers(THRESHOLDS, hysteresis).assign(np.array([risk]), np.array([previous], np.int8))[0])


@pytest.mark.parametrize(
    ("risk", "tier"),
    [(0.0, "low"), (0.0999, "low"), (0.10, "medium"), (0.25, "high"), (0.4999, "high"), (0.5, "critical")],
)
def test_a_new_account_has_the_tier_of_its_threshold(risk: float, tier: str) -> None:
    assert TIERS[assign(risk, NO_TIER)] == tier


@pytest.mark.parametrize(
    ("risk", "previous", "tier"),
    [
        (0.24, "high", "high"),
        (0.2249, "high", "medium"),
        (0.24, "medium", "medium"),
        (0.45, "critical", "critical"),
        (0.44, "critical", "high"),
        (0.05, "critical", "low"),
        (0.095, "critical", "medium"),
        (0.6, "low", "critical"),
    ],
)
def test_a_tier_is_left_below_its_threshold_less_the_hysteresis(risk: float, previous: str, tier: str) -> None:
    assert TIERS[assign(risk, TIERS.index(previous))] == tier


@given(risks, risks, st.integers(NO_TIER, 3))
def test_a_risk_between_leaving_and_entering_does_not_flap(first: float, second: float, start: int) -> None:
    """Whoever swings within one band changes tier at most once."""
    tier, changes = start, -1 if start == NO_TIER else 0
    for risk in [first, second] * 4:
        after = assign(0.225 + 0.0249 * risk, tier)
        changes += after != tier
        tier = after
    assert changes <= 1


@given(risks, st.integers(NO_TIER, 3))
def test_without_hysteresis_the_past_does_not_matter(risk: float, previous: int) -> None:
    assert assign(risk, previous, hysteresis=0.0) == assign(risk, NO_TIER)


@given(risks, risks, st.integers(NO_TIER, 3))
def test_more_risk_is_never_a_lower_tier(one: float, other: float, previous: int) -> None:
    assert assign(min(one, other), previous) <= assign(max(one, other), previous)
