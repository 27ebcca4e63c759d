"""Score step: live, shards take turns at a tick; what they give is what a replay gives, whatever comes in between."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from random import Random
from typing import Any

import pytest

from c360_stream.features.columns import Heartbeats
from c360_stream.features.emissions import TickRows
from c360_stream.operators.rows import TopicRecords
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.score import ScoreInput, ScoreLogic, ScoreOutput, ScoreStep
from c360_stream.operators.tick_scheduler import PAUSE_SECONDS, TickScheduler
from c360_stream.scoring.scorer import ShardVersion
from c360_stream.settings import Settings
from c360_stream.state.backend import StateBackend
from tests.unit.clocks import Clock
from tests.unit.learning.companies import SCORING, SHARDS, company, learned_ticks

TICK = 20
NOW, LATER = Heartbeats(0, "p", (1,)), Heartbeats(0, "p", (2,))


def step(clock: Clock, *, live: bool) -> ScoreStep:
    return ScoreStep(
        Settings.model_construct(live=live), SCORING, StateBackend(True, ()), RunContext(), TickScheduler(clock)
    )


def interleaved(draw: Random, shard: int) -> list[ScoreInput]:
    """What a shard's scorer hears: rows and versions, each in their order, mixed."""
    rows: list[ScoreInput] = [*company()[shard].rows]
    versions: list[ScoreInput] = [ShardVersion(shard, each.day, each.version) for each in learned_ticks()]
    turns = [0] * len(rows) + [1] * len(versions)
    draw.shuffle(turns)
    queues = (iter(rows), iter(versions))
    return [next(queues[turn]) for turn in turns]


def told(out: Iterable[ScoreOutput]) -> list[dict[str, Any]]:
    """The records of scores and who is gone, but for the wall clock."""
    records = [record for each in out if isinstance(each, TopicRecords) for record in each.records]
    scores = [json.loads(record.value) if record.value else {"gone": record.key} for record in records]
    return [{name: value for name, value in score.items() if name != "produced_at"} for score in scores]


def replayed(shard: int) -> list[ScoreOutput]:
    logic = step(Clock(), live=False)(None)
    out: list[ScoreOutput] = []
    for said in interleaved(Random(0), shard):
        out += logic.on_batch([said])[0]
        assert logic.notify_at() is None, "nobody is kept waiting in a replay"
    return out


@pytest.mark.parametrize("seed", range(4))
def test_turns_and_crashes_between_them_change_no_score(seed: int) -> None:
    draw, clock = Random(seed), Clock()
    live = step(clock, live=True)
    queues = [iter(interleaved(draw, shard)) for shard in range(SHARDS)]
    logics: list[ScoreLogic] = [live(None) for _ in range(SHARDS)]
    out: list[list[ScoreOutput]] = [[] for _ in range(SHARDS)]
    lived = list(range(SHARDS))
    while lived:
        shard = draw.choice(lived)
        values = list(islice(queues[shard], draw.randint(1, 3)))
        if not values:
            lived.remove(shard)
            continue
        out[shard] += logics[shard].on_batch(values)[0]
        for number, logic in enumerate(logics):
            if draw.random() < 0.5 and logic.notify_at() is not None:
                out[number] += logic.on_notify()[0]
        clock.now += draw.choice((0.0, PAUSE_SECONDS))
        if draw.random() < 0.1:
            logics = [live(logic.snapshot()) for logic in logics]
    for number, logic in enumerate(logics):
        out[number] += logic.on_eof()[0]
        assert told(out[number]) == told(replayed(number))


def both_at_a_tick(clock: Clock) -> list[ScoreLogic]:
    live = step(clock, live=True)
    logics = [live(None), live(None)]
    learned = learned_ticks()[TICK]
    for shard, logic in enumerate(logics):
        for each in learned_ticks()[:TICK]:
            logic.on_batch([ShardVersion(shard, each.day, each.version)])
        for rows in company()[shard].rows:
            logic.on_batch([rows])
            if isinstance(rows, TickRows) and rows.day == learned.day:
                break
            logic.on_eof()
        assert logic.notify_at() is None, "the version is not there yet"
        assert logic.on_batch([ShardVersion(shard, learned.day, learned.version)])[0] == [], "it comes to all at once"
        assert logic.notify_at() is not None
        assert live.turns.waited_for()
    return logics


def test_one_shard_at_a_time_has_its_turn_and_the_sources_theirs_in_between() -> None:
    clock = Clock()
    first, second = both_at_a_tick(clock)
    assert told(first.on_notify()[0])
    assert first.notify_at() is None
    assert second.on_notify()[0] == []
    assert second.notify_at() is not None, "it asks again"
    clock.now += PAUSE_SECONDS
    assert second._step.turns.waited_for(), "a worker may not rest yet"
    assert told(second.on_notify()[0])
    assert second.notify_at() is None
    assert not second._step.turns.waited_for()


def test_a_tick_that_waits_is_finished_when_the_next_one_comes() -> None:
    logic = both_at_a_tick(Clock())[0]
    later = learned_ticks()[TICK + 1]
    out, _ = logic.on_batch([ShardVersion(0, later.day, later.version)])
    assert {score["trigger"] for score in told(out)} == {"tick"}
    assert logic.notify_at() is None


def beats(out: Iterable[ScoreOutput]) -> list[Heartbeats]:
    return [each for each in out if isinstance(each, Heartbeats)]


def test_a_heartbeat_passes_at_once_where_nothing_waits() -> None:
    assert step(Clock(), live=True)(None).on_batch([NOW, LATER]) == ([NOW, LATER], False)


def test_a_heartbeat_waits_for_the_version_that_the_rows_ahead_of_it_wait_for() -> None:
    """A learner that is stuck stops it."""
    logic = step(Clock(), live=False)(None)
    ticks = [rows for rows in company()[0].rows if isinstance(rows, TickRows)]
    versions = [ShardVersion(0, each.day, each.version) for each in learned_ticks()]
    assert logic.on_batch([ticks[0], NOW, ticks[1], LATER])[0] == []
    out, _ = logic.on_batch([versions[0]])
    assert out[-1] is NOW
    assert beats(out) == [NOW]
    out, _ = logic.on_batch([versions[1]])
    assert out[-1] is LATER


def test_a_heartbeat_waits_for_the_turn_of_the_tick_ahead_of_it() -> None:
    logic = both_at_a_tick(Clock())[0]
    assert logic.on_batch([NOW]) == ([], False)
    out, _ = logic.on_notify()
    assert out[-1] is NOW


def test_a_snapshot_holds_no_heartbeat() -> None:
    clock = Clock()
    logic = both_at_a_tick(clock)[0]
    logic.on_batch([NOW])
    resumed = step(clock, live=True)(logic.snapshot())
    resumed.on_batch([LATER])
    assert beats(resumed.on_notify()[0]) == [LATER], "behind the tick that the snapshot holds"
