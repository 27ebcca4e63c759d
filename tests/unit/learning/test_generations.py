"""Generations: when additive models take another basis, and that they know afterwards what they knew before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.contender import Contender
from c360_stream.learning.generations import Generations
from c360_stream.learning.learner import Learner
from c360_stream.learning.replay_buffer import ReplayBuffer
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models.basis import Basis
from c360_stream.models.churn_model import ChurnModel, ModelConfig
from c360_stream.state.codec import pack, unpack
from tests.unit.learning.companies import LEARNING, SHARDS, company, learn
from tests.unit.learning.rows import DAY_US, feature_rows, outcomes, true_risk

CONFIG = ModelConfig(warmup_outcomes=100, warmup_churned=5)
NONE = ExampleBlock.none()


def block(day: int, count: int = 50) -> ExampleBlock:
    rows = feature_rows(count, seed=day)
    churned = outcomes(rows, day).astype(np.bool_)
    ids = [f"a{row:04d}" for row in range(count)]
    return ExampleBlock(np.full(count, day, np.int64), ids, rows, churned, np.zeros(count, np.bool_))


def days_of_generations(days: int, examples_max: int, gap: int = 1) -> list[int]:
    """Days on which one began, of a company that gets 50 outcomes every `gap` days."""
    generations, buffer, model = Generations(60, 7, examples_max), ReplayBuffer(examples_max), ChurnModel(CONFIG)
    found = []
    for day in range(1, days, gap):
        matured = block(day)
        model.count(matured.churned)
        buffer.add(matured)
        generations.add(matured, NONE)
        if generations.due(model, buffer):
            found.append(day)
    return found


def test_one_begins_when_enough_is_known_and_whenever_outcomes_have_doubled() -> None:
    assert days_of_generations(100, 100_000) == [2, 4, 8, 16, 32, 64]


def test_once_examples_have_been_dropped_days_have_to_double() -> None:
    """What was dropped could not be learnt again, but breakpoints have to follow accounts that grow older."""
    assert days_of_generations(100, 1_400) == [2, 4, 8, 16, 32, 64]
    assert days_of_generations(300, 1_400)[-1] == 256
    assert days_of_generations(100, 28) == [2, 14, 28, 56]


def test_none_begins_without_examples_or_while_the_model_is_cold() -> None:
    generations = Generations(60, 7, 1_000)
    assert not generations.due(ChurnModel(ModelConfig(warmup_outcomes=0, warmup_churned=0)), ReplayBuffer(1_000))
    full = ReplayBuffer(1_000)
    full.add(block(1))
    assert not generations.due(ChurnModel(CONFIG), full)


@pytest.mark.parametrize("name", ["online-logistic", "online-logistic-early", "online-logistic-hazard"])
def test_what_was_known_is_known_in_the_new_basis(name: str) -> None:
    """And no outcome is counted twice."""
    contender = Contender(name, CONFIG, "matured")
    known = ExampleBlock.merged([block(day) for day in range(60)])
    raw = np.full(len(known), np.nan)
    contender.learn(TrainingBatch(known, known, NONE, NONE, raw))
    counted = contender.model.outcomes
    contender.begin(Basis.learnt(known.features, 100.0), known, known)
    assert contender.model.outcomes == counted
    rows = feature_rows(1_000, seed=777)
    risk = contender.version(100).score(rows, 100 * DAY_US).risk
    assert np.corrcoef(risk, true_risk(rows))[0, 1] > 0.8
    assert risk.mean() == pytest.approx(true_risk(rows).mean(), rel=0.3)


def test_a_learner_takes_breakpoints_of_its_company_and_goes_on_from_any_snapshot() -> None:
    parts = [part for shard in company() for part in shard.examples]
    parts.sort(key=lambda part: (part.day, part.shard))
    whole, resumed = Learner(SHARDS, LEARNING), Learner(SHARDS, LEARNING)
    learn(whole, parts)
    half = len(parts) // 2
    learn(resumed, parts[:half])
    again = Learner(SHARDS, LEARNING)
    again.restore(unpack("learn", pack("learn", resumed.state())))
    learn(again, parts[half:])
    basis = whole.contenders["online-logistic"].model._basis
    shipped = [points.tolist() for points in Basis.shipped().breakpoints]
    assert [points.tolist() for points in basis.breakpoints] != shipped
    assert pack("learn", again.state()) == pack("learn", whole.state())


def test_the_basis_does_not_depend_on_who_was_first() -> None:
    known = ExampleBlock.merged([block(day) for day in range(40)])
    other = ExampleBlock.merged([replace(block(day)) for day in reversed(range(40))])
    generations = Generations(60, 7, 1_000)
    assert pack("b", generations.basis(known, {}).state()) == pack("b", generations.basis(other, {}).state())
