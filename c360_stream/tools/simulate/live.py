"""The simulation in real time: what has happened at full speed, what is to come as its time comes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple, Protocol, TextIO

import numpy as np

from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.tools.simulate.company import Company, truth_lines
from c360_stream.tools.simulate.events import DAY_MS, LINES_MAX, DayEvents, day_lines
from c360_stream.tools.simulate.population import Ints
from c360_stream.tools.simulate.scenario import SimulationSpec
from c360_stream.tools.simulate.sinks import EventSink

WAIT_SECONDS_MAX = 1.0
"""A clock that is set meanwhile is noticed after so long."""


class EventPlace(NamedTuple):
    """Which event of its kind: events are written in this order.

    Attributes
    ----------
    day
        UTC date.
    number
        Place in the day, from 0.
    """

    day: date
    number: int

    @classmethod
    def of(cls, line: bytes) -> EventPlace:
        """Read it from the id of a line that a simulation wrote.

        >>> EventPlace.of(b'{"event_id":"b-20240131-000012","account_id":"acc-000007","event_type":"invoice_paid"}')
        EventPlace(day=datetime.date(2024, 1, 31), number=12)
        """
        _, day, number = line.split(b'"', 4)[3].decode().split("-")
        return cls(date(int(day[:4]), int(day[4:6]), int(day[6:])), int(number))


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> datetime:
        """The time, with its zone."""

    def wait(self, seconds: float) -> bool:
        """Let time pass, 0 or more; true, and at once, if the simulation shall stop."""


class LiveSink(EventSink, Protocol):
    """A sink that can be flushed without being closed."""

    def flush(self) -> None:
        """Return once everything written is safe; raises `TransportError` if it is not."""


@dataclass
class _Due:
    """A day's lines of one kind in the order of their times, and how many are done."""

    lines: list[bytes]
    at_ms: Ints
    done: int

    @property
    def next_ms(self) -> int:
        return int(self.at_ms[self.done]) if self.done < len(self.lines) else DAY_MS


def live(
    spec: SimulationSpec,
    sink: LiveSink,
    clock: Clock,
    *,
    after: Mapping[str, EventPlace],
    truth: TextIO | None = None,
    day_done: Callable[[date, int], None] | None = None,
) -> int:
    """Write events up to now, then each as its time comes, day after day, until the clock stops it.

    The company goes on past `spec.days`, though nobody new subscribes then. Days are the same as `simulate`'s of the
    same specification, byte for byte; within a kind, events are written in the order of their times, and everything
    up to a moment is safe before anything later is written.

    Parameters
    ----------
    spec
        The world. Its partitions do not matter: the sink gets everything as partition 0.
    sink
        Takes the events; it is not closed.
    clock
        Real time.
    after
        The last event of each kind that is there already: it is gone on from behind it.
    truth
        Gets each day's truth as the day begins; see `simulate`.
    day_done
        Called at the end of each day with the day and the number of events written so far.

    Returns
    -------
    Events written.

    Raises
    ------
    TransportError
        If the sink cannot be written.
    """
    company = Company(spec)
    quoted = [account.decode() for account in company.population.account_ids]
    written = 0
    for number in itertools.count():
        today = spec.start + timedelta(days=number)
        known, events = company.step(number)
        if truth is not None:
            truth.writelines(truth_lines(known, today, quoted))
            truth.flush()
        due = {kind: _due(company, today, kind, events[kind], after.get(kind)) for kind in INPUT_KINDS}
        count, goes_on = _live_day(today, due, sink, clock)
        written += count
        if not goes_on:
            break
        if day_done is not None:
            day_done(today, written)
    return written


def _due(company: Company, today: date, kind: str, events: DayEvents, last: EventPlace | None) -> _Due:
    if last is not None and today < last.day:
        return _Due([], np.zeros(0, np.int64), 0)
    ids = company.population.account_ids
    lines = [line for _, some in day_lines(events, kind, today, ids, np.zeros(len(ids), np.int64)) for line in some]
    done = min(last.number + 1, len(lines)) if last is not None and today == last.day else 0
    return _Due(lines, np.sort(events.at_ms, kind="stable"), done)


def _live_day(today: date, due: Mapping[InputKind, _Due], sink: LiveSink, clock: Clock) -> tuple[int, bool]:
    """Write a day's events as they come due; events written, and whether the day has ended."""
    midnight = datetime.combine(today, time(), UTC)
    written = 0
    while True:
        passed_ms = (clock.now() - midnight) / timedelta(milliseconds=1)
        for kind, part in due.items():
            end = max(part.done, int(np.searchsorted(part.at_ms, passed_ms, side="right")))
            for begin in range(part.done, end, LINES_MAX):
                sink.write(kind, 0, part.lines[begin : min(begin + LINES_MAX, end)])
            written += end - part.done
            part.done = end
        sink.flush()
        if passed_ms >= DAY_MS:
            return written, not clock.wait(0)
        next_ms = min(part.next_ms for part in due.values())
        if clock.wait(min(max(next_ms - passed_ms, 0) / 1000, WAIT_SECONDS_MAX)):
            return written, False
