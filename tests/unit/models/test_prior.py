"""The prior rule: starts from the expected churn rate, moves the way its table says, shares the versions' interface."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.models.prior import prior_version
from c360_stream.models.version_json import version_from_json

VERSION = prior_version(20_000, 0.08, {})
CALM = {"days_since_last_activity": 3.0, "usage_trend_ratio_7d_30d": 1.0}


def risk(**values: float) -> float:
    row = np.zeros((1, len(FEATURES)))
    for name, value in {**CALM, **values}.items():
        row[0, INDEX[name]] = value
    return float(VERSION.score(row, 20_000 * 86_400_000_000).risk[0])


def test_an_unremarkable_account_has_the_expected_rate() -> None:
    assert risk() == pytest.approx(0.08)


@pytest.mark.parametrize(
    ("name", "worse"),
    [
        ("days_since_last_activity", [0.0, 5.0, 10.0, 20.0, 40.0]),
        ("usage_trend_ratio_7d_30d", [2.0, 1.0, 0.5, 0.0]),
        ("payment_failures_30d", [0.0, 1.0, 3.0]),
        ("downgraded_90d", [0.0, 1.0]),
        ("urgent_tickets_30d", [0.0, 1.0, 3.0]),
    ],
)
def test_signs_raise_the_risk(name: str, worse: list[float]) -> None:
    risks = [risk(**{name: value}) for value in worse]
    assert risks == sorted(set(risks))


def test_an_account_that_was_never_active_is_at_risk() -> None:
    assert risk(days_since_last_activity=np.nan, usage_trend_ratio_7d_30d=np.nan) > 0.25


def test_says_what_it_is_and_is_kept_like_any_version() -> None:
    assert VERSION.model_name == "prior-rule"
    assert version_from_json(VERSION.to_json()) == VERSION
