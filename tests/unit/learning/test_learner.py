"""The learner: whole ticks in canonical order, whatever the order in which the shards' parts come."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.events import US_PER_DAY
from c360_stream.features.columns import PRODUCT
from c360_stream.features.examples import ExampleBlock
from c360_stream.features.shard import TickExamples
from c360_stream.learning.learner import LearnedTick, Learner
from c360_stream.learning.model import ChurnModel
from c360_stream.learning.names import ChampionName
from c360_stream.snapshot import pack, unpack
from tests.unit.learning.companies import LEARNING, MODEL, SHARDS, as_bytes, company, learn, learned_ticks

TICKS = len(company()[0].examples)


def in_turns(draw: Random) -> list[TickExamples]:
    """The shards' parts, each shard's in their order, the shards mixed."""
    turns = [shard for shard in range(SHARDS) for _ in range(TICKS)]
    draw.shuffle(turns)
    queues = [iter(said.examples) for said in company()]
    return [next(queues[shard]) for shard in turns]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32))
def test_the_order_of_the_shards_does_not_matter(seed: int) -> None:
    assert as_bytes(learn(Learner(SHARDS, LEARNING), in_turns(Random(seed)))) == as_bytes(learned_ticks())


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32), st.sets(st.integers(0, SHARDS * TICKS - 1), max_size=4))
def test_a_resumed_learner_goes_on_identically(seed: int, cuts: set[int]) -> None:
    learner, out = Learner(SHARDS, LEARNING), list[LearnedTick]()
    for position, part in enumerate(in_turns(Random(seed))):
        if position in cuts:
            state = pack("learn", learner.state())
            learner = Learner(SHARDS, LEARNING)
            learner.restore(unpack("learn", state))
        out += learn(learner, [part])
    assert as_bytes(out) == as_bytes(learned_ticks())


def test_a_tick_is_learnt_once_all_shards_have_closed_it() -> None:
    learner = Learner(SHARDS, LEARNING)
    first = [said.examples[0] for said in company()]
    assert learn(learner, first[:-1]) == []
    (learned,) = learn(learner, first[-1:])
    assert learned.day == first[0].day


def test_examples_are_learnt_in_the_order_of_account_ids() -> None:
    """The model is a function of the sequence of examples, so the sequence has to be canonical."""
    day = next(part.day for part in company()[0].examples if len(part.matured))
    parts = [next(part for part in said.examples if part.day == day) for said in company()]
    rows = sorted(
        (account, features.tolist(), bool(churned))
        for part in parts
        for account, features, churned in zip(
            part.matured.ids, part.matured.features, part.matured.churned, strict=True
        )
    )
    assert len(rows) > 2
    model = ChurnModel(MODEL)
    as_of_us = np.full(len(rows), (day - MODEL.horizon_days) * US_PER_DAY, np.int64)
    model.learn(np.array([row[1] for row in rows]), np.array([row[2] for row in rows]), as_of_us)
    learner = Learner(SHARDS, LEARNING)
    learn(learner, parts[::-1])
    assert pack("model", learner.model.state()) == pack("model", model.state())


def test_the_company_reaches_the_learnt_model() -> None:
    """Else the tests of learning and scoring would compare a constant prior rule."""
    assert {learned.version.model_name for learned in learned_ticks()} == {"prior-rule", "online-logistic"}
    assert sum(learned.learnt_churned for learned in learned_ticks()) >= MODEL.warmup_churned
    assert len({learned.version.model_version for learned in learned_ticks()}) == len(learned_ticks())


def test_a_day_of_missing_usage_is_exposed_to_the_model() -> None:
    learner, none = Learner(1, LEARNING), ExampleBlock.none()
    for day in range(1, 30):
        events = [0, 0, 0]
        events[PRODUCT] = 100 if day == 25 else 1000
        learner.receive(TickExamples(0, day, none, none, none, none, [], [], [], events))
    assert [each.model.exposures for each in learner.contenders.values()] == [{24: 0.1}] * len(learner.contenders)


def replaced(**changes: Any) -> Learner:
    """A learner with other settings, which goes on from the state of one that learnt the first half."""
    parts = in_turns(Random(1))
    first = Learner(SHARDS, LEARNING)
    learn(first, parts[: len(parts) // 2])
    resumed = Learner(SHARDS, replace(LEARNING, **changes))
    resumed.restore(unpack("learn", pack("learn", first.state())))
    learn(resumed, parts[len(parts) // 2 :])
    return resumed


def test_models_that_the_settings_add_begin_and_those_they_drop_are_gone() -> None:
    learner = replaced(challengers=("gradient-logistic", "online-logistic-fast"))
    assert "online-logistic-early" not in learner.contenders
    assert learner.contenders["gradient-logistic"].model.outcomes < learner.contenders["base-rate"].model.outcomes
    assert learner.contenders["online-logistic-fast"].model.outcomes == learner.contenders["base-rate"].model.outcomes


@pytest.mark.parametrize("champion", ["base-rate", "gradient-logistic"])
def test_a_pinned_champion_scores(champion: ChampionName) -> None:
    assert replaced(champion=champion).office.champion == champion
    ticks = learn(Learner(SHARDS, replace(LEARNING, champion=champion)), in_turns(Random(2)))
    assert {tick.version.model_name for tick in ticks} <= {champion, "prior-rule"}
    assert ticks[-1].version.model_name == champion


def test_a_fresh_challenger_is_begun_by_the_calendar_and_said() -> None:
    alarms = [alarm for tick in learned_ticks() for alarm in tick.alarms if alarm.method == "retraining"]
    assert {alarm.subject for alarm in alarms} == {"online-logistic-retrained"}
    assert all("days have passed" in alarm.detail for alarm in alarms)
    none = learn(Learner(SHARDS, replace(LEARNING, retrain_days=0, retrain_on_drift=False)), in_turns(Random(3)))
    assert not [alarm for tick in none for alarm in tick.alarms if alarm.method == "retraining"]


def test_every_model_s_standing_is_told_on_mondays() -> None:
    rows = [row for tick in learned_ticks() for row in tick.metrics]
    assert {row.segment for row in rows} == {"contest"}
    assert {row.metric for row in rows} == {"log_loss", "gain", "gain_t"}
    assert {row.as_of_us // US_PER_DAY % 7 for row in rows} == {4}
    assert set(LEARNING.contenders) <= {row.model_name for row in rows}
