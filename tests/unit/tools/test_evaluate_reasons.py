"""The judge of reasons finds what is wrong with them, and its figures are those of a count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.models.additive import AdditiveVersion, Curve
from c360_stream.scoring.reasons import Reasons
from c360_stream.scoring.scored import ScoredRows
from c360_stream.scoring.tiers import HIGH
from c360_stream.tools.evaluate.reason_check import ReasonCheck, reason_table
from tests.unit.learning.rows import feature_rows
from tests.unit.operators.test_rows import scored

Floats = NDArray[np.float64]

VERSION = AdditiveVersion(
    "m",
    20_000,
    -1.0,
    {
        "avg_dau_7d": Curve((0.0, 10.0), (1.2, -0.5), 0.0),
        "avg_dau_30d": Curve((0.0, 10.0), (-0.4, 0.3), 0.0),
        "avg_csat_30d": Curve((1.0, 5.0), (-0.2, 0.9), 0.1),
    },
)


def scores_of(features: Floats, tier: int) -> ScoredRows:
    """Scores of such features by `VERSION`, all in one tier."""
    made = VERSION.score(features, 0)
    whole = scored(len(features), "tick")
    tiers = np.full(len(features), tier, np.int8)
    return replace(
        whole, features=features, contributions=made.contributions, risk=made.risk, version=VERSION, tier=tiers
    )


def usual(count: int, seed: int = 5) -> Floats:
    """Accounts of a company of small teams: some active users a day, all satisfactions, few silent for a week.

    Where three quarters of all accounts were silent for a week, six and a half days would be better than ordinary.
    """
    random, rows = np.random.default_rng(seed), feature_rows(count, seed)
    for name in ("avg_dau_7d", "avg_dau_14d", "avg_dau_30d"):
        rows[:, INDEX[name]] = random.gamma(1.0, 3.0, count)
    rows[:, INDEX["avg_csat_30d"]] = random.integers(1, 6, count)
    rows[:, INDEX["days_since_last_activity"]] = random.exponential(4.0, count)
    return rows


NONE = Reasons(np.zeros(2, np.int32), [], [], [], [])


def test_what_is_told_is_never_against_its_direction_and_adds_up() -> None:
    check = ReasonCheck()
    for seed in range(3):
        check.take(scores_of(usual(400, seed), HIGH))
    check.take(scores_of(usual(50, 9), HIGH - 1))
    found = check.figures(usual(2_000))
    assert found["scores"] == 1_200
    assert found["against_direction_by_feature"] == {}
    assert found["share_against_direction"] == found["share_first_lowers"] == 0.0
    assert found["share_only_fallback"] > 0.0, "a satisfied customer who is told no reason"
    assert 0.0 <= found["share_without_reason"] < 0.2
    assert found["largest_difference"] < 1e-12


def test_parts_that_do_not_add_up_are_found() -> None:
    scores = scores_of(feature_rows(10, 1), HIGH)
    scores.contributions[3, 0] += 0.25
    check = ReasonCheck()
    check.take(scores)
    assert check.figures(usual(100))["largest_difference"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("name", "value", "contribution", "against"),
    [
        ("avg_csat_30d", 5.0, 0.5, True),
        ("avg_csat_30d", 1.0, 0.5, False),
        ("avg_csat_30d", 1.0, -0.5, True),
        ("avg_csat_30d", 3.0, 0.5, False),
        ("days_since_last_activity", 60.0, -0.5, True),
        ("days_since_last_activity", 0.0, 0.5, True),
        ("days_since_last_activity", 60.0, 0.5, False),
        ("days_since_last_activity", None, 0.5, False),
        ("mrr_cents", 1e9, 0.5, False),
        ("model", None, 0.5, False),
    ],
)
def test_the_judge_goes_by_what_is_ordinary(name: str, value: float | None, contribution: float, against: bool) -> None:
    """Given reasons as another way of telling might choose them."""
    given = Reasons(np.array([0, 1], np.int32), [name], [value], [contribution], ["text"])
    check = ReasonCheck()
    check.count(*((given, NONE) if contribution > 0 else (NONE, given)))
    ordinary = usual(1_000)
    ordinary[:, INDEX["avg_csat_30d"]] = np.tile([2.0, 3.0, 4.0, np.nan], 250)
    found = check.figures(ordinary)
    assert found["share_against_direction"] == float(against)
    assert found["share_without_reason"] == float(contribution < 0)
    assert found["share_only_fallback"] == float(name == "model")


def test_the_first_reason_may_not_lower_the_risk() -> None:
    given = Reasons(np.array([0, 2], np.int32), ["nps_score", "avg_dau_7d"], [9.0, 0.0], [-0.2, 0.5], ["a", "b"])
    check = ReasonCheck()
    check.count(given, NONE)
    assert check.figures(usual(100))["share_first_lowers"] == 1.0


def test_nobody_at_risk_has_no_shares() -> None:
    found = ReasonCheck().figures(np.full((1, len(FEATURES)), np.nan))
    assert found["scores"] == 0
    assert found["share_against_direction"] is None
    run = {"reasons": found}
    [row] = reason_table({"worlds": [{"world": {"title": "steady 7"}, "runs": {"default": run}}]}).rows
    assert row[:2] == ("steady 7", "default")
