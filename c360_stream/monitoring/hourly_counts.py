"""Is a topic as busy as it should be? Hourly event counts against the same hours of the weeks before."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

import numpy as np

HOURS_PER_WEEK = 168
WEEKS = 4
# Less history than this, and nothing is expected.
WEEKS_MIN = 2
# The longest stretch that is compared.
WINDOW_HOURS_MAX = HOURS_PER_WEEK
HISTORY_HOURS = WEEKS * HOURS_PER_WEEK + WINDOW_HOURS_MAX
# Pairs of like windows that an estimate of the spread needs.
_PAIRS_MIN = 5
# The upper quartile of chi-square with one degree of freedom.
_CHI_SQUARE_UPPER_QUARTILE = 1.323
# Variance of a median over that of a mean (normal), and so of the median of k weeks: 1.57 / k of one week's.
_MEDIAN_VARIANCE = 1.57


class Expectation(NamedTuple):
    """Median events of a window over the weeks before, and how many weeks that were."""

    events: float
    weeks: int


class HourlyCounts:
    """Event counts of one topic over the last five weeks, an hour of event time each.

    Memory: 840 integers.

    Examples
    --------
    >>> counts = HourlyCounts([10] * (2 * HOURS_PER_WEEK + 1))
    >>> counts.expected(1)
    Expectation(events=10.0, weeks=2)
    """

    def __init__(self, counts: Iterable[int] = ()) -> None:
        # Cumulative, so that a window's sum is one subtraction.
        self._cumulative = array("q", (0,))
        for count in counts:
            self.push(count)

    def push(self, count: int) -> None:
        """Take the count of the next closed hour."""
        self._cumulative.append(self._cumulative[-1] + count)
        if len(self._cumulative) > HISTORY_HOURS + 1:
            del self._cumulative[0]

    def counts(self) -> list[int]:
        """The hourly counts, oldest first: the state."""
        return [after - before for before, after in zip(self._cumulative, self._cumulative[1:], strict=False)]

    def observed(self, hours: int, hours_ago: int = 0) -> int:
        """Events in the `hours` that ended `hours_ago` hours before the last closed hour's end."""
        end = len(self._cumulative) - 1 - hours_ago
        return self._cumulative[end] - self._cumulative[end - hours]

    def expected(self, hours: int) -> Expectation | None:
        """What the last `hours` should have held: the median of the same hours of the four weeks before.

        None with less than two weeks of them. A median, so that one bad week does not become the norm.
        """
        weeks = min(WEEKS, (len(self._cumulative) - 1 - hours) // HOURS_PER_WEEK)
        if weeks < WEEKS_MIN:
            return None
        past = [self.observed(hours, week * HOURS_PER_WEEK) for week in range(1, weeks + 1)]
        return Expectation(median(past), weeks)

    def dispersion(self, hours: int, level: float) -> float | None:
        """Variance over mean of the count of a window of `hours`; at least 1, which is Poisson.

        From pairs of windows a week apart that together hold at least `level` events, since events come in bursts (a
        session, a batch job) that differ between busy and quiet hours. None with too few pairs. The
        upper quartile of the pairs stands for all, so that an outage among them changes little.
        """
        cumulative = np.frombuffer(self._cumulative, np.int64)
        ends = np.arange(len(cumulative) - 1 - hours, HOURS_PER_WEEK + hours - 1, -hours)
        now = cumulative[ends] - cumulative[ends - hours]
        then = cumulative[ends - HOURS_PER_WEEK] - cumulative[ends - HOURS_PER_WEEK - hours]
        both = now + then
        alike = both >= max(level, 1)
        if int(np.count_nonzero(alike)) < _PAIRS_MIN:
            return None
        squares = (now[alike] - then[alike]) ** 2 / both[alike]
        quartile = len(squares) * 3 // 4
        return max(1.0, float(np.partition(squares, quartile)[quartile]) / _CHI_SQUARE_UPPER_QUARTILE)

    def drop(self, hours: int, sigmas: float = 0.0) -> float:
        """Share by which the last `hours` fall short of what is expected; 0 if chance may explain it.

        Chance: a shortfall of less than `sigmas` standard deviations, given the burstiness of this topic.
        """
        expectation = self.expected(hours)
        if expectation is None or expectation.events <= 0:
            return 0.0
        shortfall = expectation.events - self.observed(hours)
        if shortfall <= 0:
            return 0.0
        return shortfall / expectation.events if self._is_certain(hours, shortfall, expectation, sigmas) else 0.0

    def _is_certain(self, hours: int, shortfall: float, expectation: Expectation, sigmas: float) -> bool:
        if sigmas == 0:
            return True
        spread = expectation.events * (1 + _MEDIAN_VARIANCE / expectation.weeks)
        # The cheap test first: most hours fail it already as Poisson.
        if shortfall**2 < sigmas**2 * spread:
            return False
        dispersion = self.dispersion(hours, expectation.events)
        return dispersion is not None and shortfall**2 >= sigmas**2 * spread * dispersion

    @property
    def silent_hours(self) -> int:
        """Closed hours since the last event, at most a week."""
        newest = self._cumulative[-1]
        hours = 0
        while hours < min(WINDOW_HOURS_MAX, len(self._cumulative) - 1) and self._cumulative[-2 - hours] == newest:
            hours += 1
        return hours

    def missed_bursts(self, hours: int) -> float:
        """Independent bursts of events expected in the last `hours`; silence in them has probability exp(-this)."""
        expectation = self.expected(hours)
        if expectation is None or expectation.events <= 0:
            return 0.0
        dispersion = self.dispersion(1, expectation.events / hours)
        return expectation.events / dispersion if dispersion is not None else 0.0
