"""A company in real time: history at once, the rest when its time comes, nothing twice and nothing from the future."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.tools.simulate import EventPlace, SimulationSpec, live, simulate
from tests.unit.tools.simulate.topics import Memory

START = date(2025, 3, 3)
SPEC = SimulationSpec(accounts=12, days=6, seed=7, start=START, partitions=1)
Events = dict[str, list[bytes]]


class PassingTime:
    """Time that only waiting lets pass; it ends at a moment."""

    def __init__(self, begin: datetime, end: datetime) -> None:
        self.time = begin
        self._end = end

    def now(self) -> datetime:
        return self.time

    def wait(self, seconds: float) -> bool:
        assert seconds >= 0
        # A real wait takes a little longer than it was asked to.
        self.time += timedelta(seconds=seconds, milliseconds=3 if seconds else 0)
        return self.time >= self._end


class Topics:
    """Keeps events; notes each event's time, and when it was written."""

    def __init__(self, clock: PassingTime) -> None:
        self._clock = clock
        self.safe: Events = {kind: [] for kind in INPUT_KINDS}
        self._queued: Events = {kind: [] for kind in INPUT_KINDS}
        self.delays: list[timedelta] = []

    def write(self, topic_kind: str, partition: int, lines: list[bytes]) -> None:
        assert partition == 0
        self._queued[topic_kind] += lines
        self.delays += [self._clock.now() - occurred_at(line) for line in lines]

    def flush(self) -> None:
        for kind, lines in self._queued.items():
            self.safe[kind] += lines
            lines.clear()

    def close(self) -> None:
        raise AssertionError("the caller closes it")


def occurred_at(line: bytes) -> datetime:
    return datetime.fromisoformat(json.loads(line)["occurred_at"])


def at(day: int, hour: int = 0) -> datetime:
    return datetime(START.year, START.month, START.day, hour, tzinfo=UTC) + timedelta(days=day)


def places(events: Events) -> dict[str, EventPlace]:
    return {kind: EventPlace.of(lines[-1]) for kind, lines in events.items() if lines}


def lived(begin: datetime, end: datetime, after: Mapping[str, EventPlace] | None = None) -> Topics:
    clock = PassingTime(begin, end)
    topics = Topics(clock)
    written = live(SPEC, topics, clock, after=after or {})
    assert written == sum(len(lines) for lines in topics.safe.values())
    return topics


@pytest.fixture(scope="module")
def history() -> Events:
    """The same company, all of its days at once."""
    memory = Memory()
    simulate(SPEC, memory, io.StringIO())
    return memory.lines


def test_history_comes_at_once_and_then_every_event_when_its_time_has_come(history: Events) -> None:
    topics = lived(at(3, 12), at(5))
    for kind in INPUT_KINDS:
        assert topics.safe[kind] == [line for line in history[kind] if occurred_at(line) < at(5)]
    assert min(topics.delays) >= timedelta(0), "an event of the future was written"
    later = [delay for delay in topics.delays if delay < timedelta(seconds=1)]
    lines = [line for kind in INPUT_KINDS for line in history[kind] if at(3, 12) < occurred_at(line) < at(5)]
    assert len(later) == len(lines) > 50
    assert max(later) <= timedelta(milliseconds=10)


@pytest.mark.parametrize("stop", [at(0, 9), at(2, 10), at(4, 15), at(4, 23)])
@pytest.mark.parametrize("gap", [timedelta(minutes=1), timedelta(days=1, hours=3)])
def test_a_second_start_goes_on_where_the_first_has_stopped(history: Events, stop: datetime, gap: timedelta) -> None:
    first = lived(stop - timedelta(hours=8), stop)
    second = lived(stop + gap, stop + gap + timedelta(hours=5), places(first.safe))
    end = stop + gap + timedelta(hours=5)
    for kind in INPUT_KINDS:
        both = first.safe[kind] + second.safe[kind]
        assert both == [line for line in history[kind] if occurred_at(line) < end]


def test_a_company_that_was_written_without_live_is_gone_on_with(history: Events) -> None:
    topics = lived(at(6, 1), at(6, 4), places(history))
    assert all(occurred_at(line) >= at(6) for lines in topics.safe.values() for line in lines)


def test_it_goes_on_past_the_days_of_its_specification() -> None:
    events = lived(at(40, 8), at(40, 20)).safe
    assert occurred_at(events["product"][-1]) > at(40, 8)


def test_a_clock_before_the_first_day_waits_for_it() -> None:
    topics = lived(at(-1, 23), at(0, 23))
    assert topics.delays
    assert min(topics.delays) >= timedelta(0)


def test_truth_is_told_as_a_day_begins() -> None:
    clock = PassingTime(at(3, 12), at(4, 1))
    told = io.StringIO()
    done: list[date] = []
    live(SPEC, Topics(clock), clock, after={}, truth=told, day_done=lambda day, _: done.append(day))
    expected = io.StringIO()
    simulate(SPEC, Memory(), expected)
    lines = told.getvalue().splitlines()
    assert lines == expected.getvalue().splitlines()[: len(lines)]
    assert json.loads(lines[-1])["as_of"].startswith((START + timedelta(days=4)).isoformat())
    assert done == [START + timedelta(days=n) for n in range(4)]
