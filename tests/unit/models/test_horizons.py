"""Risk curves: they rise with the days whatever was learnt, meet the score, and learn what happened."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.features.definitions import FEATURES
from c360_stream.features.example_block import ExampleBlock
from c360_stream.models.horizons import HorizonLearner, RiskCurve, Share, learnt_horizons
from c360_stream.state.codec import pack, unpack

REACH = 90
DAYS = (7, 30, 60, 90)
shares = st.builds(Share, st.floats(-3, 3), st.floats(-6, 6))
curves = st.builds(
    lambda a, b, c, d: RiskCurve(60, 0.1, {30: a, 7: b}, {90: c, 120: d}), shares, shares, shares, shares
)


def block(day: int, count: int) -> ExampleBlock:
    ids = [f"a{row:05d}" for row in range(count)]
    return ExampleBlock(np.full(count, day), ids, np.zeros((count, len(FEATURES))), *np.zeros((2, count), np.bool_))


@given(curves, st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=9))
def test_a_longer_horizon_has_never_the_smaller_risk(curve: RiskCurve, risk: list[float]) -> None:
    risks = curve.risks(np.array(risk))
    assert curve.days == (7, 30, 60, 90, 120)
    assert (np.diff(risks, axis=1) >= 0).all()
    assert ((risks >= 0) & (risks <= 1)).all()
    assert risks[:, 2].tolist() == risk


@given(curves)
def test_plain_data_give_the_curve_back(curve: RiskCurve) -> None:
    assert RiskCurve.from_plain(curve.plain()) == curve
    assert list(RiskCurve.from_plain(curve.plain()).shorter) == [30, 7]


def test_before_anything_is_learnt_accounts_cancel_at_a_constant_rate() -> None:
    curve = HorizonLearner(60, (7, 30, 90), 0.1).curve()
    at_a_constant_rate = [1 - 0.99 ** (days / 60) for days in DAYS]
    assert curve.risks(np.array([0.01]))[0] == pytest.approx(at_a_constant_rate, rel=0.02)


def learnt(seed: int, ticks: int = 150, count: int = 400) -> tuple[HorizonLearner, list[np.ndarray], list[np.ndarray]]:
    """A learner among accounts that cancel soon if they do: half of those who cancel within 60 days in 10."""
    rng, learner = np.random.default_rng(seed), HorizonLearner(60, (7, 30, 90), 0.1)
    risk = {}
    predicted, happened = [], []
    for day in range(ticks + REACH):
        if day < ticks:
            risk[day] = rng.uniform(0.02, 0.5, count)
            learner.add_predictions(day, block(day, count), risk[day])
        if day >= REACH:
            within = rng.random(count) < risk[day - REACH]
            soon, late = rng.integers(1, 11, count), rng.integers(11, 61, count)
            beyond = np.where(rng.random(count) < risk[day - REACH] / 4, 75, 0)
            after = np.where(within, np.where(rng.random(count) < 0.5, soon, late), beyond)
            judged = learner.learn_observed(day - REACH, dict(zip(block(day, count).ids, after.tolist(), strict=True)))
            assert judged is not None
            predicted.append(judged.predicted)
            happened.append(judged.cancelled_after)
    return learner, predicted, happened


def test_what_happened_is_learnt() -> None:
    learner, predicted, happened = learnt(1)
    late = np.concatenate(predicted[110:]), np.concatenate(happened[110:])
    for column, days in enumerate(DAYS):
        observed = np.mean((late[1] > 0) & (late[1] <= days))
        assert late[0][:, column].mean() == pytest.approx(observed, rel=0.15), days
    first = (happened[0] > 0) & (happened[0] <= 7)
    assert predicted[0][:, 0].mean() < 0.6 * first.mean(), (
        "the first curves had to be wrong for the test to mean anything"
    )
    assert learner.curve().base_rate == pytest.approx(0.26, abs=0.03)


def test_a_snapshot_in_the_middle_changes_nothing() -> None:
    one, other = HorizonLearner(60, (7, 30, 90), 0.1), HorizonLearner(60, (7, 30, 90), 0.1)
    rng = np.random.default_rng(2)
    for day in range(120):
        risk = rng.uniform(0.02, 0.5, 30)
        after = {f"a{row:05d}": int(rng.integers(0, 91)) for row in range(30)}
        for learner in (one, other):
            learner.learn_observed(day - REACH, after)
            learner.add_predictions(day, block(day, 30), risk)
        if day == 100:
            kept = unpack("s", pack("s", other.state()))
            other = HorizonLearner(60, (7, 30, 90), 0.1)
            other.restore(kept)
    assert one.curve() == other.curve()
    assert pack("s", one.state()) == pack("s", other.state())


def test_other_horizons_begin_afresh() -> None:
    learner, _, _ = learnt(3, ticks=5)
    other = HorizonLearner(60, (14, 90), 0.1)
    other.restore(unpack("s", pack("s", learner.state())))
    assert other.curve() == HorizonLearner(60, (14, 90), 0.1).curve()


def test_accounts_that_are_not_settled_teach_nothing() -> None:
    learner = HorizonLearner(60, (7, 30, 90), 0.1)
    learner.add_predictions(0, block(0, 3), np.array([0.1, 0.2, 0.3]))
    judged = learner.learn_observed(0, {"a00001": 5, "stranger": 1})
    assert judged is not None
    assert judged.cancelled_after.tolist() == [5]
    assert learner.learn_observed(0, {"a00001": 5}) is None


def test_value_always_has_a_horizon_beyond_that_of_the_score() -> None:
    assert learnt_horizons(60, ()) == (90,)
    assert learnt_horizons(1, ()) == learnt_horizons(1, (1,)) == (2,)
    assert learnt_horizons(30, (7, 30, 60)) == (7, 45, 60)
    assert HorizonLearner(30, (45,), 0.1).reach_days == 45
