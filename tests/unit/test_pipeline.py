"""The pipeline: every message of a shard has its part, and the parts together give what each gives alone."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import get_args

import pytest

from c360_stream.contracts.records import DeadLetter
from c360_stream.features.emissions import Emission
from c360_stream.learning.learner import LearnedTick
from c360_stream.pipeline import LearnerInput, ModelPipeline, MonitorInput, MonitorOutput
from c360_stream.scoring.scored import ScoredRows, ScoredTick, ShardStats
from c360_stream.scoring.scorer import ScorerInput, ShardVersion
from c360_stream.settings import Settings
from tests.unit.features.deliveries import HORIZON_DAYS
from tests.unit.learning.companies import SHARDS, as_bytes, company


def run(seed: int) -> list[LearnedTick | ScoredTick | ScoredRows | MonitorOutput]:
    """What becomes of the company's messages, each shard's in their order, mixed; nothing is late or at its end."""
    pipeline = ModelPipeline(Settings.model_construct(shards=SHARDS, horizon_days=HORIZON_DAYS, risk_curve_days=(1, 2)))
    queues: list[list[Emission]] = [[*said.rows, *said.examples] for said in company()]
    order = [shard for shard, queue in enumerate(queues) for _ in queue]
    Random(seed).shuffle(order)
    waiting = [iter(queue) for queue in queues]
    return [each for shard in order for each in pipeline.take(next(waiting[shard]))]  # type: ignore[misc]


def test_every_message_has_one_part_that_takes_it() -> None:
    """Dead letters are for nobody; versions and statistics come from within."""
    parts = [set(get_args(ScorerInput)), {LearnerInput}, set(get_args(MonitorInput))]
    taken = [kind for part in parts for kind in part]
    assert len(taken) == len(set(taken))
    assert set(taken) == set(get_args(Emission)) - {DeadLetter} | {ShardVersion, ShardStats}


@pytest.mark.parametrize("seed", range(1, 4))
def test_what_it_gives_does_not_depend_on_how_shards_take_turns(seed: int) -> None:
    mixed, other = run(0), run(seed)
    learned, again = ([each for each in given if isinstance(each, LearnedTick)] for given in (mixed, other))
    assert as_bytes(learned) == as_bytes(again)
    scored, again_scored = (
        sorted((each for each in given if isinstance(each, ScoredTick)), key=lambda each: (each.day, each.shard))
        for given in (mixed, other)
    )
    assert as_bytes(scored) == as_bytes(again_scored)


def test_each_tick_is_learnt_then_scored_by_every_shard_then_watched_once() -> None:
    given = [each for each in run(0) if not isinstance(each, ScoredRows)]
    ticks = sorted({part.day for said in company() for part in said.examples})
    assert [each.day for each in given if isinstance(each, LearnedTick)] == ticks
    assert sorted((each.day, each.shard) for each in given if isinstance(each, ScoredTick)) == [
        (day, shard) for day in ticks for shard in range(SHARDS)
    ]
    monitored = [each.stats for each in given if isinstance(each, MonitorOutput) and each.stats is not None]
    assert [stats.tick for stats in monitored] == ticks
    accounts = Counter[int]()
    for each in given:
        if isinstance(each, ScoredTick):
            accounts[each.day] += len(each.scores.ids)
    assert [stats.rows for stats in monitored] == [accounts[day] for day in ticks]
