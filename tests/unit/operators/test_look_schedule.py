"""When a partition is looked at: a live one that has nothing, by the clock, and less often the longer it is quiet."""

from __future__ import annotations

import pytest

from c360_stream.operators.look_schedule import END_TOLD_SECONDS, IDLE_POLL_SECONDS_MAX, POLL_SECONDS, LookSchedule
from tests.unit.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.001)


@pytest.fixture
def looks(clock: Clock) -> LookSchedule:
    return LookSchedule(live=True, idle_seconds=30, clock=clock)


def read_nothing(looks: LookSchedule, *, at_end: bool = True) -> bool:
    looks.looks()
    return looks.take(events=False, heartbeats=False, at_end=at_end)


@pytest.mark.parametrize(("quiet_seconds", "wait_seconds_max"), [(0, POLL_SECONDS), (3, 0.03), (3_600, 0.2)])
def test_an_event_waits_for_a_hundredth_of_the_quiet_before_it(
    looks: LookSchedule, clock: Clock, quiet_seconds: float, wait_seconds_max: float
) -> None:
    read_nothing(looks)
    clock.now += quiet_seconds
    looks.rest()
    assert looks.rests()
    assert looks.rest_until is not None
    assert 0 < looks.rest_until - clock.now <= wait_seconds_max + POLL_SECONDS
    clock.now = looks.rest_until
    assert not looks.rests()
    assert looks.rest_until is None


def test_partitions_that_are_quiet_for_long_wake_together(clock: Clock) -> None:
    partitions = [LookSchedule(live=True, idle_seconds=30, clock=clock) for _ in range(3)]
    for each in partitions:
        read_nothing(each)
        clock.now += IDLE_POLL_SECONDS_MAX / 10
    clock.now = 2_000.01
    for each in partitions:
        each.rest()
    assert len({each.rest_until for each in partitions}) == 1


def test_a_partition_is_idle_once_it_has_been_at_its_end_for_long_enough(looks: LookSchedule, clock: Clock) -> None:
    assert not read_nothing(looks)
    clock.now += 29
    assert not read_nothing(looks)
    clock.now += 1
    assert read_nothing(looks)
    assert not looks.take(events=True, heartbeats=False, at_end=True), "an event begins it anew"
    clock.now += 29
    assert not read_nothing(looks, at_end=False)
    clock.now += 1
    assert not read_nothing(looks), "it was not at its end all the time"


def test_a_heartbeat_does_not_begin_it_anew(looks: LookSchedule, clock: Clock) -> None:
    read_nothing(looks)
    clock.now += 30
    assert not looks.take(events=False, heartbeats=True, at_end=False)
    assert looks.has_no_backlog(at_end=False), "its end is told a moment later"
    assert read_nothing(looks)
    clock.now += END_TOLD_SECONDS
    assert not looks.has_no_backlog(at_end=False)


def test_a_replay_is_never_idle(clock: Clock) -> None:
    looks = LookSchedule(live=False, idle_seconds=30, clock=clock)
    read_nothing(looks)
    clock.now += 3_600
    assert not read_nothing(looks)
    assert not looks.is_quiet()
