"""Logistic regression by adaptive gradient steps: it learns, takes importance, and is a River classifier."""

from __future__ import annotations

import numpy as np
import pytest
from river import checks

from c360_stream.models.gradient import GradientLogistic
from c360_stream.state.codec import pack, unpack
from tests.unit.models.test_logistic import NAMES, WEIGHTS, examples


def test_is_a_river_classifier() -> None:
    for check in checks.yield_checks(GradientLogistic()):
        check(GradientLogistic())


def test_finds_the_true_weights() -> None:
    model = GradientLogistic(NAMES)
    model.learn_rows(*examples(40_000, seed=1))
    assert model.weights == pytest.approx([-2.0, *WEIGHTS], abs=0.15)


def test_dicts_and_arrays_learn_the_same() -> None:
    rows, outcomes = examples(300, seed=2)
    one, many = GradientLogistic(NAMES), GradientLogistic(NAMES)
    many.learn_rows(rows, outcomes)
    for row, outcome in zip(rows.tolist(), outcomes.tolist(), strict=True):
        one.learn_one(dict(zip(NAMES, row, strict=True)), bool(outcome))
    assert (one.weights == many.weights).all()


def test_an_example_of_no_importance_teaches_nothing() -> None:
    rows, outcomes = examples(50, seed=3)
    model, other = GradientLogistic(NAMES), GradientLogistic(NAMES)
    for each in (model, other):
        each.learn_rows(rows, outcomes)
    before = other.learn_rows(rows, outcomes, np.zeros(50))
    assert other.weights == pytest.approx(model.weights)
    assert before == pytest.approx(model.log_odds_rows(rows))


def test_goes_on_from_its_state() -> None:
    model, resumed = GradientLogistic(NAMES), GradientLogistic(NAMES)
    model.learn_rows(*examples(200, seed=4))
    resumed.restore(unpack("learn", pack("learn", model.state())))
    for each in (model, resumed):
        each.learn_rows(*examples(200, seed=5))
    assert resumed.weights.tobytes() == model.weights.tobytes()
