"""One line of the log a tick, for all shards and processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

from c360_stream import metrics
from c360_stream.contracts.events import US_PER_DAY, US_PER_SECOND
from c360_stream.contracts.records import TIERS, rfc3339_ms
from c360_stream.logs.events import TICK_SCORED
from c360_stream.monitoring.tick_stats import TickStats
from c360_stream.state.fields import Kept, fields


@dataclass(frozen=True, slots=True)
class Totals:
    """What a process has counted since its start."""

    read: int = 0
    refused: int = 0
    late: int = 0
    duplicates: int = 0
    event_scores: int = 0
    sink_rows: int = 0

    def since(self, before: Totals) -> Totals:
        """What it has counted since then."""
        return Totals(*(now - then for now, then in zip(astuple(self), astuple(before), strict=True)))

    def plus(self, other: Totals) -> Totals:
        """What two processes have counted."""
        return Totals(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


def totals_now() -> Totals:
    """What this process has counted by now."""
    return Totals(
        read=metrics.count(metrics.EVENTS_READ),
        refused=metrics.count(metrics.DEAD_LETTERS),
        late=metrics.count(metrics.LATE_EVENTS),
        duplicates=metrics.count(metrics.DUPLICATE_EVENTS),
        event_scores=metrics.count(metrics.SCORES_EMITTED, trigger="event"),
        sink_rows=metrics.count(metrics.SINK_ROWS),
    )


class TickTotals:
    """Gives the totals of this process once a tick: to the first of its shards that scores it.

    Parameters
    ----------
    process
        Name of the process, unique in the cluster.
    now
        Counts.
    """

    def __init__(self, process: str, now: Callable[[], Totals] = totals_now) -> None:
        self._process = process
        self._now = now
        self._day: int | None = None

    def at(self, day: int) -> tuple[str, Totals] | None:
        """Name and totals of the process, if nobody has had them at this tick."""
        if self._day is not None and day <= self._day:
            return None
        self._day = day
        return self._process, self._now()


class TickLog(Kept):
    """Logs each tick once all shards have scored it.

    Parameters
    ----------
    shards
        Number of shards.
    clock
        Monotonic seconds.
    """

    kept = fields(_tiers=dict[int, list[list[int]]])

    def __init__(self, shards: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._shards = shards
        self._clock = clock
        self._tiers: dict[int, list[list[int]]] = {}
        self._began: dict[int, float] = {}
        # Of each process. A cluster ends as one, so counts and what is known of them begin at 0 together.
        self._totals: dict[str, Totals] = {}
        self._logged = Totals()

    def part(self, day: int, tiers: Sequence[int], totals: tuple[str, Totals] | None) -> None:
        """Take a shard's part: its scores by tier, and the counts of its process from the first of its shards."""
        self._began.setdefault(day, self._clock())
        self._tiers.setdefault(day, []).append(list(tiers))
        if totals is not None:
            self._totals[totals[0]] = totals[1]

    def closed(self, stats: TickStats, alarms: int) -> None:
        """Log that all shards have scored a tick, and show which."""
        tiers = self._tiers.pop(stats.tick, [])
        known = len(tiers) == self._shards  # not if an older snapshot held some of the parts
        by_tier = dict(zip(TIERS, map(sum, zip(*tiers, strict=True)), strict=True)) if known else None
        totals = Totals()
        for each in self._totals.values():
            totals = totals.plus(each)
        counted, self._logged = totals.since(self._logged), totals
        as_of_us = stats.tick * US_PER_DAY
        metrics.TICK_TIMESTAMP_SECONDS.set(as_of_us / US_PER_SECOND)
        TICK_SCORED.log(
            as_of=rfc3339_ms(as_of_us),
            accounts=stats.rows,
            tiers=by_tier,
            model_name=stats.model_name,
            model_version=stats.model_version,
            outcomes=len(stats.account_ids),
            read=counted.read,
            refused=counted.refused,
            late=counted.late,
            duplicates=counted.duplicates,
            event_scores=counted.event_scores,
            sink_rows=counted.sink_rows,
            alarms=alarms,
            seconds=self._clock() - self._began.pop(stats.tick, self._clock()),
        )
