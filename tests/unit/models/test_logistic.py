"""Second-order logistic regression: it learns, follows a change, cannot diverge, and is a River classifier."""

from __future__ import annotations

import math

import numpy as np
import pytest
from river import checks

from c360_stream.models.classifier import sigmoid
from c360_stream.models.logistic import SecondOrderLogistic

NAMES = ("a", "b", "c")
WEIGHTS = np.array([1.0, -0.5, 0.0])


def examples(count: int, seed: int, weights: np.ndarray = WEIGHTS) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 3))
    return rows, (random.random(count) < 1 / (1 + np.exp(2.0 - rows @ weights))).astype(float)


def test_is_a_river_classifier() -> None:
    for check in checks.yield_checks(SecondOrderLogistic()):
        check(SecondOrderLogistic())


def test_finds_the_true_weights() -> None:
    model = SecondOrderLogistic(NAMES)
    model.learn_rows(*examples(20_000, seed=1))
    assert model.weights == pytest.approx([-2.0, *WEIGHTS], abs=0.1)


def test_dicts_and_arrays_learn_the_same() -> None:
    rows, outcomes = examples(300, seed=2)
    one, many = SecondOrderLogistic(NAMES), SecondOrderLogistic(NAMES)
    many.learn_rows(rows, outcomes)
    for row, outcome in zip(rows.tolist(), outcomes.tolist(), strict=True):
        one.learn_one(dict(zip(NAMES, row, strict=True)), bool(outcome))
    np.testing.assert_allclose(one.weights, many.weights, rtol=1e-9, atol=1e-12)
    x = dict(zip(NAMES, rows[0].tolist(), strict=True))
    assert one.predict_proba_one(x)[True] == pytest.approx(sigmoid(many.log_odds_rows(rows)[0]), rel=1e-9)


def test_gives_log_odds_from_before_each_example() -> None:
    rows, outcomes = examples(50, seed=3)
    together, singly = SecondOrderLogistic(NAMES), SecondOrderLogistic(NAMES)
    before = together.learn_rows(rows, outcomes)
    for i in range(50):
        assert before[i] == pytest.approx(singly.log_odds_rows(rows[i : i + 1])[0], abs=1e-12)
        singly.learn_rows(rows[i : i + 1], outcomes[i : i + 1])


def test_follows_a_change_of_concept_with_forgetting() -> None:
    forgetful, stubborn = SecondOrderLogistic(NAMES, forgetting=1e-4), SecondOrderLogistic(NAMES, forgetting=0.0)
    for model in (forgetful, stubborn):
        model.learn_rows(*examples(10_000, seed=4))
        model.learn_rows(*examples(5_000, seed=5, weights=-WEIGHTS))
    assert forgetful.weights[1] < -0.7
    assert stubborn.weights[1] > -0.3


@pytest.mark.parametrize("forgetting", [0.0, 3e-8, 1e-3, 1.0])
def test_cannot_diverge(forgetting: float) -> None:
    """Rare huge columns, perfectly separable runs, labels that flip: weights and covariance stay bounded."""
    random = np.random.default_rng(6)
    model = SecondOrderLogistic(NAMES, forgetting=forgetting)
    for block in range(60):
        rows = random.normal(size=(100, 3)) * (random.random((100, 3)) < 0.02) * 10
        model.learn_rows(rows, np.full(100, float(block // 10 % 2)))
        variances = np.diag(model.state()["covariance"])
        assert (variances > 0).all()
        assert (variances <= [model.intercept_variance, *[model.prior_variance] * 3]).all()
        assert (np.abs(model.weights) < 50).all()


def test_goes_on_from_its_state() -> None:
    model, resumed = SecondOrderLogistic(NAMES), SecondOrderLogistic(NAMES)
    model.learn_rows(*examples(45, seed=7))
    resumed.restore(model.state())
    for going in (model, resumed):
        going.learn_rows(*examples(45, seed=8))
    assert (model.weights == resumed.weights).all()


def test_sigmoid_is_never_0_or_1() -> None:
    assert 0 < sigmoid(-math.inf) < sigmoid(0) == 0.5 < sigmoid(1e308) < 1
