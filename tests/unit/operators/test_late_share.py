"""A replay stops once too many of a partition's events are late, wherever its batches end."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from c360_stream.errors import InputError
from c360_stream.operators.late_share import LATE_MIN, LOOK_EVENTS, LateCounts, OrderWatch
from c360_stream.settings import Settings

NAME = "c360.product.events.v1/3"


def late_at(events: int, *late: range) -> NDArray[np.bool_]:
    """Which of some events are late."""
    found = np.zeros(events, np.bool_)
    for places in late:
        found[places] = True
    return found


def stops_at(late: NDArray[np.bool_], batch: int, **set_to: Any) -> str | None:
    """What a watch says that is given the events in batches, or None; it must have counted them by then."""
    by_partition = dict[str, LateCounts]()
    watch = OrderWatch(Settings(**{"live": False, **set_to}), NAME, by_partition)
    for start in range(0, len(late), batch):
        part = late[start : start + batch]
        ended = start + batch >= len(late)
        try:
            watch.count(np.where(part, 1, 9), np.full(len(part), 9), ended=ended)
        except InputError as error:
            return str(error)
    assert by_partition == {NAME: LateCounts(len(late), int(late.sum()))}
    return None


@pytest.mark.parametrize("batch", [1, 777, 5_000, LOOK_EVENTS, 65_536])
def test_it_stops_at_the_same_event_however_the_partition_is_read(batch: int) -> None:
    late = late_at(60_000, range(25_000, 60_000))
    said = stops_at(late, batch)
    assert said is not None
    assert said.startswith(f"{NAME}: 15,000 of its first 40,000 events come more than 3,600 s behind one before them")
    assert "sort it: c360 sort c360-log --out DIR" in said
    assert "C360_LATE_SHARE_MAX=1" in said


@pytest.mark.parametrize("batch", [777, 65_536])
def test_what_is_late_here_and_there_stops_nothing(batch: int) -> None:
    assert stops_at(late_at(100_000, range(0, 100_000, 6)), batch) is None
    assert stops_at(late_at(60_000, range(51_000, 60_000)), batch) is None, "a late history, behind much that is not"
    assert stops_at(late_at(LATE_MIN - 1, range(1, LATE_MIN - 1)), batch) is None, "few"


def test_a_short_partition_is_judged_at_its_end() -> None:
    assert "1,000 of its first 1,001 events" in str(stops_at(late_at(1001, range(1, 1001)), 100))
    watch = OrderWatch(Settings(live=False), NAME, {})
    watch.count(np.zeros(1500, np.int64), np.ones(1500, np.int64), ended=False)
    nothing = np.zeros(0, np.int64)
    with pytest.raises(InputError, match="1,500 of its first 1,500"):
        watch.count(nothing, nothing, ended=True)


def test_a_restart_changes_nothing() -> None:
    """What a partition's beginning was like counts for the share of what comes behind."""
    late = late_at(40_000, range(30_000, 40_000))
    watch = OrderWatch(Settings(live=False), NAME, {})
    for start in range(0, len(late), 4_000):
        watch = OrderWatch(Settings(live=False), NAME, {}, watch.state())
        part = late[start : start + 4_000]
        with pytest.raises(InputError) if start == 36_000 else nullcontext():
            watch.count(np.where(part, 1, 9), np.full(len(part), 9), ended=start == 36_000)


def test_the_setting_decides_and_a_live_run_never_stops() -> None:
    late = late_at(20_000, range(10_000, 20_000))
    assert stops_at(late, 1000, late_share_max=0.49) is not None
    assert stops_at(late, 1000, late_share_max=0.5) is None
    assert stops_at(late_at(20_000, range(1, 20_000)), 1000, late_share_max=1) is None
    assert stops_at(late_at(20_000, range(1, 20_000)), 1000, live=True) is None


def test_on_kafka_the_hint_is_another() -> None:
    said = stops_at(late_at(20_000, range(10_000, 20_000)), 1000, kafka_brokers="broker:9092")
    assert said is not None
    assert "c360 sort" not in said
    assert "oldest first" in said
