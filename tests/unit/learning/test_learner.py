"""The learner: whole ticks in canonical order, whatever the order in which the shards' parts come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import AlarmKind, utc_time
from c360_stream.features.columns import PRODUCT
from c360_stream.features.definitions import FEATURES
from c360_stream.features.emissions import TickExamples
from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.learner import LearnedTick, Learner, LearningConfig
from c360_stream.models.churn_model import ChurnModel, ModelConfig
from c360_stream.models.names import ChampionName, TreatedPolicy
from c360_stream.state.codec import pack, unpack
from tests.unit.learning.companies import CURVE_DAYS, LEARNING, MODEL, SHARDS, as_bytes, company, learn, learned_ticks

TICKS = len(company()[0].examples)


def in_turns(draw: Random) -> list[TickExamples]:
    """The shards' parts, each shard's in their order, the shards mixed."""
    turns = [shard for shard in range(SHARDS) for _ in range(TICKS)]
    draw.shuffle(turns)
    queues = [iter(shard.examples) for shard in company()]
    return [next(queues[shard]) for shard in turns]


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 2**32))
def test_the_order_of_the_shards_does_not_matter(seed: int) -> None:
    assert as_bytes(learn(Learner(SHARDS, LEARNING), in_turns(Random(seed)))) == as_bytes(learned_ticks())


@settings(deadline=None, max_examples=3)
@given(st.integers(0, 2**32), st.sampled_from(["leave_out", "weight", "model"]), st.integers(0, SHARDS * TICKS - 1))
def test_nor_does_it_where_treated_examples_teach_otherwise(seed: int, policy: TreatedPolicy, cut: int) -> None:
    config = replace(LEARNING, model=replace(MODEL, treated_examples=policy))
    learner, out = Learner(SHARDS, config), list[LearnedTick]()
    for position, part in enumerate(in_turns(Random(seed))):
        if position == cut:
            state = pack("learn", learner.state())
            learner = Learner(SHARDS, config)
            learner.restore(unpack("learn", state))
        out += learn(learner, [part])
    straight = learn(Learner(SHARDS, config), (part for shard in company() for part in shard.examples))
    assert as_bytes(out) == as_bytes(straight)
    assert as_bytes(out) != as_bytes(learned_ticks()), "there are treated examples"


@settings(deadline=None, max_examples=6)
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
    first = [shard.examples[0] for shard in company()]
    assert learn(learner, first[:-1]) == []
    (learned,) = learn(learner, first[-1:])
    assert learned.day == first[0].day


def test_examples_are_learnt_in_the_order_of_account_ids() -> None:
    """The model is a function of the sequence of examples, so the sequence has to be canonical."""
    day = next(part.day for part in company()[0].examples if len(part.matured))
    parts = [next(part for part in shard.examples if part.day == day) for shard in company()]
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
    assert pack("model", learner.contenders["online-logistic"].model.state()) == pack("model", model.state())


def test_the_company_reaches_the_learnt_model() -> None:
    """Else the tests of learning and scoring would compare a constant prior rule."""
    names = {"prior-rule", "online-logistic", "online-logistic-blend"}
    assert {learned.version.model_name for learned in learned_ticks()} == names
    assert sum(learned.learnt_churned for learned in learned_ticks()) >= MODEL.warmup_churned
    assert len({learned.version.model_version for learned in learned_ticks()}) == len(learned_ticks())


def test_a_fresh_challenger_heeds_what_treated_examples_teach() -> None:
    """It learns the replay buffer, which remembers who was treated."""
    found = {}
    for policy in ("keep", "leave_out"):
        learner = Learner(SHARDS, replace(LEARNING, model=replace(MODEL, treated_examples=policy)))
        learn(learner, (part for shard in company() for part in shard.examples))
        examples = learner._replay.examples()
        assert examples.treated.any()
        assert not examples.treated.all()
        name = learner._start_fresh_challenger(1, examples)
        found[policy] = learner.contenders[name].model._classifier.state()["examples"]
    assert found == {"keep": len(examples), "leave_out": len(examples) - int(examples.treated.sum())}


def test_a_day_of_missing_usage_is_exposed_to_the_model() -> None:
    learner, none = Learner(1, LEARNING), ExampleBlock.none()
    for day in range(1, 30):
        events = [0, 0, 0]
        events[PRODUCT] = 100 if day == 25 else 1000
        learner.receive(
            TickExamples(
                shard=0,
                day=day,
                matured=none,
                opened=none,
                week_old=none,
                churned_before_horizon=none,
                corrected_as_of=[],
                corrected_ids=[],
                corrected_treated=[],
                observed_ids=[],
                observed_after=[],
                late_days=[],
                events_by_topic=events,
            )
        )
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
    assert replaced(champion=champion).term.champion == champion
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
    assert {row.segment for row in rows} == {"contest", *(f"horizon_{days}d" for days in CURVE_DAYS)}
    contest = [row for row in rows if row.segment == "contest"]
    assert {row.metric for row in contest} == {"log_loss", "gain", "gain_t"}
    assert {row.as_of_us // US_PER_DAY % 7 for row in rows} == {4}
    assert set(LEARNING.contenders) <= {row.model_name for row in rows}


def changing(days: int, change: int, rows: int = 60, horizon: int = 28) -> Iterator[TickExamples]:
    """One shard's parts: new accounts every day; from `change` on those with little of a feature leave more."""
    rng = np.random.default_rng(5)
    taken: list[tuple[ExampleBlock, np.ndarray]] = []
    none = ExampleBlock.none()

    def aged(day: int, age: int) -> ExampleBlock:
        if day < age:
            return none
        block, leaves = taken[day - age]
        return replace(block, churned=leaves < age)

    for day in range(days):
        features = rng.random((rows, len(FEATURES)))
        hazard = 0.004 * np.exp(2.5 * features[:, 0])
        if day >= change:
            hazard *= np.where(features[:, 3] < 0.4, 3.5, 0.4)
        block = ExampleBlock(
            np.full(rows, 20_000 + day),
            [f"{day}-{row:02}" for row in range(rows)],
            features,
            *np.zeros((2, rows), np.bool_),
        )
        taken.append((block, rng.exponential(1 / hazard)))
        late = [2] * 3 if day >= change else [0] * 3
        yield TickExamples(
            shard=0,
            day=20_000 + day,
            matured=aged(day, horizon),
            opened=block,
            week_old=aged(day, 7),
            churned_before_horizon=none,
            corrected_as_of=[],
            corrected_ids=[],
            corrected_treated=[],
            observed_ids=[],
            observed_after=[],
            late_days=late,
            events_by_topic=[0, 1000, 0],
        )


def test_when_other_accounts_leave_it_is_said_a_fresh_challenger_begun_and_risks_no_longer_taken_at_their_word() -> (
    None
):
    config = LearningConfig(ModelConfig(horizon_days=28, warmup_outcomes=200, warmup_churned=20))
    ticks = learn(Learner(1, config), changing(230, 180))
    alarms = {kind: [a for tick in ticks for a in tick.alarms if a.kind == kind] for kind in get_args(AlarmKind)}
    days = {kind: [(alarm.as_of - utc_time(0)).days - 20_000 for alarm in each] for kind, each in alarms.items()}
    assert len(days["concept_drift"]) in (1, 2)
    assert 180 < days["concept_drift"][0] <= 215
    assert FEATURES[3] in alarms["concept_drift"][0].detail
    assert [alarm.method for alarm in alarms["performance"]] == ["retraining"]
    assert days["performance"] == days["concept_drift"][:1]
    assert "Other accounts leave" in alarms["performance"][0].detail
    assert {alarm.subject for alarm in alarms["label_delay"]} == {"subscription_cancelled"}
    assert 180 < days["label_delay"][0] < 195
    trusted = {tick.day - 20_000: tick.version.calibrated for tick in ticks}
    assert not trusted[0]  # the prior rule
    assert all(trusted[day] for day in range(60, days["concept_drift"][0]))
    assert not any(trusted[day] for day in range(days["concept_drift"][0], days["concept_drift"][0] + 14))
