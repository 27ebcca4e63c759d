"""Quality measures against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from c360_stream.learning.quality import brier, log_loss, measure, measure_by_band, roc_auc


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_measures_agree_with_sklearn(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    risk = np.clip(rng.random(500).round(decimals), 0.01, 0.99)
    churned = rng.random(500) < risk
    assert roc_auc(churned, risk) == pytest.approx(metrics.roc_auc_score(churned, risk), abs=1e-12)
    assert log_loss(churned, risk) == pytest.approx(metrics.log_loss(churned, risk), abs=1e-12)
    assert brier(churned, risk) == pytest.approx(metrics.brier_score_loss(churned, risk), abs=1e-12)


def test_roc_auc_is_bit_equal_in_any_order() -> None:
    rng = np.random.default_rng(1)
    risk, churned = rng.random(999).round(2), rng.random(999) < 0.3
    order = rng.permutation(999)
    assert roc_auc(churned, risk) == roc_auc(churned[order], risk[order])


def test_roc_auc_of_one_class_is_nan() -> None:
    assert math.isnan(roc_auc(np.array([True, True]), np.array([0.1, 0.2])))


def test_a_certain_and_wrong_risk_has_a_finite_loss() -> None:
    assert log_loss(np.array([True]), np.array([0.0])) == pytest.approx(math.log(1e6))


def test_few_outcomes_of_a_kind_skip_roc_auc_and_say_so() -> None:
    churned = np.arange(100) < 9
    found = {each.metric: each for each in measure("all", churned, np.full(100, 0.18))}
    assert "roc_auc" not in found
    assert found["roc_auc_skipped"].value == 1.0
    assert found["calibration_ratio"].value == pytest.approx(2.0)
    assert found["base_rate"].examples == 100


def test_bands_are_thirds_of_the_known_mrr() -> None:
    mrr = np.array([*range(30), *[np.nan] * 6], np.float64)
    found = measure_by_band(np.arange(36) % 2 == 0, np.full(36, 0.5), mrr)
    sizes = {each.segment: each.examples for each in found}
    assert sizes == {"all": 36, "mrr_low": 10, "mrr_mid": 10, "mrr_high": 10}


def test_no_outcomes_have_no_measures() -> None:
    assert measure_by_band(np.zeros(0, np.bool_), np.zeros(0), np.zeros(0)) == []
