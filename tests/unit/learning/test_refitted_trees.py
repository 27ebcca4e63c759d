"""LightGBM as a contender: refitted in time, explained to the last part, and resumed to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.errors import StateError
from c360_stream.features.definitions import FEATURES
from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.learner import Learner, LearningConfig
from c360_stream.learning.refitted_trees import REFIT_DAYS, RefittedTrees
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models import names, trees
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.names import TreatedPolicy
from c360_stream.models.version_json import version_from_json
from c360_stream.state.codec import pack, unpack
from tests.unit.learning.companies import LEARNING, SHARDS, as_bytes, company, learn
from tests.unit.learning.rows import feature_rows, outcomes

pytest.importorskip("lightgbm")

DAY = 20_000
AS_OF = DAY * US_PER_DAY
CONFIG = ModelConfig(warmup_outcomes=100, warmup_churned=10)
NONE = ExampleBlock.none()


def block(count: int, seed: int, treated: bool = False) -> ExampleBlock:
    rows = feature_rows(count, seed)
    churned = outcomes(rows, seed).astype(np.bool_)
    ids = [f"a{i:05d}" for i in range(count)]
    return ExampleBlock(np.full(count, DAY - 60, np.int64), ids, rows, churned, np.full(count, treated))


def trees_taught(count: int = 2_000, config: ModelConfig = CONFIG) -> RefittedTrees:
    contender = RefittedTrees("lightgbm", config, "matured")
    lesson = block(count, 1)
    contender.learn(TrainingBatch(lesson, NONE, NONE, NONE, contender.raw_log_odds(lesson, AS_OF)))
    assert contender.refit(DAY, lambda: lesson, asked=False)
    later = block(500, 2)
    contender.learn(TrainingBatch(later, NONE, NONE, NONE, contender.raw_log_odds(later, AS_OF)))
    return contender


def test_contributions_are_the_features_and_add_up() -> None:
    version, rows = trees_taught().version(DAY), feature_rows(300, seed=5)
    before = rows.copy()
    risk, contributions, base = version.score(rows, AS_OF)
    np.testing.assert_array_equal(rows, before)
    assert contributions.shape == (300, len(FEATURES))
    assert base == version.base_log_odds
    assert base + contributions.sum(axis=1) == pytest.approx(np.log(risk) - np.log1p(-risk), abs=1e-9)
    strongest = int(np.argmax(np.abs(contributions).mean(axis=0)))
    assert FEATURES[strongest] in ("days_since_last_activity", "seat_utilization_30d"), "those of the mechanism"
    assert version.explained_by == "contributions"


def test_a_row_has_the_same_bits_alone_and_among_many() -> None:
    version, rows = trees_taught().version(DAY), feature_rows(400, seed=6)
    many = version.score(np.asfortranarray(rows), AS_OF)
    assert version.risks(rows, AS_OF).tobytes() == many.risk.tobytes()
    for row in range(0, 400, 37):
        alone = version.score(rows[row][None, :], np.array([AS_OF]))
        assert alone.risk[0] == many.risk[row]
        assert alone.contributions[0].tobytes() == many.contributions[row].tobytes()
    none = version.score(rows[:0], AS_OF)
    assert (none.risk.shape, none.contributions.shape) == ((0,), (0, len(FEATURES)))


def test_json_gives_the_version_back_bit_for_bit() -> None:
    version, rows = trees_taught().version(DAY), feature_rows(100, seed=7)
    back = version_from_json(version.to_json())
    assert back == version
    assert back.model_version == version.model_version
    assert back.score(rows, AS_OF).risk.tobytes() == version.score(rows, AS_OF).risk.tobytes()
    assert back.revised(calibrated=False, curve=None).model_version != version.model_version


def test_what_is_no_tree_is_refused() -> None:
    with pytest.raises(StateError, match="not a tree model"):
        trees.ensemble("tree\nversion=v4\n")


def test_the_text_holds_what_predictions_and_contributions_need() -> None:
    import lightgbm

    rows = feature_rows(600, 8)
    data = lightgbm.Dataset(rows, outcomes(rows, 8), params=trees.PARAMETERS)
    booster = lightgbm.train(trees.PARAMETERS, data, trees.ROUNDS)
    text = booster.model_to_string()
    short = trees.compact(text)
    assert len(short) < 0.65 * len(text)
    kept, asked = trees.ensemble(short), feature_rows(200, 9)
    assert kept.log_odds(asked).tolist() == np.asarray(booster.predict(asked, raw_score=True)).tolist()
    parts = np.asarray(booster.predict(asked, pred_contrib=True))
    assert kept.contributions(asked).tobytes() == np.ascontiguousarray(parts[:, :-1]).tobytes()


def test_it_is_fitted_when_warm_every_28_days_and_when_asked() -> None:
    contender, lesson = RefittedTrees("lightgbm", CONFIG, "matured"), block(90, 1)
    contender.learn(TrainingBatch(lesson, NONE, NONE, NONE, np.full(90, np.nan)))
    assert not contender.refit(DAY, lambda: lesson, asked=True), "90 outcomes are too few"
    assert contender.version(DAY).model_name == "prior-rule"
    assert np.isnan(contender.raw_log_odds(lesson, AS_OF)).all()
    contender.learn(TrainingBatch(lesson, NONE, NONE, NONE, np.full(90, np.nan)))
    days = [DAY + day for day in range(60) if contender.refit(DAY + day, lambda: lesson, asked=day == 33)]
    assert days == [DAY, DAY + REFIT_DAYS, DAY + 33]
    assert contender.fitted_day == DAY + 33
    assert contender.version(DAY).model_name == "lightgbm"


def test_examples_of_one_class_fit_nothing() -> None:
    contender, lesson = trees_taught(), block(200, 3)
    stayed = replace(lesson, churned=np.zeros(200, np.bool_))
    assert not contender.refit(DAY + 99, lambda: stayed, asked=True)
    assert contender.ready


@pytest.mark.parametrize("policy", ["leave_out", "model"])
def test_treated_examples_are_left_out(policy: TreatedPolicy) -> None:
    config = replace(CONFIG, treated_examples=policy)
    mixed = ExampleBlock.merged([block(900, 1), replace(block(900, 4, treated=True), ids=["t"] * 900)])
    one, other = (RefittedTrees("lightgbm", config, "matured") for _ in range(2))
    for contender, examples in ((one, mixed), (other, block(900, 1))):
        contender.model.count(examples.churned)
        assert contender.refit(DAY, lambda examples=examples: examples, asked=False)  # type: ignore[misc]
    assert one.version(DAY) == other.version(DAY)


def test_days_of_an_outage_are_made_up_for_in_old_examples_too() -> None:
    contender, lesson = RefittedTrees("lightgbm", CONFIG, "matured"), block(800, 1)
    contender.model.expose(DAY - 65, 0.0)
    contender.model.count(lesson.churned)
    contender.refit(DAY, lambda: lesson, asked=False)
    contender.model.recent_exposures(DAY + 800)
    assert not contender.model.exposures
    exposed = contender.version(DAY)
    contender.refit(DAY + REFIT_DAYS, lambda: lesson, asked=False)
    assert contender.version(DAY) == exposed


def test_goes_on_from_a_packed_state() -> None:
    contender, resumed = trees_taught(), RefittedTrees("lightgbm", CONFIG, "matured")
    resumed.restore(unpack("learn", pack("learn", contender.state())))
    later = block(300, 11)
    for each in (contender, resumed):
        each.learn(TrainingBatch(later, NONE, NONE, NONE, each.raw_log_odds(later, AS_OF)))
        each.refit(DAY + REFIT_DAYS, lambda: later, asked=False)
    assert resumed.version(DAY + 30) == contender.version(DAY + 30)


def test_it_is_calibrated_by_predictions_made_before_the_outcome() -> None:
    contender = trees_taught(400)
    for seed in range(20, 50):
        lesson = block(200, seed)
        contender.learn(TrainingBatch(lesson, NONE, NONE, NONE, contender.raw_log_odds(lesson, AS_OF)))
    rows = feature_rows(4_000, seed=7)
    risk, truth = contender.version(DAY).risks(rows, AS_OF), outcomes(rows, seed=7)
    top = risk >= np.quantile(risk, 0.8)
    assert risk.mean() == pytest.approx(truth.mean(), rel=0.1)
    assert risk[top].mean() == pytest.approx(truth[top].mean(), rel=0.15)


def test_as_champion_it_scores_and_a_resumed_learner_goes_on_identically() -> None:
    config = replace(LEARNING, champion="lightgbm", challengers=(), trees_examples_max=200)
    parts = [part for shard in zip(*(said.examples for said in company()), strict=True) for part in shard]
    whole = learn(Learner(SHARDS, config), parts)
    assert {each.version.model_name for each in whole} == {"prior-rule", "lightgbm"}
    half = len(parts) * 3 // 4 + 1
    first, second = Learner(SHARDS, config), Learner(SHARDS, config)
    before = learn(first, parts[:half])
    second.restore(unpack("learn", pack("learn", first.state())))
    after = learn(second, parts[half:])
    assert as_bytes([each.version.to_json() for each in before + after]) == as_bytes(
        [each.version.to_json() for each in whole]
    )
    assert after[-1].version.model_name == "lightgbm"


def test_without_the_library_it_does_not_contend(monkeypatch: pytest.MonkeyPatch) -> None:
    config = LearningConfig(challengers=("lightgbm", "online-logistic-fast"))
    assert "lightgbm" in config.contenders
    monkeypatch.setattr(names, "find_spec", lambda _: None)
    assert "lightgbm" not in config.contenders
    assert names.default_challengers() == ("online-logistic-fast", "online-logistic-hazard")
