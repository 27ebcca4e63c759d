"""The learner: whole ticks in canonical order, whatever the order in which the shards' parts come."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.events import US_PER_DAY
from c360_stream.features.columns import PRODUCT
from c360_stream.features.shard import TickExamples
from c360_stream.learning.learner import LearnedTick, Learner
from c360_stream.learning.model import ChurnModel
from c360_stream.snapshot import pack, unpack
from tests.unit.learning.companies import MODEL, SHARDS, as_bytes, company, learn, learned_ticks

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
    assert as_bytes(learn(Learner(SHARDS, MODEL), in_turns(Random(seed)))) == as_bytes(learned_ticks())


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32), st.sets(st.integers(0, SHARDS * TICKS - 1), max_size=4))
def test_a_resumed_learner_goes_on_identically(seed: int, cuts: set[int]) -> None:
    learner, out = Learner(SHARDS, MODEL), list[LearnedTick]()
    for position, part in enumerate(in_turns(Random(seed))):
        if position in cuts:
            state = pack("learn", learner.state())
            learner = Learner(SHARDS, MODEL)
            learner.restore(unpack("learn", state))
        out += learn(learner, [part])
    assert as_bytes(out) == as_bytes(learned_ticks())


def test_a_tick_is_learnt_once_all_shards_have_closed_it() -> None:
    learner = Learner(SHARDS, MODEL)
    first = [said.examples[0] for said in company()]
    assert learn(learner, first[:-1]) == []
    (learned,) = learn(learner, first[-1:])
    assert learned.day == first[0].day


def test_examples_are_learnt_in_the_order_of_account_ids() -> None:
    """The model is a function of the sequence of examples, so the sequence has to be canonical."""
    day = next(part.day for part in company()[0].examples if part.ids)
    parts = [next(part for part in said.examples if part.day == day) for said in company()]
    rows = sorted(
        (account, features.tolist(), bool(churned))
        for part in parts
        for account, features, churned in zip(part.ids, part.features, part.churned, strict=True)
    )
    assert len(rows) > 2
    model = ChurnModel(MODEL)
    as_of_us = np.full(len(rows), parts[0].as_of_day * US_PER_DAY, np.int64)
    model.learn(np.array([row[1] for row in rows]), np.array([row[2] for row in rows]), as_of_us)
    learner = Learner(SHARDS, MODEL)
    learn(learner, parts[::-1])
    assert pack("model", learner.model.state()) == pack("model", model.state())


def test_the_company_reaches_the_learnt_model() -> None:
    """Else the tests of learning and scoring would compare a constant prior rule."""
    assert {learned.version.model_name for learned in learned_ticks()} == {"prior-rule", "online-logistic"}
    assert sum(learned.learnt_churned for learned in learned_ticks()) >= MODEL.warmup_churned
    assert len({learned.version.model_version for learned in learned_ticks()}) == len(learned_ticks())


def test_a_day_of_missing_usage_is_exposed_to_the_model() -> None:
    learner = Learner(1, MODEL)
    for day in range(1, 30):
        events = [0, 0, 0]
        events[PRODUCT] = 100 if day == 25 else 1000
        none = np.zeros(0, np.bool_)
        learner.receive(TickExamples(0, day, 0, [], np.zeros((0, 21)), none, events))
    assert learner.model.exposures == {24: 0.1}
