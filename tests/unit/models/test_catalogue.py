"""What every model of the catalogue has to do: River's checks, and ours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from river import checks

from c360_stream.features.definitions import FEATURES
from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.contender import Contender
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models.additive import AdditiveVersion
from c360_stream.models.catalogue import CATALOGUE, entry_named
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.names import MODELS, RETRAINED, ModelName
from c360_stream.state.codec import pack, unpack
from c360_stream.state.fields import codec_of
from tests.unit.learning.rows import DAY_US, as_dict, feature_rows, outcomes

DAY = 20_000
CONFIG = ModelConfig(warmup_outcomes=100, warmup_churned=10)
LEARNERS = [name for name in MODELS if CATALOGUE[name].kind == "learner"]
STATE_BYTES_MAX = 100_000

# A blend is nothing without its parts, and trees nothing without a buffer: see test_blend and test_refitted_trees.
ALONE = [name for name in MODELS if CATALOGUE[name].kind not in ("blend", "trees")]
every_model = pytest.mark.parametrize("name", ALONE)
every_learner = pytest.mark.parametrize("name", LEARNERS)


def block(count: int, seed: int, day: int = DAY - 60) -> ExampleBlock:
    rows = feature_rows(count, seed)
    ids = [f"a{i:05d}" for i in range(count)]
    churned, nobody = outcomes(rows, seed).astype(np.bool_), np.zeros(count, np.bool_)
    return ExampleBlock(np.full(count, day, np.int64), ids, rows, churned, nobody)


def taught(name: str, count: int = 3_000, seed: int = 1) -> Contender:
    """A model that has had lessons of every kind, whatever it makes of them."""
    contender = Contender(name, CONFIG, "matured")
    for part in range(0, count, 500):
        lesson = block(500, seed + part)
        churners = lesson.take(np.flatnonzero(lesson.churned))
        raw_log_odds = contender.raw_log_odds(lesson, DAY * DAY_US)
        contender.learn(TrainingBatch(lesson, lesson, churners, lesson, raw_log_odds))
    return contender


def test_every_name_has_an_entry() -> None:
    assert tuple(CATALOGUE) == MODELS
    for suffix in RETRAINED:
        assert {name for name in MODELS if entry_named(name + suffix).name == name} == set(MODELS)


@every_learner
def test_the_classifier_passes_rivers_checks(name: ModelName) -> None:
    names = ("x0", "x1")  # River's clone cannot take an empty tuple
    for check in checks.yield_checks(CATALOGUE[name].classifier(names)):
        check(CATALOGUE[name].classifier(names))


@every_learner
def test_the_pipeline_takes_missing_and_new_features(name: ModelName) -> None:
    pipeline = taught(name, 500).model.pipeline
    x = as_dict(feature_rows(1, seed=9)[0])
    for changed in ({}, {FEATURES[0]: None}, x | {"never seen": 3.0}, {"only new": 1.0}):
        before = dict(changed)
        assert 0 < pipeline.predict_proba_one(changed)[True] < 1
        pipeline.learn_one(changed, True)
        assert changed == before, "inputs are not changed"


@every_model
def test_scores_before_any_example_and_after_many(name: ModelName) -> None:
    rows = feature_rows(200, seed=2)
    for contender in (Contender(name, CONFIG, "matured"), taught(name)):
        risk = contender.version(DAY).score(rows, DAY * DAY_US).risk
        assert ((risk > 0) & (risk < 1)).all()


@every_model
def test_arrays_are_not_changed(name: ModelName) -> None:
    lesson = block(300, seed=3)
    before = pack("block", codec_of(ExampleBlock).dump(lesson))
    contender = Contender(name, CONFIG, "matured")
    contender.learn(TrainingBatch(lesson, lesson, lesson, lesson, contender.raw_log_odds(lesson, DAY * DAY_US)))
    contender.version(DAY).score(lesson.features, DAY * DAY_US)
    assert pack("block", codec_of(ExampleBlock).dump(lesson)) == before


@every_model
def test_goes_on_from_a_small_state(name: ModelName) -> None:
    contender, resumed = taught(name), Contender(name, CONFIG, "matured")
    packed = pack("learn", contender.state())
    assert len(packed) < STATE_BYTES_MAX
    resumed.restore(unpack("learn", packed))
    lesson = block(400, seed=4)
    for each in (contender, resumed):
        each.learn(TrainingBatch(lesson, lesson, lesson, lesson, each.raw_log_odds(lesson, DAY * DAY_US)))
    assert resumed.version(DAY) == contender.version(DAY)


@every_model
def test_reasons_are_the_models(name: ModelName) -> None:
    """Contributions add up to the log-odds, and without the strongest one the score moves as its sign says."""
    version = taught(name).version(DAY)
    assert isinstance(version, AdditiveVersion)
    rows = feature_rows(300, seed=5)
    risk, contributions, base = version.score(rows, DAY * DAY_US)
    assert base + contributions.sum(axis=1) == pytest.approx(np.log(risk) - np.log1p(-risk), abs=1e-9)
    for row, strengths, whole in zip(rows, contributions, risk.tolist(), strict=True):
        top = FEATURES[int(np.argmax(np.abs(strengths)))]
        if not np.abs(strengths).max():
            continue
        others = {feature: curve for feature, curve in version.curves.items() if feature != top}
        without = AdditiveVersion("m", DAY, base, others, version.exposures).score(row[None, :], DAY * DAY_US).risk[0]
        assert np.sign(whole - without) == np.sign(strengths[FEATURES.index(top)])


@every_learner
def test_learns_and_is_calibrated(name: ModelName) -> None:
    """Schemes that learn from other labels than the matured ones are brought back to them."""
    contender = Contender(name, CONFIG, "matured")
    waiting: list[tuple[ExampleBlock, np.ndarray]] = []
    opened = ExampleBlock.none()
    none = ExampleBlock.none()
    rng = np.random.default_rng(6)
    for tick in range(400):
        lesson = block(60, seed=1_000 + tick, day=DAY + tick)
        # The account cancels on some day of the next 60, so about one in nine within a week.
        lag = np.where(lesson.churned, rng.integers(0, 60, len(lesson)), 99)
        waiting.append((lesson, lag))
        cancelled = ((waiting[at][0], waiting[at][1] == tick - at) for at in range(max(0, tick - 60), tick))
        early = [taken.take(np.flatnonzero(now)) for taken, now in cancelled]
        matured, week_old = none, none
        if tick >= 60:
            matured = waiting[tick - 60][0]
        if tick >= 7:
            week, lags = waiting[tick - 7]
            week_old = replace(week, churned=lags < 7)
        raw_log_odds = contender.raw_log_odds(matured, DAY * DAY_US)
        contender.learn(TrainingBatch(matured, week_old, ExampleBlock.merged(early), opened, raw_log_odds))
        opened = lesson
    rows = feature_rows(4_000, seed=7)
    truth = outcomes(rows, seed=7)
    risk = contender.version(DAY + 400).score(rows, (DAY + 400) * DAY_US).risk
    assert risk.mean() == pytest.approx(truth.mean(), rel=0.2)
    assert risk[truth > 0].mean() > 1.15 * risk[truth == 0].mean()
