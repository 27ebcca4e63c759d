"""The truth is true: cancellations happen as often as it says, today and within 60 days."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from c360_stream.tools.simulate import SCENARIOS, hazard
from c360_stream.tools.simulate.weights import Weights
from tests.unit.tools.simulate.lives import HORIZON, lives

LEAVING_ALONE = {"outage", "seasonal", "monthly_rhythm"}
"""Have steady's truth."""
STEADY = Weights()
OF_THEIR_OWN = [scenario for scenario in SCENARIOS if scenario not in LEAVING_ALONE]


@pytest.mark.parametrize("scenario", OF_THEIR_OWN)
def test_cancellations_are_drawn_from_the_hazard(scenario: str) -> None:
    seen = lives(scenario)
    expected = np.nansum(seen.hazard_1d)
    deviation = np.sqrt(np.nansum(seen.hazard_1d * (1 - seen.hazard_1d)))
    assert abs(seen.cancels.sum() - expected) < 3.5 * deviation


@pytest.mark.parametrize("scenario", OF_THEIR_OWN)
def test_mean_risk_is_what_happens_within_60_days(scenario: str) -> None:
    seen = lives(scenario)
    # Days of one account are not independent: the error is taken over accounts.
    miss = np.where(seen.known, seen.churned - np.nan_to_num(seen.risk_60d), 0.0).sum(axis=0)
    error = miss.std() * np.sqrt(len(miss))
    assert abs(miss.sum()) < 3.5 * error
    few = {"low_rate": 0.2, "large_stay": 0.09, "high_rate": 0.07}
    assert error / seen.churned[seen.known].sum() < few.get(scenario, 0.06), (
        "too few outcomes for the test to mean anything"
    )


def test_risk_is_calibrated_where_it_is_low_and_where_it_is_high() -> None:
    seen = lives("steady")
    risk, churned = seen.risk_60d[seen.known], seen.churned[seen.known]
    edges = np.quantile(risk, [0.5, 0.8, 0.95])
    for group in range(4):
        rows = np.searchsorted(edges, risk) == group
        assert churned[rows].mean() == pytest.approx(risk[rows].mean(), rel=0.2)


def test_a_tenth_leaves_within_60_days_and_the_truth_tells_who() -> None:
    seen = lives("steady")
    churned = seen.churned[seen.known]
    assert 0.09 < churned.mean() < 0.14
    assert 0.83 < roc_auc_score(churned, seen.risk_60d[seen.known]) < 0.92


@pytest.mark.parametrize(
    ("base", "slope_a_day", "x", "regime"),
    [(-8.0, 0.0, 0.0, 0), (-8.0, -0.01, -1.0, 0), (-9.5, 0.01, -1.5, 1), (-10.5, 0.0, -2.8, 1), (-7.0, 0.0, 0.5, 0)],
)
def test_risk_table_agrees_with_sampling(base: float, slope_a_day: float, x: float, regime: int) -> None:
    count, pull, rate = 20_000, 0.12, 0.01
    rng = np.random.default_rng(7)
    log_base = base + slope_a_day * np.arange(HORIZON)
    walk, regimes, level = np.full(count, x), np.full(count, regime), np.full(count, 0.5)
    total = np.zeros(count)
    for day in range(HORIZON):
        total += np.exp(log_base[day] + STEADY.incident * level - STEADY.engagement * walk)
        level = (level + (rng.random(count) < rate)) * hazard.INCIDENT_DECAY
        turn = rng.random(count) < hazard.switches(walk, regimes)
        walk = hazard.drifted(walk, regimes, pull) + rng.normal(0, hazard.STEP_NOISE, count)
        regimes = np.where(turn, 1 - regimes, regimes)
    risk = 1 - np.exp(-total)
    ahead = log_base[None, :] + hazard.shocks_ahead(
        np.array([0.5]), np.array([rate]), hazard.INCIDENT_DECAY, STEADY.incident
    )
    known = hazard.risk_table(pull, STEADY).risk(ahead, np.array([x]), np.array([regime]))[0]
    assert known == pytest.approx(risk.mean(), rel=0.04, abs=4 * risk.std() / np.sqrt(count))
