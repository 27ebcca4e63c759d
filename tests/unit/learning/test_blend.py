"""The blend: weights that follow what the weeks show, and a version that says what its parts say."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.blend import HALF_LIFE_DAYS, WEIGHT_START, Blend, Mixture
from c360_stream.learning.contender import Contender
from c360_stream.learning.learner import LearningConfig
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models.additive import AdditiveVersion
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.classifier import logit, sigmoid
from c360_stream.state.codec import pack, unpack
from tests.unit.learning.rows import DAY_US, feature_rows

CONFIG = ModelConfig(warmup_outcomes=100, warmup_churned=10)
PARTS = ("online-logistic", "online-logistic-hazard")
DAY = 20_000
NONE = ExampleBlock.none()
Models = tuple[Blend, dict[str, Contender]]


def models() -> Models:
    contenders: dict[str, Contender] = {}
    blend = Blend("online-logistic-blend", CONFIG, "matured", contenders)
    contenders |= {"online-logistic-blend": blend} | {name: Contender(name, CONFIG, "matured") for name in PARTS}
    return blend, contenders


def week(mixture: Mixture, rng: np.random.Generator, *, informed: int, days: int = 28) -> None:
    """Days of accounts of whose risk the informed model knows, and the other knows nothing."""
    for _ in range(days):
        mixture.fade()
        truth = rng.normal(-2.0, 1.0, 100)
        churned = (rng.random(100) < 1 / (1 + np.exp(1.0 - truth))).astype(np.float64)
        first, second = (np.full(100, -2.0), truth) if informed else (truth, np.full(100, -2.0))
        mixture.judge(first, second, churned)


def test_before_any_outcome_the_second_has_its_share() -> None:
    mixture = Mixture(60)
    assert mixture.weight == pytest.approx(WEIGHT_START)
    assert mixture.mix(np.array([-3.0]), np.array([0.0])) == pytest.approx([-2.0])


def test_the_weight_moves_to_the_model_that_foresees_and_comes_back() -> None:
    rng, mixture = np.random.default_rng(1), Mixture(60)
    week(mixture, rng, informed=1)
    assert mixture.weight > 0.7
    week(mixture, rng, informed=0, days=60)
    assert mixture.weight < 0.2
    for _ in range(10 * HALF_LIFE_DAYS):
        mixture.fade()
    assert mixture.weight == pytest.approx(WEIGHT_START, abs=0.01)


def test_the_level_of_a_model_is_not_held_against_it() -> None:
    """The second says the same, too low by half: its weekly level is learnt."""
    rng, mixture = np.random.default_rng(2), Mixture(60)
    for _ in range(100):
        mixture.fade()
        truth = rng.normal(-2.0, 1.0, 200)
        churned = (rng.random(200) < 1 / (1 + np.exp(2.1 - truth))).astype(np.float64)
        mixture.judge(truth, truth - 0.7, churned)
    assert mixture.weight == pytest.approx(WEIGHT_START, abs=0.05)


def block(day: int, count: int, rng: np.random.Generator, hurt: str) -> ExampleBlock:
    """Accounts of which those with a low value of one feature cancel."""
    rows = feature_rows(count, seed=day)
    low = rows[:, INDEX[hurt]] < np.nanmedian(rows[:, INDEX[hurt]])
    churned = rng.random(count) < np.where(low, 0.3, 0.02)
    return ExampleBlock(np.full(count, day), [f"a{row:04d}" for row in range(count)], rows, churned, churned & False)


def risk_of(made: Models, block: ExampleBlock, name: str) -> np.ndarray:
    day = int(block.as_of_day[0])
    return made[1][name].version(day).score(block.features, day * DAY_US).risk


def raw_of(made: Models, block: ExampleBlock, name: str) -> np.ndarray:
    return made[1][name].raw_log_odds(block, int(block.as_of_day[0]) * DAY_US)


def taught(made: Models, days: range, hurt: str, matured_hurt: str | None = None) -> None:
    """Days on which weekly labels follow one mechanism, matured ones perhaps still another."""
    blend, contenders = made
    raw_by_day: dict[int, np.ndarray] = {}
    part_log_odds: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for day in days:
        rng = np.random.default_rng(day)
        matured, week_old = block(day - 60, 60, rng, matured_hurt or hurt), block(day - 7, 60, rng, hurt)
        raw = raw_by_day.pop(day - 60, np.full(60, np.nan))
        for name, contender in contenders.items():
            of_this = raw if contender is blend else np.full(60, np.nan)
            said = (part_log_odds.get(day - 7), part_log_odds.get(day - 60))
            contender.learn(TrainingBatch(matured, week_old, NONE, NONE, of_this, *said))
            assert name in contenders
        opened = block(day, 60, rng, hurt)
        raw_by_day[day] = blend.raw_log_odds(opened, day * DAY_US)
        if all(contenders[name].ready for name in PARTS):
            part_log_odds[day] = blend.past_log_odds(partial(risk_of, made, opened), partial(raw_of, made, opened))


def test_after_a_change_it_says_what_the_early_part_says() -> None:
    made = models()
    taught(made, range(DAY - 200, DAY - 40), "active_days_30d")
    before = made[0].weight
    taught(made, range(DAY - 40, DAY), "features_adopted_30d", matured_hurt="active_days_30d")
    assert made[0].weight > 0.9 > before
    rows = feature_rows(400, seed=5)
    z = {name: np.log(p / (1 - p)) for name, p in risks(made[1], rows).items()}
    near, far = (np.corrcoef(z["online-logistic-blend"], z[name])[0, 1] for name in reversed(PARTS))
    assert near > 0.9 > far


def risks(contenders: dict[str, Contender], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: each.version(DAY).score(rows, DAY * DAY_US).risk for name, each in contenders.items()}


def of_rows(rows: np.ndarray) -> ExampleBlock:
    nobody = np.zeros(len(rows), np.bool_)
    return ExampleBlock(np.full(len(rows), DAY), ["a"] * len(rows), rows, nobody, nobody)


def test_the_version_is_the_weighted_sum_of_the_parts_in_log_odds() -> None:
    made = models()
    taught(made, range(DAY - 150, DAY), "active_days_30d")
    blend, contenders = made
    rows = feature_rows(300, seed=6)
    raw = blend.raw_log_odds(of_rows(rows), DAY * DAY_US)
    first, second = blend._log_odds(of_rows(rows), np.full(300, DAY * DAY_US))
    offset, slope, contrast = blend._stack.weights.tolist()
    expected = [sigmoid(slope * z + contrast * v + offset) for z, v in zip(raw, second - first, strict=True)]
    blend._leads = True
    np.testing.assert_allclose(risks(contenders, rows)["online-logistic-blend"], expected, rtol=1e-9)
    assert blend.version(DAY).model_name == "online-logistic-blend"
    assert slope != 1.0


def test_while_a_part_is_not_warm_the_first_part_speaks() -> None:
    blend, contenders = models()
    assert not blend.ready
    assert blend.version(DAY) == contenders["online-logistic"].version(DAY)
    assert np.isnan(blend.raw_log_odds(block(DAY, 3, np.random.default_rng(0), FEATURES[0]), DAY * DAY_US)).all()


def test_a_snapshot_in_the_middle_changes_nothing() -> None:
    one, other = models(), models()
    for made in (one, other):
        taught(made, range(DAY - 120, DAY - 20), "active_days_30d")
    again = models()
    for name, contender in other[1].items():
        again[1][name].restore(unpack("s", pack("s", contender.state())))
    for made in (one, again):
        taught(made, range(DAY - 20, DAY), "active_days_30d")
    assert one[0].version(DAY) == again[0].version(DAY)
    assert pack("s", one[0].state()) == pack("s", again[0].state())


def test_reasons_are_the_blends() -> None:
    """Contributions add up to the log-odds, and without the strongest one the score moves as its sign says."""
    made = models()
    taught(made, range(DAY - 150, DAY), "active_days_30d")
    version, rows = made[0].version(DAY), feature_rows(200, seed=8)
    assert isinstance(version, AdditiveVersion)
    before = rows.copy()
    risk, contributions, base = version.score(rows, DAY * DAY_US)
    np.testing.assert_array_equal(rows, before)
    assert base + contributions.sum(axis=1) == pytest.approx(np.log(risk) - np.log1p(-risk), abs=1e-9)
    for row, strengths, whole in zip(rows, contributions, risk.tolist(), strict=True):
        top = FEATURES[int(np.argmax(np.abs(strengths)))]
        others = {feature: curve for feature, curve in version.curves.items() if feature != top}
        without = AdditiveVersion("m", DAY, base, others, version.exposures).score(row[None, :], DAY * DAY_US).risk[0]
        assert np.sign(whole - without) == np.sign(strengths[FEATURES.index(top)])
    assert len(pack("s", made[0].state())) < 3_000


def test_parts_learn_whether_or_not_they_are_asked_for() -> None:
    assert LearningConfig().contenders == ("online-logistic-blend", *PARTS, "inactivity-rule", "base-rate")
    names = LearningConfig(champion="online-logistic", challengers=("online-logistic-blend",)).contenders
    assert names[0] == "online-logistic-blend", "it has to learn before its parts do"
    assert set(names) == set(LearningConfig().contenders)


def test_where_labels_of_a_week_overlap_each_counts_for_less() -> None:
    mixtures = [Mixture(60, 7), Mixture(60, 1)]
    evidence = []
    for mixture in mixtures:
        week(mixture, np.random.default_rng(1), informed=1, days=7)
        evidence.append(logit(mixture.weight) - logit(WEIGHT_START))
    assert evidence[0] == pytest.approx(7 * evidence[1])


def test_what_a_part_did_not_say_decides_nothing() -> None:
    blend, _ = models()
    week_old = block(DAY - 7, 4, np.random.default_rng(0), "active_days_30d")
    nothing = np.full(4, np.nan)
    blend.learn(TrainingBatch(NONE, week_old, NONE, NONE, nothing[:0], (nothing, np.zeros(4))))
    assert blend.weight == pytest.approx(WEIGHT_START)


def test_plain_weeks_are_remembered_over_a_snapshot() -> None:
    """Between both limits it depends on what was before: forgotten, another model would score after a resume."""
    blend, resumed = models()[0], models()[0]
    blend._plain = blend._leads = True
    resumed.restore(unpack("s", pack("s", blend.state())))
    assert (resumed._plain, resumed._leads) == (True, True)
