"""The source partition of a live run: the clock, marks of an idle one, how often it is looked at."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from c360_stream.contracts.events import US_PER_DAY, US_PER_HOUR, time_us
from c360_stream.features.columns import NO_TIME, Heartbeats
from c360_stream.operators import look_schedule
from c360_stream.operators.alignment import ReadAlignment
from c360_stream.operators.ingest_partition import shard_key
from c360_stream.operators.rest import Rest
from tests.unit.features.events import at
from tests.unit.operators.ingesting import (
    NAME,
    SHARDS,
    TOPIC,
    beat,
    partition,
    split,
    told,
    viewed,
)
from tests.unit.operators.readers import MemoryReader


def test_an_idle_partition_is_looked_at_less_often_and_never_rarely() -> None:
    reader = MemoryReader(TOPIC, [viewed(0, 5)])
    source = partition(reader, live=True, idle_seconds=3600)
    split(source.next_batch())
    for _ in range(50):
        assert split(source.next_batch()) == ([], [])
        awake = source.next_awake()
        assert awake is not None
        assert awake - datetime.now(UTC) <= timedelta(seconds=look_schedule.IDLE_POLL_SECONDS_MAX)
    reader.append(viewed(1, 5.1), b"rubbish")
    time.sleep(look_schedule.IDLE_POLL_SECONDS_MAX)
    messages, letters = split(source.next_batch())
    assert sum(len(each.events) for each in messages if each.events is not None) == 1
    assert [letter.offset for letter in letters] == [2]


def test_an_idle_worker_sleeps_and_an_event_ends_it() -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    reader = MemoryReader(TOPIC, [viewed(0, 5)])
    rest = Rest(1, sleep=sleep)
    source = partition(reader, live=True, idle_seconds=3600, rest=rest)
    split(source.next_batch())
    while not slept:
        assert split(source.next_batch()) == ([], [])
    assert 0 < slept[0] <= look_schedule.IDLE_POLL_SECONDS_MAX
    reader.append(viewed(1, 5.1))
    messages, _ = split(source.next_batch())
    assert sum(len(each.events) for each in messages if each.events is not None) == 1
    slept.clear()
    split(source.next_batch())
    assert not slept, "what it had goes through the flow first"


def test_live_the_clock_says_what_is_in_the_future() -> None:
    today = (time.time() * 1e6 - time_us(at(0))) / US_PER_DAY
    reader = MemoryReader(TOPIC, [viewed(0, today + 0.9), viewed(1, today + 1.1)])
    messages, letters = split(partition(reader, live=True).next_batch())
    assert [letter.offset for letter in letters] == [1]
    assert "in the future" in letters[0].exception_message
    assert {each.mark_us for each in messages} == {NO_TIME}, "it counts at its own time, and says nothing of others'"
    assert sum(len(each.events) for each in messages if each.events is not None) == 1


@pytest.fixture
def always_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between the marks of an idle partition."""
    monkeypatch.setattr(look_schedule.LookSchedule, "_is_recent", lambda *_: False)


@pytest.mark.usefixtures("always_marked")
def test_live_an_idle_partition_follows_the_clock() -> None:
    reader = MemoryReader(TOPIC, [viewed(0, 5)])
    source = partition(reader, live=True)
    (first, _), _ = split(source.next_batch())
    assert first.mark_us == time_us(at(5)) - US_PER_HOUR, "it has just been read to its end"
    before = time.time_ns() // 1000
    idle = told(source, before - US_PER_HOUR)
    assert idle.mark_us + US_PER_HOUR <= time.time_ns() // 1000
    assert (idle.latest_us, idle.ended) == (time_us(at(5)), False)
    reader.append(viewed(1, 6))
    (again, _), _ = split(source.next_batch())
    assert again.mark_us >= idle.mark_us, "a mark never goes back"
    late = [each.events for each in split([(shard_key(0), again)])[0] if each.events is not None]
    assert all((each.effective_time_us >= idle.mark_us).all() for each in late)


@pytest.mark.usefixtures("always_marked")
def test_live_heartbeats_do_not_keep_a_partition_from_being_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker tells the end only a moment after the last record."""
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    before_us = time.time_ns() // 1000
    yesterday = (before_us - time_us(at(0))) / US_PER_DAY - 1
    reader = MemoryReader(TOPIC, [viewed(0, yesterday)])
    alignment = ReadAlignment((NAME, "other"), ahead_us=0)
    source = partition(reader, alignment, live=True, idle_seconds=30)
    source.next_batch()
    event_us = time_us(at(yesterday))
    for number in range(4):
        assert told(source, event_us - US_PER_HOUR).mark_us == event_us - US_PER_HOUR, "not idle yet"
        now[0] += 9.5
        reader.append(beat(number, yesterday))
        reader.told_end_after(4)
        for _ in range(3):
            assert not reader.at_end
            assert split(source.next_batch()) == ([], [])
            alignment.reached("other", event_us + 1)
            assert not alignment.must_wait("other"), "nobody waits for one that has nothing"
            now[0] += 0.1
    assert told(source, before_us - US_PER_HOUR).latest_us == event_us
    now[0] += 9.5
    reader.append(beat(9, yesterday))
    reader.told_end_after(9)
    for _ in range(4):
        now[0] += 0.8
        source.next_batch()
    alignment.reached("other", time.time_ns() // 1000 + US_PER_DAY)
    assert alignment.must_wait("other"), "what keeps it from its end is no heartbeat"


def test_live_a_heartbeat_of_the_future_is_refused() -> None:
    today = (time.time() * 1e6 - time_us(at(0))) / US_PER_DAY
    items = list(partition(MemoryReader(TOPIC, [beat(0, today), beat(1, today + 1.1)]), live=True).next_batch())
    beats = [item[1] for item in items if isinstance(item, tuple) and isinstance(item[1], Heartbeats)]
    assert [each.sent_us for each in beats] == [(time_us(at(today)),)] * SHARDS
    assert [letter.offset for letter in split(items)[1]] == [1]


@pytest.mark.usefixtures("always_marked")
def test_live_rubbish_does_not_keep_a_partition_from_being_idle() -> None:
    reader = MemoryReader(TOPIC, [viewed(0, 5)])
    source = partition(reader, live=True)
    source.next_batch()
    before = time.time_ns() // 1000
    reader.append(b"{")
    assert told(source, before - US_PER_HOUR).latest_us == time_us(at(5))


@pytest.mark.usefixtures("always_marked")
def test_live_a_partition_is_not_idle_before_its_time() -> None:
    source = partition(MemoryReader(TOPIC, [viewed(0, 5)]), live=True, idle_seconds=3600)
    marks = {each.mark_us for _ in range(3) for each in split(source.next_batch())[0]}
    assert marks == {time_us(at(5)) - US_PER_HOUR}


@pytest.mark.usefixtures("always_marked")
def test_live_an_empty_partition_says_nothing_until_it_is_idle() -> None:
    """Its first message tells where time begins; if that said "nowhere" for all, no tick would ever run."""
    reader = MemoryReader(TOPIC)
    waiting = partition(reader, live=True, idle_seconds=3600)
    assert split(waiting.next_batch()) == split(waiting.next_batch()) == ([], [])
    reader.append(viewed(0, 5))
    assert split(waiting.next_batch())[0][0].first_us == time_us(at(5))

    idle = partition(MemoryReader(TOPIC), live=True)
    before = time.time_ns() // 1000
    assert split(idle.next_batch()) == ([], [])
    (first, _), _ = split(idle.next_batch())
    assert before <= first.first_us <= time.time_ns() // 1000
    assert first.mark_us == first.first_us - US_PER_HOUR
