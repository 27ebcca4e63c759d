"""Where a worker without input waits."""

from __future__ import annotations

import pytest

from c360_stream.operators.rest import DRAIN_ROUNDS, Rest
from tests.unit.clocks import Clock


class SleepClock(Clock):
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        super().__init__(100.0)
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


@pytest.fixture
def clock() -> SleepClock:
    return SleepClock()


def drain(rest: Rest, clock: SleepClock, partition: str) -> None:
    """What the engine does while it is told to ask at once."""
    for _ in range(DRAIN_ROUNDS):
        assert rest.until(partition, clock.now + 0.1) < clock.now
    assert not clock.slept


def test_it_sleeps_until_the_first_partition_is_to_be_looked_at(clock: SleepClock) -> None:
    rest = Rest(2, clock=clock, sleep=clock.sleep)
    assert rest.until("a", 100.05) == 100.05
    drain(rest, clock, "b")
    assert rest.until("b", 100.1) < clock.now, "asked again at once: its time has come"
    assert clock.slept == [0.05]


def test_one_partition_alone_is_asked_in_every_round(clock: SleepClock) -> None:
    rest = Rest(2, clock=clock, sleep=clock.sleep)
    rest.until("a", 100.05)
    rest.until("b", 100.1)
    assert rest.until("a", 100.05) == 100.05, "the rounds of b are the engine's: they must not be counted twice"
    for _ in range(DRAIN_ROUNDS - 1):
        rest.until("b", 100.1)
    assert not clock.slept
    rest.until("a", 100.05)
    assert clock.slept == [0.05]


def test_it_does_not_sleep_while_any_partition_has_something(clock: SleepClock) -> None:
    rest = Rest(2, clock=clock, sleep=clock.sleep)
    rest.until("a", 101.0)
    drain(rest, clock, "b")
    rest.ends("a")
    for _ in range(3 * DRAIN_ROUNDS):
        assert rest.until("b", 100.1) == 100.1
    assert not clock.slept
    rest.until("b", 100.1)
    drain(rest, clock, "a")
    rest.until("a", 100.1)
    assert clock.slept == [0.1], "and only once what it had is through the flow"


def test_it_does_not_sleep_while_a_step_waits_for_its_turn(clock: SleepClock) -> None:
    waited_for = [False]
    rest = Rest(1, lambda: waited_for[0], clock, clock.sleep)
    drain(rest, clock, "a")
    waited_for[0] = True
    for _ in range(3 * DRAIN_ROUNDS):
        assert rest.until("a", 100.1) == 100.1
    waited_for[0] = False
    drain(rest, clock, "a")
    rest.until("a", 100.1)
    assert clock.slept == [0.1]


def test_it_never_sleeps_in_a_cluster(clock: SleepClock) -> None:
    rest = Rest(None, clock=clock, sleep=clock.sleep)
    for _ in range(3 * DRAIN_ROUNDS):
        assert rest.until("a", 100.1) == 100.1
    assert not clock.slept
