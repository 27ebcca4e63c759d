"""The simulation itself: every day of every account, written as it happens."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TextIO

import numpy as np

from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.errors import TransportError
from c360_stream.tools.simulate.billing import Billing
from c360_stream.tools.simulate.events import DAY_MS, Column, DayEvents, day_lines
from c360_stream.tools.simulate.lifecycle import Lifecycle, Truth
from c360_stream.tools.simulate.population import Bools, draw_population, with_habits
from c360_stream.tools.simulate.product import ProductUse
from c360_stream.tools.simulate.scenario import SimulationSpec
from c360_stream.tools.simulate.sinks import EventSink
from c360_stream.tools.simulate.support import SupportDesk


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """What a simulation wrote.

    Attributes
    ----------
    events
        Events of each kind.
    account_days
        Lines of truth: midnights at which an account was active.
    subscriptions, cancellations
        Subscriptions started, those that came back included, and cancelled.
    """

    events: dict[InputKind, int]
    account_days: int
    subscriptions: int
    cancellations: int


class Company:
    """A world that is stepped day by day; memory grows with accounts and users, never with days.

    Every part draws from a stream of its own, spawned from the seed in a fixed order, and nothing depends on
    hashing or on the number of partitions. The same numpy release gives the same bytes.
    """

    def __init__(self, spec: SimulationSpec) -> None:
        people, life, product, billing, support, habits = (
            np.random.Generator(np.random.PCG64(stream)) for stream in np.random.SeedSequence(spec.seed).spawn(6)
        )
        world = spec.world
        self._spec = spec
        drawn = draw_population(spec.accounts, spec.days, people, world.founding_share)
        self.population = with_habits(drawn, habits, asking=world.ticket_spread > 0, terms=world.terms)
        self._lifecycle = Lifecycle(spec, self.population, life)
        self._product = ProductUse(spec, self.population, product)
        self._billing = Billing(spec, self.population, billing)
        self._support = SupportDesk(spec, self.population, support)
        self.subscriptions = self.cancellations = 0

    def step(self, day: int) -> tuple[Truth, dict[InputKind, DayEvents]]:
        """Live through one day.

        Parameters
        ----------
        day
            Counted from 0; each in turn.

        Returns
        -------
        The truth at the midnight that opens the day, and the day's events of each kind.
        """
        today = self._spec.start + timedelta(days=day)
        lifecycle = self._lifecycle
        truth, starting, leaving = lifecycle.open_day(day)
        drawn = {
            "product": self._product.day(lifecycle, today),
            "billing": self._billing.day(lifecycle, day, starting, leaving),
            "support": self._support.day(lifecycle, day),
        }
        events = {kind: _only(drawn[kind], lifecycle.keep_live(drawn[kind])) for kind in INPUT_KINDS}
        events["product"] = _only(events["product"], self._delivered(events["product"], today))
        lifecycle.close_day(day, leaving)
        self.subscriptions += len(starting)
        self.cancellations += len(leaving)
        return truth, events

    def _delivered(self, events: DayEvents, today: date) -> Bools:
        """Which product events are not lost in an outage."""
        window = self._spec.outage_window
        if window is None:
            return np.ones(len(events.at_ms), np.bool_)
        midnight = window[0].replace(hour=0)
        day_ms = (today - midnight.date()).days * DAY_MS
        lost_from, lost_until = (int((moment - midnight).total_seconds() * 1000) - day_ms for moment in window)
        return np.asarray((events.at_ms < lost_from) | (events.at_ms >= lost_until))


def simulate(
    spec: SimulationSpec,
    sink: EventSink,
    truth: Path | TextIO,
    progress: Callable[[int, int], None] | None = None,
) -> SimulationSummary:
    """Simulate a company and write its events and its truth, day by day.

    Parameters
    ----------
    spec
        The world.
    sink
        Takes the events; it is closed at the end, and on an error too.
    truth
        File for one line an account a midnight at which it is active: `account_id`, `as_of`, `hazard_1d` (the
        probability of cancelling within the day that begins) and `risk_60d` (within 60 days; see `hazard`).
    progress
        Called after each day with the days done and the events written so far.

    Raises
    ------
    TransportError
        If the sink or the truth cannot be written.
    """
    company = Company(spec)
    ids = company.population.account_ids
    place = np.array([zlib.crc32(account) % spec.partitions for account in ids], np.int64)
    quoted = [account.decode() for account in ids]
    counts = dict.fromkeys(INPUT_KINDS, 0)
    account_days = 0
    try:
        with opened_truth(truth) as truth_file:
            for day in range(spec.days):
                today = spec.start + timedelta(days=day)
                known, events = company.step(day)
                for kind in INPUT_KINDS:
                    counts[kind] += len(events[kind].at_ms)
                    for partition, lines in day_lines(events[kind], kind, today, ids, place):
                        sink.write(kind, partition, lines)
                truth_file.writelines(truth_lines(known, today, quoted))
                account_days += len(known.accounts)
                if progress is not None:
                    progress(day + 1, sum(counts.values()))
    finally:
        sink.close()
    return SimulationSummary(counts, account_days, company.subscriptions, company.cancellations)


def _only(events: DayEvents, kept: Bools) -> DayEvents:
    columns = (events.event_type, events.first, events.second)
    event_type, first, second = (Column(column.table, column.index[kept]) for column in columns)
    return DayEvents(events.at_ms[kept], events.account[kept], event_type, first, second)


def truth_lines(truth: Truth, today: date, account_ids: list[str]) -> Iterator[str]:
    """Lines of JSON, an account each; see `simulate`."""
    as_of = f'","as_of":"{today.isoformat()}T00:00:00Z","hazard_1d":'
    rows = zip(truth.accounts.tolist(), truth.hazard_1d.tolist(), truth.risk_60d.tolist(), strict=True)
    for account, hazard_1d, risk_60d in rows:
        yield f'{{"account_id":"{account_ids[account]}{as_of}{hazard_1d:.6g},"risk_60d":{risk_60d:.6g}}}\n'


@contextmanager
def opened_truth(truth: Path | TextIO) -> Iterator[TextIO]:
    """Open the file of the truth, unless it is open already.

    Raises
    ------
    TransportError
        If it cannot be written.
    """
    if not isinstance(truth, Path):
        yield truth
        return
    try:
        with truth.open("w", encoding="utf-8", newline="\n") as file:
            yield file
    except OSError as error:
        raise TransportError(f"{truth}: {error.strerror or error}", "check the path and the free space") from error
