"""Repeats are recognised within 24 hours of event time, and memory does not grow with time."""

from __future__ import annotations

import numpy as np

from c360_stream.features.recent_ids import RecentIds
from c360_stream.state.codec import pack, unpack


def fresh(recent: RecentIds, today: int, *ids: int) -> list[bool]:
    """Show ids in one batch."""
    return [bool(new) for new in recent.fresh(np.array(ids, np.uint64), today)]


def test_a_repeat_is_known_in_the_same_batch_and_in_a_later_one() -> None:
    recent = RecentIds(1)
    assert fresh(recent, 10, 7, 8, 7) == [True, True, False]
    assert fresh(recent, 10, 8, 9) == [False, True]


def test_a_repeat_across_midnight_is_known() -> None:
    recent = RecentIds(1)
    assert fresh(recent, 10, 7, 8) == [True, True]
    recent.open_day(11)
    assert fresh(recent, 11, 7, 9, 8) == [False, True, False]


def test_days_beyond_memory_are_forgotten_and_taken_for_new() -> None:
    recent = RecentIds(1)
    assert fresh(recent, 10, 7) == [True]
    recent.open_day(11)
    assert len(recent) == 1
    recent.open_day(12)
    assert len(recent) == 0
    assert fresh(recent, 12, 7, 7) == [True, False]


def test_goes_on_from_a_packed_state() -> None:
    recent = RecentIds(2)
    fresh(recent, 9, 2**64 - 1)
    fresh(recent, 10, 7, 8)
    resumed = RecentIds(2)
    resumed.restore(unpack("s", pack("s", recent.state())))
    assert len(resumed) == 3
    assert fresh(resumed, 10, 7, 2**64 - 1, 8, 9) == [False, False, False, True]
    empty = RecentIds(2)
    empty.restore(unpack("s", pack("s", RecentIds(2).state())))
    assert fresh(empty, 10, 7) == [True]


def test_a_repeat_is_remembered_from_when_it_came_last_by_a_resumed_run_too() -> None:
    recent = RecentIds(1)
    fresh(recent, 10, 7, 8)
    recent.open_day(11)
    assert fresh(recent, 11, 7, 7) == [False, False]
    resumed = RecentIds(1)
    resumed.restore(unpack("s", pack("s", recent.state())))
    for each in (recent, resumed):
        each.open_day(12)
        assert fresh(each, 12, 7, 8) == [False, True]


def test_new_ids_change_only_the_end_of_what_is_kept() -> None:
    """A snapshot writes what has changed: ids come in millions, and in any order of their values."""
    recent = RecentIds(1)
    rng = np.random.default_rng(1)
    recent.fresh(rng.integers(1, 2**64, 10_000, np.uint64), 10)
    [(count, before)] = recent.state()["of_day"].values()
    recent.fresh(rng.integers(1, 2**64, 3, np.uint64), 10)
    [(more, after)] = recent.state()["of_day"].values()
    assert (count, more) == (10_000, 10_003)
    assert (before[:count] == after[:count]).all()
