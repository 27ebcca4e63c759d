"""Repeats are recognised within 24 hours of event time, and memory does not grow with time."""

from __future__ import annotations

import numpy as np

from c360_stream.features.dedupe import RecentIds
from c360_stream.snapshot import pack, unpack


def fresh(recent: RecentIds, today: int, *sightings: tuple[int, int]) -> list[bool]:
    """Show (id, day) pairs in one batch."""
    ids = np.array([key for key, _ in sightings], np.uint64)
    return [bool(new) for new in recent.fresh(ids, np.array([day for _, day in sightings]), today - recent.days)]


def test_a_repeat_is_known_in_the_same_batch_and_in_a_later_one() -> None:
    recent = RecentIds(1)
    assert fresh(recent, 10, (7, 10), (8, 10), (7, 10)) == [True, True, False]
    assert fresh(recent, 10, (8, 10), (9, 10)) == [False, True]


def test_a_repeat_across_midnight_is_known_either_way() -> None:
    recent = RecentIds(1)
    assert fresh(recent, 10, (7, 10), (8, 9)) == [True, True]
    assert fresh(recent, 10, (8, 10), (7, 9)) == [False, False]
    recent.open_day(11)
    assert fresh(recent, 11, (7, 11), (7, 10)) == [False, False]


def test_days_beyond_memory_are_forgotten_and_taken_for_new() -> None:
    recent = RecentIds(1)
    assert fresh(recent, 10, (7, 10)) == [True]
    recent.open_day(11)
    assert len(recent) == 1
    recent.open_day(12)
    assert len(recent) == 0
    assert fresh(recent, 12, (7, 10), (7, 10)) == [True, True]
    assert len(recent) == 0, "what is beyond memory is not remembered either"


def test_goes_on_from_a_packed_state() -> None:
    recent = RecentIds(2)
    fresh(recent, 10, (7, 10), (2**64 - 1, 9), (8, 8))
    resumed = RecentIds(2)
    resumed.restore(unpack("s", pack("s", recent.state())))
    assert len(resumed) == 3
    assert fresh(resumed, 10, (7, 10), (2**64 - 1, 10), (8, 8), (9, 8)) == [False, False, False, True]
    empty = RecentIds(2)
    empty.restore(unpack("s", pack("s", RecentIds(2).state())))
    assert fresh(empty, 10, (7, 10)) == [True]
