"""Segments: the rules in their order."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.scoring.segments import SEGMENTS, segments

LOYAL = {
    "account_age_days": 400.0,
    "active_days_30d": 20.0,
    "avg_dau_14d": 5.0,
    "avg_dau_30d": 5.0,
    "days_since_last_activity": 0.4,
}


def segment(changed: dict[str, float], tier: int = 0) -> str:
    row = np.zeros((1, len(FEATURES)))
    for name, value in (LOYAL | changed).items():
        row[0, INDEX[name]] = value
    return SEGMENTS[int(segments(row, np.array([tier], np.int8))[0])]


@pytest.mark.parametrize(
    ("expected", "changed"),
    [
        ("loyal", {}),
        ("steady", {"account_age_days": 180.0}),
        ("steady", {"active_days_30d": 11.0}),
        ("growing", {"avg_dau_14d": 6.3}),
        ("loyal", {"avg_dau_14d": 1.0, "avg_dau_30d": 0.8, "active_days_30d": 12.0}),
        ("shrinking", {"avg_dau_14d": 3.7}),
        ("shrinking", {"downgraded_90d": 1.0}),
        ("new", {"account_age_days": 29.9, "avg_dau_14d": 9.0}),
        ("dormant", {"days_since_last_activity": 14.0, "account_age_days": 20.0}),
        ("dormant", {"days_since_last_activity": np.nan, "avg_dau_14d": 0.0, "avg_dau_30d": 0.0}),
    ],
)
def test_the_first_rule_that_holds(expected: str, changed: dict[str, float]) -> None:
    assert segment(changed) == expected
    assert segment(changed, tier=1) == expected
    assert segment(changed, tier=2) == segment(changed, tier=3) == "at_risk"
