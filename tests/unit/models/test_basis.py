"""The basis: breakpoints where the accounts are, bounded, the same for any order; versions say what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.features.definitions import FEATURES, INDEX, NULLABLE
from c360_stream.models.basis import COLUMNS_MAX, PAIRS_MAX, Basis
from c360_stream.models.churn_model import ChurnModel, ModelConfig
from c360_stream.models.pairs import chosen_pairs
from c360_stream.state.codec import pack, unpack
from tests.unit.learning.rows import DAY_US, as_dict, feature_rows, outcomes

TICK = 20_000
ALL_PAIRS = [(a, b) for a in range(len(FEATURES)) for b in range(a)]


def learnt(rows: np.ndarray, pairs: int = 6) -> Basis:
    return Basis.learnt(rows, 100.0, ALL_PAIRS[:pairs])


def test_breakpoints_are_where_the_accounts_are() -> None:
    """Also far beyond any that is shipped: this is what a fixed one gets wrong."""
    rows = np.full((2_000, len(FEATURES)), np.nan)
    column = INDEX["account_age_days"]
    rows[:, column] = np.random.default_rng(1).uniform(500, 900, 2_000)
    points = learnt(rows).breakpoints[column]
    assert rows[:, column].min() == points[0] > 490
    assert points[-1] == rows[:, column].max()
    assert len(points) == 11


def test_it_is_a_function_of_the_set_of_rows() -> None:
    rows = feature_rows(500, seed=2)
    shuffled = rows[np.random.default_rng(2).permutation(500)]
    one, other = learnt(rows), learnt(shuffled)
    assert [each.tolist() for each in one.breakpoints] == [each.tolist() for each in other.breakpoints]
    assert one.pairs == other.pairs
    np.testing.assert_allclose(one.centre, other.centre, atol=1e-12)


@pytest.mark.parametrize("churned", [0.0, 30.0, 1e6])
def test_columns_are_bounded_and_few_outcomes_bear_few(churned: float) -> None:
    rows = feature_rows(3_000, seed=3)
    basis = Basis.learnt(rows, churned, ALL_PAIRS)
    assert len(basis.output_names) == basis.transform_rows(rows[:2]).shape[1] <= COLUMNS_MAX
    assert len(basis.pairs) <= PAIRS_MAX
    longest = max(
        len(points) for points in Basis.learnt(rows * np.where(np.arange(21) < 5, 1, np.nan), churned).breakpoints
    )
    assert longest == (5 if churned < 20 else 7 if churned < 60 else 11)


def test_a_feature_that_is_constant_or_rare_has_no_ramp() -> None:
    rows = feature_rows(200, seed=4)
    rows[:, 0], rows[:, 1] = 7.0, np.nan
    basis = learnt(rows, pairs=0)
    assert [len(basis.breakpoints[column]) for column in (0, 1)] == [0, 0]
    assert np.isfinite(basis.transform_rows(rows)).all()
    assert len(Basis.learnt(rows[:0], 0.0).output_names) == 0


def test_a_pair_of_which_one_has_no_ramp_is_left_out() -> None:
    rows = feature_rows(200, seed=4)
    rows[:, 0], rows[:, 1] = 7.0, np.nan
    assert Basis.learnt(rows, 100.0, [(0, 5), (5, 1), (2, 5)]).pairs == [(2, 5)]


def test_columns_are_centred_on_the_examples() -> None:
    rows = feature_rows(1_000, seed=5)
    np.testing.assert_allclose(learnt(rows).transform_rows(rows).mean(axis=0), 0.0, atol=1e-12)


def test_beyond_what_was_seen_nothing_changes() -> None:
    basis = learnt(feature_rows(1_000, seed=6))
    high, higher = (np.full((1, len(FEATURES)), value) for value in (1e9, 1e300))
    assert basis.transform_rows(high).tolist() == basis.transform_rows(higher).tolist()


def test_dicts_and_arrays_give_the_same_bits() -> None:
    rows = feature_rows(40, seed=7)
    basis = learnt(feature_rows(800, seed=8))
    spread = basis.transform_rows(rows)
    for row, expected in zip(rows, spread, strict=True):
        assert list(basis.transform_one(as_dict(row)).values()) == expected.tolist()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), pairs=st.integers(0, 16), nulls=st.floats(0.0, 0.9))
def test_curves_and_grids_say_what_the_columns_say(seed: int, pairs: int, nulls: float) -> None:
    """Any weights: the version's log-odds are those of the columns, and its parts add up to them."""
    rng = np.random.default_rng(seed)
    model = ChurnModel(ModelConfig(warmup_outcomes=0, warmup_churned=0))
    model.begin(Basis.learnt(feature_rows(300, seed, nulls), 100.0, ALL_PAIRS[:pairs]))
    model._classifier._weights[:] = rng.normal(0.0, 0.3, len(model._classifier._weights))
    rows = feature_rows(60, seed + 1, nulls)
    as_of = np.full(60, TICK * DAY_US)
    scored = model.version(TICK).score(rows, TICK * DAY_US)
    log_odds = np.log(scored.risk) - np.log1p(-scored.risk)
    np.testing.assert_allclose(log_odds, np.clip(model.raw_log_odds(rows, as_of), -15, 15), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scored.base_log_odds + scored.contributions.sum(axis=1), log_odds, rtol=1e-6, atol=1e-6)
    one_by_one = [model.version(TICK).score(row[None, :], TICK * DAY_US).risk[0] for row in rows]
    assert one_by_one == scored.risk.tolist(), "to the bit"


def test_a_model_goes_on_from_a_packed_state_with_its_basis() -> None:
    model, resumed = ChurnModel(), ChurnModel()
    rows = feature_rows(800, seed=9)
    model.begin(learnt(rows))
    model.learn(rows, outcomes(rows, 9), np.zeros(800, np.int64))
    resumed.restore(unpack("m", pack("m", model.state())))
    for each in (model, resumed):
        each.learn(rows[:99], outcomes(rows[:99], 3), np.zeros(99, np.int64))
    assert pack("m", model.state()) == pack("m", resumed.state())
    assert model.version(TICK) == resumed.version(TICK)
    assert len(pack("m", model.state())) < 300_000


def test_curves_of_monotone_features_rise_towards_what_is_bad() -> None:
    """The data say the opposite: the curve is flat then, and other features keep theirs."""
    held = ("days_since_last_activity", "active_days_30d")
    rows = feature_rows(4_000, seed=10)
    z = -1.5 - 1.0 * (rows[:, INDEX[held[0]]] > 7) + 1.0 * (rows[:, INDEX[held[1]]] > 10)
    churned = np.random.default_rng(10).random(4_000) < 1 / (1 + np.exp(-np.nan_to_num(z, nan=-1.5)))
    for monotone in ((), held):
        model = ChurnModel(ModelConfig(monotone_features=monotone))
        model.begin(Basis.learnt(rows, 100.0))
        model.learn(rows, churned, np.zeros(4_000, np.int64))
        curves = model.linear(1.0).curves
        falls = min(np.diff(curves[held[0]].log_odds)) < -0.05, max(np.diff(curves[held[1]].log_odds)) > 0.05
        assert falls == ((False, False) if monotone else (True, True))


def test_pairs_are_those_that_single_features_leave_unexplained() -> None:
    """Two features that only together say something are found; noise is not."""
    rng = np.random.default_rng(11)
    rows = rng.random((6_000, len(FEATURES)))
    rows[rng.random(6_000) < 0.2, 3] = np.nan
    together = (rows[:, 2] > 0.5) == (rows[:, 7] > 0.5)
    churned = (rng.random(6_000) < np.where(together, 0.3, 0.1)).astype(np.float64)
    residual, variance = churned - churned.mean(), np.full(6_000, churned.mean() * (1 - churned.mean()))
    assert chosen_pairs(rows, residual, variance, 1.0)[0] == (2, 7)
    shuffled = rng.permutation(residual)
    assert len(chosen_pairs(rows, shuffled, variance, 9.0)) == 0, "labels that overlap by nine"


def test_a_model_with_the_pair_ranks_what_one_without_cannot() -> None:
    rng = np.random.default_rng(12)
    rows = rng.random((8_000, len(FEATURES)))
    together = (rows[:, 2] > 0.5) == (rows[:, 7] > 0.5)
    churned = rng.random(8_000) < np.where(together, 0.4, 0.05)
    apart = {}
    for name, pairs in {"single": [], "pair": [(2, 7)]}.items():
        model = ChurnModel()
        model.begin(Basis.learnt(rows, 500.0, pairs))
        model.learn(rows, churned, np.zeros(8_000, np.int64))
        risk = model.version(TICK).score(rows, TICK * DAY_US).risk
        apart[name] = risk[together].mean() - risk[~together].mean()
    assert apart["pair"] > 0.15 > 0.05 > apart["single"]


def test_every_nullable_feature_has_an_indicator_where_nulls_are() -> None:
    rows = feature_rows(1_000, seed=13)
    names = learnt(rows, pairs=0).output_names
    assert {name for name in FEATURES if name + "_missing" in names} == set(NULLABLE)
