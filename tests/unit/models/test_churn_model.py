"""The churn model: warm-up, quality, state, and agreement between its pipeline and its versions."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.models.churn_model import ChurnModel, ModelConfig
from c360_stream.state.codec import pack, unpack
from tests.unit.learning.rows import DAY_US, as_dict, feature_rows, outcomes, true_risk

TICK = 20_000


def taught(count: int, seed: int = 1, model: ChurnModel | None = None) -> ChurnModel:
    model = model or ChurnModel()
    rows = feature_rows(count, seed)
    model.learn(rows, outcomes(rows, seed), np.full(count, (TICK - 70) * DAY_US))
    return model


def test_the_prior_rule_scores_until_enough_is_known() -> None:
    model = ChurnModel(ModelConfig(warmup_outcomes=300, warmup_churned=30))
    assert model.version(TICK).model_name == "prior-rule"
    rows = feature_rows(299, seed=1)
    model.learn(rows, np.ones(299), np.zeros(299, np.int64))
    assert model.version(TICK).model_name == "prior-rule"
    model.learn(rows[:1], np.zeros(1), np.zeros(1, np.int64))
    assert model.version(TICK).model_name == "online-logistic"
    few_churned = ChurnModel(ModelConfig(warmup_outcomes=300, warmup_churned=30))
    few_churned.learn(feature_rows(1000, seed=1), np.arange(1000) < 29, np.zeros(1000, np.int64))
    assert few_churned.version(TICK).model_name == "prior-rule"
    assert (few_churned.outcomes, few_churned.churned) == (1000, 29)


def test_learns_the_mechanism_and_is_calibrated() -> None:
    version = taught(12_000).version(TICK)
    rows = feature_rows(5_000, seed=2)
    truth, risk = true_risk(rows), version.score(rows, TICK * DAY_US).risk
    assert np.corrcoef(truth, risk)[0, 1] > 0.9
    assert risk.mean() == pytest.approx(truth.mean(), rel=0.05)
    assert risk[truth > 0.3].mean() == pytest.approx(truth[truth > 0.3].mean(), rel=0.1)


def test_a_version_is_the_river_pipeline() -> None:
    model = taught(600)
    rows = feature_rows(50, seed=3)
    risk = model.version(TICK).score(rows, TICK * DAY_US).risk
    for row, expected in zip(rows, risk.tolist(), strict=True):
        assert model.pipeline.predict_proba_one(as_dict(row))[True] == pytest.approx(expected, abs=1e-12)


def test_the_pipeline_learns_what_arrays_teach() -> None:
    rows = feature_rows(450, seed=4)
    churned = outcomes(rows, seed=4)
    arrays, dicts = ChurnModel(), ChurnModel()
    arrays.learn(rows, churned, np.zeros(450, np.int64))
    for row, y in zip(rows, churned.tolist(), strict=True):
        dicts.pipeline.learn_one(as_dict(row), bool(y))
    for row in rows[:20]:
        ours, theirs = (m.pipeline.predict_proba_one(as_dict(row))[True] for m in (arrays, dicts))
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_a_clone_of_the_pipeline_starts_afresh() -> None:
    model, untaught = taught(100), ChurnModel()
    x = as_dict(feature_rows(1, seed=5)[0])
    assert model.pipeline.clone().predict_proba_one(x) == untaught.pipeline.predict_proba_one(x)


def test_goes_on_from_a_packed_state() -> None:
    model = taught(500)
    model.expose(TICK - 80, 0.2)
    resumed = ChurnModel()
    resumed.restore(unpack("learn", pack("learn", model.state())))
    assert taught(77, 6, model).version(TICK) == taught(77, 6, resumed).version(TICK)
    assert len(pack("learn", model.state())) < 100_000


def test_exposures_are_in_versions_while_windows_reach_them_and_then_forgotten() -> None:
    model = ChurnModel()
    model.expose(TICK - 3, 0.1)
    assert model.version(TICK).exposures == {TICK - 3: 0.1}
    assert model.version(TICK).model_version != ChurnModel().version(TICK).model_version
    assert model.version(TICK + 28).exposures == {TICK - 3: 0.1}, "yesterday's windows still reach it"
    assert model.version(TICK + 29).exposures == {}
    assert model.exposures == {TICK - 3: 0.1}
    model.version(TICK + 731)
    assert model.exposures == {}


def test_learns_from_corrected_features() -> None:
    exposed, plain = ChurnModel(), ChurnModel()
    exposed.expose(TICK - 72, 0.0)
    assert taught(500, 7, exposed).version(TICK) != taught(500, 7, plain).version(TICK)


def test_survives_hostile_values() -> None:
    """Contracts bound events, not their sums: no feature value may poison the state."""
    model = taught(500)
    rows = feature_rows(40, seed=8)
    rows[::4] = 1e300
    rows[1::4] = -1e300
    rows[2::4] = np.nan
    rows[3::4] = np.inf
    model.learn(rows, np.arange(40) % 2 == 0, np.zeros(40, np.int64))
    risk = model.version(TICK).score(rows, TICK * DAY_US).risk
    assert ((risk > 0) & (risk < 1)).all()
