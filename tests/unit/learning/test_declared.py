"""Declared models: they learn, are explained by occlusion, resume, and their mishaps stop nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from c360_stream.errors import ConfigurationError, StateError
from c360_stream.features.definitions import FEATURES, GROUPS, SPECS
from c360_stream.learning.declared import DeclaredContender
from c360_stream.learning.learner import LearnedTick, Learner, LearningConfig
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.declared import factory
from c360_stream.models.names import ModelDeclaration
from c360_stream.models.version_json import (
    is_without_model,
    version_from_json,
    version_from_state,
    version_state,
)
from c360_stream.state.codec import pack, unpack
from tests.unit.learning.companies import LEARNING, SHARDS, as_bytes, company, learn
from tests.unit.learning.rows import feature_rows, outcomes
from tests.unit.learning.test_refitted_trees import AS_OF, DAY, NONE, block

CONFIG = ModelConfig(warmup_outcomes=100, warmup_churned=10)
GOOD = ("hoeffding", "forest_of_trees", "logistic", "from_scikit_learn", "silence")
every_good_model = pytest.mark.parametrize("function", GOOD)


def declaration(function: str, name: str = "own") -> ModelDeclaration:
    return ModelDeclaration(name, f"tests.own_models.models:{function}")


def own(function: str, count: int = 1_200, config: ModelConfig = CONFIG) -> DeclaredContender:
    """A model that has learnt some examples, and been calibrated by others."""
    contender = DeclaredContender(declaration(function), config, "matured")
    for seed in range(1, 1 + count // 200):
        lesson = block(200, seed)
        contender.learn(TrainingBatch(lesson, NONE, NONE, NONE, contender.raw_log_odds(lesson, AS_OF)))
    return contender


@every_good_model
def test_contributions_add_up_whatever_is_inside(function: str) -> None:
    version, rows = own(function).version(DAY), feature_rows(60, seed=5)
    before = rows.copy()
    risk, contributions, base = version.score(rows, AS_OF)
    np.testing.assert_array_equal(rows, before)
    assert (version.model_name, version.explained_by) == ("own", "occlusion")
    assert contributions.shape == (60, len(FEATURES))
    assert base == version.base_log_odds
    assert base + contributions.sum(axis=1) == pytest.approx(np.log(risk) - np.log1p(-risk), abs=1e-9)
    assert version.risks(rows, AS_OF).tobytes() == risk.tobytes()


@every_good_model
def test_a_row_has_the_same_bits_alone_and_among_many(function: str) -> None:
    version, rows = own(function).version(DAY), feature_rows(50, seed=6)
    many = version.score(np.asfortranarray(rows), AS_OF)
    for row in (0, 17, 49):
        alone = version.score(rows[row][None, :], np.array([AS_OF]))
        assert alone.risk[0] == many.risk[row]
        assert alone.contributions[0].tobytes() == many.contributions[row].tobytes()
    assert version.score(rows[:0], AS_OF).contributions.shape == (0, len(FEATURES))


def test_occlusion_finds_the_group_that_a_model_looks_at() -> None:
    version, rows = own("silence").version(DAY), feature_rows(200, seed=7)
    contributions = version.score(rows, AS_OF).contributions
    group = {spec.name: spec.group for spec in SPECS}["days_since_last_activity"]
    looked_at = [i for i, spec in enumerate(SPECS) if spec.group == group]
    others = [i for i in range(len(SPECS)) if i not in looked_at]
    moved = np.abs(contributions[:, looked_at]).sum(axis=1) > 0
    assert group in GROUPS
    assert moved.any()
    assert not contributions[moved][:, others].any()


@every_good_model
def test_goes_on_from_a_packed_state(function: str) -> None:
    contender, resumed = own(function), DeclaredContender(declaration(function), CONFIG, "matured")
    resumed.restore(unpack("learn", pack("learn", contender.state())))
    later, rows = block(300, 11), feature_rows(40, seed=8)
    for each in (contender, resumed):
        each.learn(TrainingBatch(later, NONE, NONE, NONE, each.raw_log_odds(later, AS_OF)))
    one, other = contender.version(DAY), resumed.version(DAY)
    assert (one, one.model_version) == (other, other.model_version)
    assert one.score(rows, AS_OF).contributions.tobytes() == other.score(rows, AS_OF).contributions.tobytes()


def test_a_version_keeps_what_it_was_while_the_model_learns_on() -> None:
    contender, rows = own("hoeffding"), feature_rows(50, seed=9)
    version = contender.version(DAY)
    before = version.risks(rows, AS_OF)
    lesson = block(900, 12)
    contender.learn(TrainingBatch(lesson, NONE, NONE, NONE, np.full(900, np.nan)))
    assert version.risks(rows, AS_OF).tobytes() == before.tobytes()
    assert contender.version(DAY).model_version != version.model_version


def test_the_model_is_in_no_json_and_comes_back_from_a_snapshot() -> None:
    version, rows = own("silence").version(DAY), feature_rows(50, seed=10)
    text = version.to_json()
    bare = version_from_json(text)
    assert bare.model_version == version.model_version
    assert is_without_model(bare)
    with pytest.raises(StateError, match="own is a declared model, which the tables do not hold"):
        bare.score(rows, AS_OF)
    back = version_from_state(version_state(version))
    assert not is_without_model(back)
    assert (
        back.revised(calibrated=True, curve=None).risks(rows, AS_OF).tobytes() == version.risks(rows, AS_OF).tobytes()
    )


def test_before_it_gives_probabilities_the_prior_stands_in() -> None:
    contender = DeclaredContender(declaration("silence"), CONFIG, "matured")
    assert contender.version(DAY).model_name == "prior-rule"
    assert np.isnan(contender.raw_log_odds(block(3, 1), AS_OF)).all()
    contender.model.count(np.arange(200) % 4 == 0)
    risk = contender.version(DAY).risks(feature_rows(3, 1), AS_OF)
    assert risk.tolist() == pytest.approx([CONFIG.prior_churn_rate] * 3)


def test_it_is_calibrated_to_what_happened() -> None:
    contender, rows = own("silence", 6_000), feature_rows(3_000, seed=7)
    risk, truth = contender.version(DAY).risks(rows, AS_OF), outcomes(rows, seed=7)
    assert risk.mean() == pytest.approx(truth.mean(), rel=0.1)


@pytest.mark.parametrize("policy", ["leave_out", "weight", "model"])
def test_treated_examples_teach_only_under_keep(policy: Any) -> None:
    lesson = block(200, 1, treated=True)
    kept, left = (
        DeclaredContender(declaration("silence"), each, "matured")
        for each in (CONFIG, replace(CONFIG, treated_examples=policy))
    )
    for contender in (kept, left):
        contender.learn(TrainingBatch(lesson, NONE, NONE, NONE, np.full(200, np.nan)))
    assert kept._classifier.weeks  # type: ignore[attr-defined]
    assert not left._classifier.weeks  # type: ignore[attr-defined]


def test_a_state_of_another_function_is_refused() -> None:
    state = unpack("learn", pack("learn", own("silence").state()))
    other = DeclaredContender(declaration("hoeffding"), CONFIG, "matured")
    with pytest.raises(StateError, match=r"made by tests\.own_models\.models:silence, and is declared as"):
        other.restore(state)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("nowhere.models:forest", "cannot be imported: ModuleNotFoundError"),
        ("tests.own_models.models:nothing", "cannot be imported: AttributeError"),
        ("tests.own_models.models:no_model", "returned str, which is no river.base.Classifier"),
        ("tests.own_models.models:breaks", "failed: ZeroDivisionError: no trees here"),
        ("tests.own_models.models:holds_a_lambda", "returned a model that cannot be pickled"),
        ("tests.own_models.models", "is not package.module:function"),
    ],
)
def test_what_makes_no_model_is_named(make: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"\[\[model\]\] own, key make: .*{message}"):
        factory(ModelDeclaration("own", make))


def ticks_of(learner: Learner, share: float = 1.0, start: float = 0.0) -> list[LearnedTick]:
    parts = [part for shard in zip(*(said.examples for said in company()), strict=True) for part in shard]
    return learn(learner, parts[int(start * len(parts)) : int(share * len(parts))])


def declaring(function: str, **changes: Any) -> LearningConfig:
    return replace(LEARNING, declared_models=(declaration(function),), challengers=(), **changes)


@pytest.mark.parametrize("function", ["hoeffding", "silence"])
def test_as_champion_it_scores_and_a_resumed_learner_goes_on_identically(function: str) -> None:
    config = declaring(function, champion="own")
    whole = ticks_of(Learner(SHARDS, config))
    assert {each.version.model_name for each in whole} == {"prior-rule", "own"}
    first, second = Learner(SHARDS, config), Learner(SHARDS, config)
    before = ticks_of(first, 0.8)
    second.restore(unpack("learn", pack("learn", first.state())))
    both = before + ticks_of(second, start=0.8)
    assert as_bytes([each.version.to_json() for each in both]) == as_bytes([each.version.to_json() for each in whole])
    assert as_bytes([each.alarms for each in both]) == as_bytes([each.alarms for each in whole])


@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("fails_to_learn", "own could not learn: RuntimeError: out of luck"),
        ("fails_to_predict", "own could not predict: KeyError: 'lost'"),
        ("gives_nan", "own could not predict: ValueError: predict_proba_one gave nan"),
        ("gives_two", "own could not predict: ValueError: predict_proba_one gave 2.0"),
        ("fails_to_pickle", "own could not be kept: TypeError: cannot pickle luck"),
    ],
)
def test_a_champion_that_fails_gives_way_and_the_flow_goes_on(function: str, what: str) -> None:
    config = declaring(function, champion="own")
    learner = Learner(SHARDS, config)
    ticks = ticks_of(learner)
    alarms = [alarm for each in ticks for alarm in each.alarms if alarm.method == "model_failure"]
    assert [(alarm.subject, alarm.severity) for alarm in alarms] == [("own", "critical")]
    assert what in alarms[0].detail
    assert "0x7" not in alarms[0].detail
    assert "took own out of the contest" in alarms[0].action
    names = [each.version.model_name for each in ticks]
    assert "own" in names
    assert names[-1] == learner.term.champion != "own"
    resumed = Learner(SHARDS, config)
    resumed.restore(unpack("learn", pack("learn", learner.state())))
    assert resumed.term == learner.term, "it does not come back"


def test_a_challenger_that_fails_is_a_warning_and_changes_no_score() -> None:
    plain, other = Learner(SHARDS, replace(LEARNING, challengers=())), Learner(SHARDS, declaring("gives_nan"))
    whole, ticks = ticks_of(plain), ticks_of(other)
    assert [each.version.to_json() for each in ticks] == [each.version.to_json() for each in whole]
    alarms = [alarm for each in ticks for alarm in each.alarms if alarm.subject == "own"]
    assert [alarm.severity for alarm in alarms] == ["warning"]


def test_no_declaration_changes_nothing() -> None:
    assert LearningConfig().contenders == LearningConfig(declared_models=()).contenders
