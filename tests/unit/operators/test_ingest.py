"""The source partition: marks, the end of the input, dead letters, resuming and waiting its turn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bytewax.inputs import AbortExecution
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from c360_stream.connectors.logdir import LogDirTransport
from c360_stream.contracts.events import US_PER_DAY, US_PER_HOUR, time_us
from c360_stream.errors import InputError
from c360_stream.features.columns import NO_TIME, Heartbeats, ShardBatch
from c360_stream.features.encoding import KnownAccounts
from c360_stream.logs.pace import Pace
from c360_stream.operators.alignment import ReadAlignment
from c360_stream.operators.ingest import IngestSource
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.shared_intake import HeldDeadLetters
from c360_stream.settings import Settings
from c360_stream.state.outbox import PULSE_SECONDS, Pulse
from tests.unit.features.deliveries import Event
from tests.unit.features.events import at
from tests.unit.operators.ingesting import (
    NAME,
    SHARDS,
    SOON,
    TOPIC,
    beat,
    kinds_of_records,
    partition,
    read_all,
    split,
    told,
    viewed,
)
from tests.unit.operators.readers import MemoryReader


def test_accounts_are_numbered_by_each_worker_thread_for_itself(tmp_path: Path) -> None:
    """Two threads that number at once would give accounts each other's hash."""
    settings = Settings(log_dir=tmp_path, live=False)
    names = [f"{TOPIC}/{number}" for number in range(2)]
    (tmp_path / TOPIC).mkdir()
    for number in range(2):
        (tmp_path / TOPIC / f"{number}.jsonl").touch()
    source = IngestSource(
        settings, LogDirTransport(tmp_path), tuple(names), ReadAlignment(tuple(names), 0), run=RunContext()
    )

    def known() -> list[KnownAccounts]:
        return [source.build_part("ingest", name, None)._encoder._accounts for name in names]

    here = known()
    with ThreadPoolExecutor(1) as other:
        there = other.submit(known).result()
    assert here[0] is here[1]
    assert there[0] is there[1]
    assert here[0] is not there[0]


def test_every_shard_hears_the_mark_with_its_events() -> None:
    """A mark beside its batch could overtake the events that it vouches for."""
    source = partition(MemoryReader(TOPIC, [viewed(0, 4.9), viewed(1, 5), *SOON]), batch_events=10)
    first, _ = split(source.next_batch())
    assert [each.shard for each in first] == [0, 1]
    assert sum(len(each.events) for each in first if each.events is not None) == 10
    for each in first:
        assert (each.partition, each.ended) == (NAME, False)
        assert (each.latest_us, each.mark_us) == (time_us(at(5)), time_us(at(5)) - US_PER_HOUR)
        assert each.first_us == time_us(at(4.9))


def test_a_flood_of_refused_events_waits_for_the_snapshots_that_keep_them() -> None:
    """All that is refused between two snapshots is held in memory."""
    rubbish, snapshots = [b"x" * 100] * 1_000, 0
    source = partition(MemoryReader(TOPIC, [*rubbish, viewed(0, 5)]), batch_events=50)
    source._shared.dead_letters = HeldDeadLetters(10_000)
    source._shared.dead_letters.add("another partition", 1_000)
    offsets: list[int] = []
    while True:
        try:
            letters = [letter for _ in range(30) for letter in split(source.next_batch())[1]]
        except StopIteration:
            break
        assert len(letters) <= 10_000 / 100 + 50, "the share, and a batch"
        offsets += [letter.offset for letter in letters]
        source.snapshot()
        snapshots += 1
    assert offsets == list(range(1_000))[: len(offsets)]
    assert snapshots > 1_000 * 100 / (10_000 + 50 * 100) - 1


def test_one_partition_sends_the_pulse_of_all() -> None:
    pulses = Pace(PULSE_SECONDS)
    sources = [partition(MemoryReader(TOPIC, [viewed(0, 5)]), live=True, pulses=pulses) for _ in range(3)]
    assert sum(isinstance(item, Pulse) for source in sources for item in source.next_batch()) == 1


def test_the_end_is_told_once_with_the_last_events() -> None:
    source = partition(MemoryReader(TOPIC, [viewed(0, 5)]))
    messages, _ = split(source.next_batch())
    assert [each.ended for each in messages] == [True, True]
    with pytest.raises(StopIteration):
        source.next_batch()


def test_an_empty_partition_ends_without_a_first_event() -> None:
    messages, _ = read_all(partition(MemoryReader(TOPIC)))
    assert [(each.ended, each.first_us, each.latest_us) for each in messages] == [(True, NO_TIME, NO_TIME)] * SHARDS


def test_rubbish_becomes_dead_letters_and_no_news() -> None:
    source = partition(MemoryReader(TOPIC, [b"{", b"[]", viewed(0, 1)]), batch_events=2)
    messages, letters = split(source.next_batch())
    assert messages == [], "the first message must tell an event"
    assert [letter.offset for letter in letters] == [0, 1]
    assert split(source.next_batch())[0][0].doubtful[0][0] == time_us(at(1))


@hypothesis_settings(deadline=None)
@given(kinds_of_records, st.sampled_from([1, 2, 5, 50]), st.sets(st.integers(0, 40)))
def test_batches_and_pauses_change_nothing_that_is_told(kinds: list[str], batch_events: int, pauses: set[int]) -> None:
    """Which events are accepted, which refused and when: a function of the partition alone."""

    def told(size: int, pauses: set[int]) -> object:
        day, records = 1.0, list[bytes | Event]()
        for number, kind in enumerate(kinds):
            day += {"event": 0.1, "gap": 30.0}.get(kind, 0.0)
            shown = {"late": day - 0.5, "absurd": 9_000.0}.get(kind, day)
            records.append(b"{}" if kind == "rubbish" else viewed(number, shown))
        messages, letters = read_all(partition(MemoryReader(TOPIC, records, pauses=pauses), batch_events=size))
        events = {shard: list[int]() for shard in range(SHARDS)}
        for each in messages:
            events[each.shard] += [] if each.events is None else each.events.event.tolist()
        firsts = {each.first_us for each in messages if each.mark_us != NO_TIME}
        ends = [(each.latest_us, each.mark_us) for each in messages if each.ended]
        return (
            events,
            [(letter.offset, letter.exception_message, letter.refused_us) for letter in letters],
            firsts,
            ends,
        )

    assert told(batch_events, pauses) == told(1_000, set())


def test_one_absurd_time_does_not_drag_the_mark() -> None:
    events = [viewed(i, 1 + i / 10) for i in range(20)]
    messages, letters = read_all(partition(MemoryReader(TOPIC, [*events[:9], viewed(99, 9_000), *events[9:]])))
    assert {each.latest_us for each in messages} == {time_us(at(2.9))}
    assert [letter.offset for letter in letters] == [9]
    assert "ahead of its partition" in letters[0].exception_message


def test_what_the_partition_cannot_judge_goes_to_the_shards_with_its_letter() -> None:
    events = [viewed(i, 1 + i / 100) for i in range(20)]
    messages, letters = read_all(partition(MemoryReader(TOPIC, [*events, viewed(99, 90)])))
    assert letters == []
    ((shard, unsettled),) = [(each.shard, one) for each in messages for one in each.unsettled]
    assert unsettled.time_us == time_us(at(90))
    assert (unsettled.letter.offset, unsettled.letter.topic) == (20, TOPIC)
    assert unsettled.letter.refused_us == time_us(at(1.19))
    found = [each.events for each in messages if each.shard == shard and each.events is not None]
    assert [len(columns) - len(columns.without([unsettled])) for columns in found].count(1) == 1
    assert {each.doubtful for each in messages} == {((unsettled.time_us, unsettled.account_hash),)}


def test_every_shard_gets_a_heartbeat_behind_the_batch() -> None:
    source = partition(MemoryReader(TOPIC, [viewed(0, 4.9), beat(0, 7), viewed(1, 5), beat(1, 8)]))
    items = [item[1] for item in source.next_batch() if isinstance(item, tuple)]
    assert [type(item) for item in items] == [ShardBatch] * SHARDS + [Heartbeats] * SHARDS
    beats = [item for item in items if isinstance(item, Heartbeats)]
    assert beats == [Heartbeats(shard, NAME, (time_us(at(7)), time_us(at(8)))) for shard in range(SHARDS)]


@hypothesis_settings(deadline=None)
@given(kinds_of_records, st.lists(st.tuples(st.integers(0, 40), st.integers(-400, 400)), max_size=5))
def test_heartbeats_change_nothing_that_is_told(kinds: list[str], beats: list[tuple[int, int]]) -> None:
    """Neither marks nor the verdict on a leap, even if their clock is years off."""
    records, day = list[bytes | Event](), 1.0
    for number, kind in enumerate(kinds):
        day += {"event": 0.1, "gap": 30.0}.get(kind, 0.0)
        shown = {"late": day - 0.5, "absurd": 9_000.0}.get(kind, day)
        records.append(b"{}" if kind == "rubbish" else viewed(number, shown))
    mixed = records.copy()
    for number, (position, days) in enumerate(beats):
        mixed.insert(position, beat(number, days))

    def told(records: list[bytes | Event]) -> object:
        messages, letters = read_all(partition(MemoryReader(TOPIC, records)))
        events = {shard: list[tuple[int, int]]() for shard in range(SHARDS)}
        for each in messages:
            if each.events is not None:
                events[each.shard] += zip(
                    each.events.event.tolist(), each.events.effective_time_us.tolist(), strict=True
                )
        ends = [(each.latest_us, each.first_us, each.mark_us) for each in messages if each.ended]
        return events, ends, [(letter.value, letter.refused_us) for letter in letters]

    assert told(mixed) == told(records)


def test_a_leap_of_the_log_is_told_a_day_at_a_time() -> None:
    source = partition(MemoryReader(TOPIC, [viewed(0, 1), viewed(1, 100), *(viewed(i, 100.5) for i in range(2, 20))]))
    told(source, time_us(at(100.5)) - US_PER_HOUR)
    with pytest.raises(StopIteration):
        source.next_batch()


def test_a_late_event_is_heard_at_the_mark_whatever_the_batches() -> None:
    events = [viewed(0, 1), viewed(1, 3), viewed(2, 1.5), *(viewed(i, 3.1) for i in range(3, 9))]
    heard = set()
    for batch_events in (1, 2, 50):
        messages, _ = read_all(partition(MemoryReader(TOPIC, events), batch_events=batch_events))
        columns = [each.events for each in messages if each.events is not None]
        heard.add(tuple(sorted(us for each in columns for us in each.effective_time_us.tolist())))
    expected = (time_us(at(1)), time_us(at(3)) - US_PER_HOUR, time_us(at(3)), *[time_us(at(3.1))] * 6)
    assert heard == {expected}


def test_a_partition_far_ahead_waits_for_the_others() -> None:
    alignment = ReadAlignment((NAME, "other"), ahead_us=US_PER_DAY)
    alignment.reached("other", NO_TIME)
    reader = MemoryReader(TOPIC, [viewed(0, 5), *SOON])
    source = partition(reader, alignment, batch_events=10)
    assert split(source.next_batch())[0]
    assert list(source.next_batch()) == []
    assert reader.lag() == 11, "not even read: what waits in memory is bounded"
    assert source.next_awake() is not None
    alignment.reached("other", time_us(at(4)))
    assert split(source.next_batch())[0]
    assert split(source.next_batch())[0]
    assert not alignment.must_wait(NAME), "it has reached its end"


def test_one_that_ends_with_the_marks_left_to_tell_holds_nobody_back() -> None:
    """Resumed at its end, it never reads again; the others waited for it without end."""
    alignment = ReadAlignment((NAME, "other"), ahead_us=US_PER_DAY)
    judged = (time_us(at(5)), time_us(at(1)), time_us(at(5)), 9, 0, ())
    source = partition(MemoryReader(TOPIC, []), alignment, seen=(time_us(at(2)), (), judged))
    alignment.reached("other", time_us(at(30)))
    assert alignment.must_wait("other")
    messages, _ = read_all(source)
    assert [each.ended for each in messages] == [False] * SHARDS * 2 + [True] * SHARDS
    assert not alignment.must_wait("other")


def test_a_resumed_partition_goes_on_where_it_was() -> None:
    records = [viewed(0, 4.9), viewed(1, 5), *SOON]
    source = partition(MemoryReader(TOPIC, records), batch_events=10)
    source.next_batch()
    position, *seen = source.snapshot()
    emitted_us, order, judge = seen
    high_us, first_us = time_us(at(5)), time_us(at(4.9))
    assert (position, emitted_us, order, judge[:4]) == (
        (10,),
        high_us - US_PER_HOUR,
        (10, 0),
        (high_us, first_us, high_us, 10),
    )
    resumed = partition(MemoryReader(TOPIC, records[position[0] :]), seen=tuple(seen))
    messages, _ = read_all(resumed)
    assert {(each.latest_us, each.first_us) for each in messages} == {(high_us, first_us)}


def test_a_wish_to_stop_aborts_the_read() -> None:
    """Ending as if the input had ended would close windows that are not over."""
    run = RunContext()
    source = partition(MemoryReader(TOPIC, [viewed(0, 5)]), run=run)
    run.shutdown.request()
    with pytest.raises(AbortExecution):
        source.next_batch()


def test_closing_closes_the_reader() -> None:
    reader = MemoryReader(TOPIC)
    partition(reader).close()
    assert reader.closed


@pytest.mark.parametrize("batch_events", [100, 65_536])
def test_a_replay_of_a_partition_that_is_newest_first_stops_and_a_live_run_does_not(batch_events: int) -> None:
    # With a beginning that bears the newest time out; else nothing is late, and all waits for the end.
    newest_first = [viewed(2000 + number, 100) for number in range(9)]
    newest_first += [viewed(number, 99.9 - number / 20) for number in range(1491)]
    said = r"c360\.product\.events\.v1/0: 1,491 of its first 1,500 events come more than 3,600 s behind one before them"
    with pytest.raises(InputError, match=said):
        read_all(partition(MemoryReader(TOPIC, newest_first), batch_events=batch_events))
    messages, letters = read_all(
        partition(MemoryReader(TOPIC, newest_first), batch_events=batch_events, late_share_max=1)
    )
    assert sum(len(each.events) for each in messages if each.events is not None) + len(letters) == 1500
    tailing = partition(MemoryReader(TOPIC, newest_first), live=True)
    heard = split(tailing.next_batch())[0]
    assert sum(len(each.events) for each in heard if each.events is not None) == 1500
