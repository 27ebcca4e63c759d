"""Estimates from risks alone against labels drawn with those risks."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.monitoring.estimate import estimate, estimated_roc_auc
from c360_stream.monitoring.quality import Values, brier, log_loss, roc_auc

RISKS = st.lists(st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.1, 0.3, 1.0])), max_size=60)


def by_pairs(risk: Values) -> float:
    """The definition: every ordered pair, weighted by the chance that the first churns and the second does not."""
    weight = risk[:, None] * (1 - risk[None, :])
    np.fill_diagonal(weight, 0.0)
    rightly = np.sign(risk[:, None] - risk[None, :]) / 2 + 0.5
    return float((weight * rightly).sum() / weight.sum())


@pytest.mark.parametrize(("rows", "decimals"), [(200, 12), (200, 1), (1000, 2)])
def test_estimates_are_the_mean_of_what_comes_true(rows: int, decimals: int) -> None:
    rng = np.random.default_rng(rows + decimals)
    risk = rng.beta(1, 4, rows).round(decimals)
    draws = rng.random((2000, rows)) < risk
    realised = {
        "estimated_base_rate": [float(churned.mean()) for churned in draws],
        "estimated_log_loss": [log_loss(churned, risk) for churned in draws],
        "estimated_brier": [brier(churned, risk) for churned in draws],
        "estimated_roc_auc": [roc_auc(churned, risk) for churned in draws],
    }
    found = {each.metric: each for each in estimate("all", risk)}
    assert set(found) == set(realised)
    for metric, values in realised.items():
        error = float(np.std(values)) / math.sqrt(len(values))
        # A ratio of expectations is not quite the expectation of the ratio.
        slack = 0.001 if metric == "estimated_roc_auc" else 0.0
        assert found[metric].value == pytest.approx(np.mean(values), abs=4 * error + slack)
        assert found[metric].examples == rows


@settings(deadline=None)
@given(RISKS)
def test_roc_auc_is_the_weighted_share_of_pairs(risks: list[float]) -> None:
    risk = np.array(risks, np.float64).round(6)
    value = estimated_roc_auc(risk)
    if math.isnan(value):
        assert len(risk) < 2 or len(set(risk.tolist()) & {0.0, 1.0}) == len(set(risk.tolist())) == 1
    else:
        assert value == pytest.approx(by_pairs(risk), abs=1e-9)
        # Calibrated risks never rank worse than chance.
        assert 0.5 - 1e-9 <= value <= 1.0


@settings(deadline=None)
@given(RISKS, st.randoms(use_true_random=False))
def test_no_estimate_depends_on_the_order_of_the_rows(risks: list[float], shuffle: Random) -> None:
    shuffled = list(risks)
    shuffle.shuffle(shuffled)
    assert estimate("all", np.array(shuffled, np.float64)) == estimate("all", np.array(risks, np.float64))


def test_certain_risks_are_estimated_to_be_right() -> None:
    found = {each.metric: each.value for each in estimate("s", np.array([0.0, 1.0, 0.0, 0.0]))}
    assert found == {
        "estimated_base_rate": 0.25,
        "estimated_log_loss": 0.0,
        "estimated_brier": 0.0,
        "estimated_roc_auc": 1.0,
    }


def test_equal_risks_are_estimated_to_rank_by_chance() -> None:
    assert estimated_roc_auc(np.full(77, 0.13)) == 0.5


@pytest.mark.parametrize("risk", [[0.3], [0.0, 0.0, 0.0], [1.0, 1.0]])
def test_without_two_classes_there_is_no_roc_auc(risk: list[float]) -> None:
    assert [each.metric for each in estimate("all", np.array(risk))] == [
        "estimated_base_rate",
        "estimated_log_loss",
        "estimated_brier",
    ]


def test_no_risks_have_no_estimates() -> None:
    assert estimate("all", np.zeros(0)) == []
