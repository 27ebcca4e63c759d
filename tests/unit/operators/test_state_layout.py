"""All that is kept, step by step: every declared class comes back as it was, and the layout names all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.features.definitions import FEATURES
from c360_stream.features.emissions import HourCounts
from c360_stream.features.shard import AccountShard
from c360_stream.learning.barrier import TickBarrier
from c360_stream.learning.calibrated import CalibratedContender
from c360_stream.learning.learner import Learner
from c360_stream.models.classifier import RowClassifier
from c360_stream.models.names import MODELS, ModelDeclaration
from c360_stream.operators.monitor import MonitorLogic, MonitorStep
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.score import CountedStats, ScoreLogic, ScoreStep
from c360_stream.operators.state_layout import ROOTS, common_layout, whole_layout
from c360_stream.pipeline import monitor_config
from c360_stream.scoring.scorer import ShardVersion
from c360_stream.settings import Settings
from c360_stream.state.backend import StateBackend
from c360_stream.state.codec import pack, unpack
from c360_stream.state.fields import Kept
from c360_stream.state.layout import differences, digest
from c360_stream.state.outbox import Outbox
from tests.reference.worlds import WorldSpec, make_world
from tests.unit.features.deliveries import Delivery, shard_config
from tests.unit.learning.companies import LEARNING, SCORING, SHARDS, company, learn, learned_ticks

T = TypeVar("T")
OWN = ModelDeclaration("own", "tests.own_models.models:silence")
NOWHERE = StateBackend(False, ())
SETTINGS = Settings.model_construct(live=False, shards=SHARDS)
DELIVERY = Delivery(seed=1, batch_events=40, reorder=0.5, duplicates=0.02)
OPEN = {TickBarrier, RowClassifier, CalibratedContender}
"""Bases, of which only classes that declare what is in them are kept."""


def new(step: str) -> Kept:
    match step:
        case "accounts":
            return AccountShard(0, shard_config(DELIVERY.names()))
        case "learn":
            return Learner(SHARDS, replace(LEARNING, challengers=MODELS, declared_models=(OWN,)))
        case "score":
            return ScoreLogic(ScoreStep(SETTINGS, SCORING, NOWHERE, RunContext()))
        case "monitor":
            return MonitorLogic(MonitorStep(SETTINGS, monitor_config(SETTINGS), NOWHERE, RunContext()))
    return Outbox("", None)


def filled(step: str, share: float) -> Kept:
    """What has the state of a step, stopped in the middle of a company's history, or of a tick."""
    made = new(step)
    match made:
        case AccountShard():
            events = make_world(WorldSpec(seed=5, accounts=24, days=40, product_events_a_day=3.0))
            for message in first(share, DELIVERY.messages(events)):  # type: ignore[arg-type]
                # A partition's end is not kept: the next run may read on from there.
                made.receive([batch for batch in message[:1] if not batch.ended])
        case Learner():
            learn(made, first(share, chain.from_iterable(zip(*(said.examples for said in company()), strict=True))))
        case ScoreLogic():
            made.on_batch([ShardVersion(0, each.day, each.version) for each in first(share / 2, learned_ticks())])
            made.on_batch([*first(share, company()[0].rows)])
        case MonitorLogic():
            made.on_batch([HourCounts(shard, 500_000, np.full((3, 30 + shard), 7)) for shard in range(SHARDS)])
            made.on_batch(first(share, stats()))
        case Outbox():
            made.add(b"a chunk")
            made.seal()
    return made


def stats() -> list[CountedStats]:
    """What the monitor hears of the company: shard by shard of each tick."""
    logics = [ScoreLogic(ScoreStep(SETTINGS, SCORING, NOWHERE, RunContext())) for _ in range(SHARDS)]
    told = []
    for shard, logic in enumerate(logics):
        logic.on_batch([ShardVersion(shard, each.day, each.version) for each in learned_ticks()])
        out, _ = logic.on_batch([*company()[shard].rows])
        told.append([each for each in out if isinstance(each, CountedStats)])
    return [*chain.from_iterable(zip(*told, strict=True))]


def first(share: float, items: Iterable[T]) -> list[T]:
    every = [*items]
    return every[: int(share * len(every))]


def parts_of(value: object) -> Iterator[Kept]:
    """A declared object, and those that it consists of."""
    if isinstance(value, Kept):
        yield value
        value = [getattr(value, name) for name in value.kept]
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        for each in value:
            yield from parts_of(each)


def declared(base: type[Kept] = Kept) -> Iterator[type[Kept]]:
    for cls in base.__subclasses__():
        yield cls
        yield from declared(cls)


@pytest.mark.parametrize("step", ROOTS)
@settings(deadline=None, max_examples=5)
@given(share=st.floats(0.3, 0.99))
def test_what_is_kept_comes_back_as_it_was(step: str, share: float) -> None:
    before, after = filled(step, share), new(step)
    packed = pack(step, before.state())
    after.restore(unpack(step, packed))
    assert pack(step, after.state()) == packed
    assert [type(each) for each in parts_of(after)] == [type(each) for each in parts_of(before)]


def test_every_declared_class_is_kept_by_a_step() -> None:
    kept = {type(part) for step in ROOTS for part in parts_of(filled(step, 0.8))}
    ours = {cls for cls in declared() if cls.__module__.startswith("c360_stream")}
    assert ours - OPEN == kept


def test_the_digest_depends_on_every_step_setting_and_feature() -> None:
    layout = whole_layout(SETTINGS)
    common = common_layout(SETTINGS)
    assert layout[: len(common)] == common
    assert [line for line in common if line.startswith("features.")] == [
        f"features.{name}: float64" for name in FEATURES
    ]
    more = SETTINGS.model_copy(update={"shards": SHARDS + 1, "horizon_days": 61})
    told = f"C360_SHARDS: {SHARDS + 1}, was {SHARDS}; C360_HORIZON_DAYS: 61, was 60"
    assert differences(layout, whole_layout(more)) == told
    assert len({digest(layout[:cut]) for cut in range(len(layout))}) == len(layout)
