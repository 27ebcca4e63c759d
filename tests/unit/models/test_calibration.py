"""Online Platt scaling: leaves a calibrated classifier alone, fixes a wrong one, and is a River classifier."""

from __future__ import annotations

import numpy as np
import pytest
from river import checks

from c360_stream.models.calibration import PlattScaling
from c360_stream.models.classifier import sigmoid
from c360_stream.models.logistic import SecondOrderLogistic


class Stubborn(SecondOrderLogistic):
    """A classifier that never learns: its log-odds are the first column."""

    def learn_rows(self, rows: np.ndarray, outcomes: np.ndarray, importance: np.ndarray | None = None) -> np.ndarray:
        return rows[:, 0].copy()

    def log_odds_rows(self, rows: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        return rows[:, 0].copy()


def calibrated_after(slope: float, offset: float, count: int = 20_000) -> PlattScaling:
    random = np.random.default_rng(1)
    log_odds = random.normal(-2, 1.5, count)
    churned = random.random(count) < 1 / (1 + np.exp(-(slope * log_odds + offset)))
    scaling = PlattScaling(Stubborn(("z",)))
    scaling.learn_rows(log_odds[:, None], churned.astype(float))
    return scaling


def test_is_a_river_classifier() -> None:
    for check in checks.yield_checks(PlattScaling(SecondOrderLogistic())):
        check(PlattScaling(SecondOrderLogistic()))


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.6, 0.0), (1.4, 0.3), (1.0, -0.8)])
def test_finds_slope_and_offset(slope: float, offset: float) -> None:
    scaling = calibrated_after(slope, offset)
    assert scaling.slope == pytest.approx(slope, abs=0.08)
    assert scaling.offset == pytest.approx(offset, abs=0.15)


def test_leaves_log_odds_alone_before_any_example() -> None:
    assert PlattScaling(Stubborn(("z",))).log_odds_rows(np.array([[0.7]]))[0] == 0.7


def test_dicts_and_arrays_learn_the_same() -> None:
    random = np.random.default_rng(2)
    rows, outcomes = random.normal(size=(200, 2)), (random.random(200) < 0.3).astype(float)
    one, many = PlattScaling(SecondOrderLogistic(("a", "b"))), PlattScaling(SecondOrderLogistic(("a", "b")))
    many.learn_rows(rows, outcomes)
    for (a, b), outcome in zip(rows.tolist(), outcomes.tolist(), strict=True):
        one.learn_one({"a": a, "b": b}, bool(outcome))
    assert (one.slope, one.offset) == pytest.approx((many.slope, many.offset), abs=1e-12)
    expected = sigmoid(many.log_odds_rows(rows[:1])[0])
    assert one.predict_proba_one({"a": rows[0, 0], "b": rows[0, 1]})[True] == pytest.approx(expected, abs=1e-12)


def test_goes_on_from_its_state() -> None:
    scaling = calibrated_after(0.6, 0.1, count=100)
    resumed = PlattScaling(Stubborn(("z",)))
    resumed.restore(scaling.state())
    assert resumed.state() == scaling.state()
