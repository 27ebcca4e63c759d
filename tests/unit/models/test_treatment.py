"""What treated examples teach, by policy: nothing less, nothing more, for every learner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from c360_stream.features.definitions import FEATURES
from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.contender import Contender
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models.additive import AdditiveVersion
from c360_stream.models.catalogue import CATALOGUE
from c360_stream.models.churn_model import ChurnModel, ModelConfig
from c360_stream.models.classifier import sigmoid
from c360_stream.models.names import MODELS, ModelName, TreatedPolicy
from c360_stream.models.treatment import TREATED
from c360_stream.state.codec import pack, unpack
from tests.unit.learning.rows import DAY_US, feature_rows, true_risk

DAY = 20_000
POLICIES: tuple[TreatedPolicy, ...] = ("keep", "leave_out", "weight", "model")
LEARNERS = [name for name in MODELS if CATALOGUE[name].kind == "learner"]
NONE = ExampleBlock.none()

every_learner = pytest.mark.parametrize("name", LEARNERS)
every_policy = pytest.mark.parametrize("policy", POLICIES)


def config(policy: TreatedPolicy, weight: float = 0.5) -> ModelConfig:
    return ModelConfig(100, 10, treated_examples=policy, treated_weight=weight)


def block(count: int, seed: int, odds_factor: float = 0.5, share: float = 0.4) -> ExampleBlock:
    """Examples of which some are treated by the toss of a coin, which multiplies their odds of churn."""
    rng = np.random.default_rng((seed, 1))
    rows = feature_rows(count, seed)
    treated = rng.random(count) < share
    risk = true_risk(rows)
    odds = risk / (1 - risk) * np.where(treated, odds_factor, 1.0)
    churned = rng.random(count) < odds / (1 + odds)
    ids = [f"a{i:05d}" for i in range(count)]
    return ExampleBlock(np.full(count, DAY - 60, np.int64), ids, rows, churned, treated)


def lessons(contender: Contender, lesson: ExampleBlock) -> TrainingBatch:
    """The same examples as lessons of every kind."""
    churners = lesson.take(np.flatnonzero(lesson.churned))
    opened = replace(lesson, treated=np.zeros(len(lesson), np.bool_))
    return TrainingBatch(lesson, lesson, churners, opened, contender.raw_log_odds(lesson, DAY * DAY_US))


def taught(name: str, settings: ModelConfig, *, seeds: range = range(6), count: int = 500, **made: Any) -> Contender:
    contender = Contender(name, settings, "matured")
    for seed in seeds:
        contender.learn(lessons(contender, block(count, seed, **made)))
    return contender


def learnt(contender: Contender) -> bytes:
    """What it has learnt, without what it has counted."""
    state = contender.model.state()
    return pack("m", {name: state[name] for name in ("basis", "classifier", "calibration")})


@every_learner
@every_policy
def test_without_treated_examples_all_policies_are_one(name: ModelName, policy: TreatedPolicy) -> None:
    kept, other = (taught(name, config(each), share=0.0) for each in ("keep", policy))
    rows = feature_rows(200, seed=99)
    scores = [each.version(DAY).score(rows, DAY * DAY_US) for each in (kept, other)]
    # A column more is another matrix, whose products round differently.
    np.testing.assert_allclose(scores[0].risk, scores[1].risk, rtol=1e-9)
    if policy != "model":
        assert learnt(kept) == learnt(other)


@every_learner
def test_keep_heeds_no_treatment(name: ModelName) -> None:
    contender = Contender(name, config("keep"), "matured")
    for seed in range(6):
        lesson = block(500, seed)
        contender.learn(lessons(contender, replace(lesson, treated=~lesson.treated)))
    assert learnt(contender) == learnt(taught(name, config("keep")))


@every_learner
def test_a_weight_of_one_is_keep(name: ModelName) -> None:
    assert learnt(taught(name, config("weight", 1.0))) == learnt(taught(name, config("keep")))


@pytest.mark.parametrize("name", [name for name in LEARNERS if CATALOGUE[name].scheme != "fake_negative_weighted"])
def test_leave_out_is_learning_from_the_untreated_alone(name: ModelName) -> None:
    """Weights and calibration, to the bit; all outcomes are counted all the same."""
    left_out = taught(name, config("leave_out"))
    alone = Contender(name, config("keep"), "matured")
    for seed in range(6):
        lesson = block(500, seed)
        alone.learn(lessons(alone, lesson.take(np.flatnonzero(~lesson.treated))))
    assert learnt(left_out) == learnt(alone)
    assert learnt(left_out) != learnt(taught(name, config("keep")))
    assert left_out.model.outcomes == 3_000 > alone.model.outcomes


@every_policy
def test_fake_negatives_are_taught_before_anybody_is_contacted(policy: TreatedPolicy) -> None:
    """So the policy is that of the calibration; what the classifier learns is what it would learn anyway."""
    kept, other = (taught("online-logistic-early", config(each)) for each in ("keep", policy))
    weights = [each.model._classifier.weights for each in (kept, other)]
    np.testing.assert_allclose(weights[0], weights[1][: len(weights[0])], rtol=1e-9, atol=1e-12)
    assert weights[1][len(weights[0]) :].tolist() == ([0.0] if policy == "model" else [])
    same = kept.model._calibration.state() == other.model._calibration.state()
    assert same is (policy == "keep")


@every_learner
def test_an_example_of_weight_two_thirds_counts_less_than_one_and_more_than_a_third(name: ModelName) -> None:
    """Treated examples that say the opposite of the others pull less, the less they weigh."""
    rows = feature_rows(400, seed=1)
    treated = np.arange(400) % 2 == 0
    lesson = ExampleBlock(np.full(400, DAY - 60, np.int64), [f"a{i:03d}" for i in range(400)], rows, treated, treated)
    means = []
    for weight in (0.0, 1 / 3, 2 / 3, 1.0):
        contender = Contender(name, config("weight", weight), "matured")
        for _ in range(3):
            contender.learn(lessons(contender, lesson))
        means.append(float(contender.version(DAY).score(rows, DAY * DAY_US).risk.mean()))
    assert means == sorted(means)
    assert len(set(means)) == 4


def risks(name: str, policy: TreatedPolicy, rows: Any, factor: float) -> tuple[float, Contender]:
    """Mean log-odds of scores less those of the truth without contacts, of a model that has seen 15,000 examples."""
    contender = taught(name, config(policy), seeds=range(30), odds_factor=factor)
    risk, truth = contender.version(DAY).score(rows, DAY * DAY_US).risk, true_risk(rows)
    return float(np.mean(np.log(risk / (1 - risk)) - np.log(truth / (1 - truth)))), contender


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_where_contacts_change_the_odds_policies_differ_as_they_should(factor: float) -> None:
    """The untreated risk is what `model` and `leave_out` score; `keep` is between, and `weight` between those."""
    rows = feature_rows(2_000, seed=77)
    bias = {policy: risks("online-logistic", policy, rows, factor)[0] for policy in POLICIES}
    effect = np.log(factor)
    assert bias["keep"] == pytest.approx(0.4 * effect, abs=0.12), "two in five are treated"
    assert abs(bias["leave_out"]) < 0.1
    assert abs(bias["model"]) < 0.1
    assert min(0, bias["keep"]) < bias["weight"] < max(0, bias["keep"])


@pytest.mark.parametrize("name", ["online-logistic", "online-logistic-fast", "online-logistic-hazard"])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_model_finds_the_effect_of_contacts(name: ModelName, factor: float) -> None:
    bias, contender = risks(name, "model", feature_rows(2_000, seed=77), factor)
    weight = contender.model._classifier.weights[-1]
    assert np.sign(weight) == np.sign(np.log(factor))
    assert weight == pytest.approx(np.log(factor), abs=0.1)
    assert abs(bias) < 0.2


@every_learner
def test_a_version_scores_as_if_nobody_were_contacted_and_contributions_add_up(name: ModelName) -> None:
    contender = taught(name, config("model"))
    rows = feature_rows(300, seed=5)
    version = contender.version(DAY)
    assert isinstance(version, AdditiveVersion)
    assert set(version.curves) == set(FEATURES)
    risk, contributions, base = version.score(rows, DAY * DAY_US)
    assert base + contributions.sum(axis=1) == pytest.approx(np.log(risk) - np.log1p(-risk), abs=1e-9)
    calibration = contender.model._calibration
    raw = contender.raw_log_odds(replace(block(300, 5), features=rows), DAY * DAY_US)
    assert [sigmoid(calibration.slope * z + calibration.offset) for z in raw] == pytest.approx(risk.tolist(), abs=1e-9)


def test_the_column_is_neither_scaled_nor_a_feature() -> None:
    model = ChurnModel(config("model"))
    lesson = block(50, seed=3)
    rows = model._prepared(lesson.features, lesson.as_of_day * DAY_US, lesson.treated)
    assert rows[:, -1].tolist() == lesson.treated.astype(float).tolist()
    assert TREATED not in FEATURES
    assert rows.shape[1] == len(model._basis.output_names) + 1


@every_learner
@every_policy
def test_goes_on_from_a_packed_state(name: ModelName, policy: TreatedPolicy) -> None:
    whole = taught(name, config(policy), seeds=range(6))
    resumed = Contender(name, config(policy), "matured")
    resumed.restore(unpack("m", pack("m", taught(name, config(policy), seeds=range(3)).state())))
    for seed in range(3, 6):
        resumed.learn(lessons(resumed, block(500, seed)))
    assert pack("m", resumed.state()) == pack("m", whole.state())


@every_learner
@pytest.mark.parametrize(("before", "after"), [("keep", "model"), ("model", "keep"), ("model", "leave_out")])
def test_a_changed_setting_takes_up_what_was_learnt(
    name: ModelName, before: TreatedPolicy, after: TreatedPolicy
) -> None:
    old = taught(name, config(before))
    new = Contender(name, config(after), "matured")
    new.restore(unpack("m", pack("m", old.state())))
    rows = feature_rows(100, seed=8)
    assert (
        new.version(DAY).score(rows, DAY * DAY_US).risk.tolist()
        == old.version(DAY).score(rows, DAY * DAY_US).risk.tolist()
    )
    new.learn(lessons(new, block(500, seed=9)))
    columns = len(new.model._basis.output_names) + (after == "model")
    assert len(new.model._classifier.weights) == columns + 1


@every_policy
def test_no_examples_teach_nothing(policy: TreatedPolicy) -> None:
    contender = Contender("online-logistic", config(policy), "matured")
    before = learnt(contender)
    contender.learn(TrainingBatch(NONE, NONE, NONE, NONE, np.zeros(0)))
    everybody = replace(block(20, 1), treated=np.ones(20, np.bool_))
    if policy == "leave_out":
        contender.learn(TrainingBatch(everybody, everybody, NONE, NONE, np.full(20, np.nan)))
    assert learnt(contender) == before
