"""Has a distribution moved? The population stability index between two windows of ticks, and its noise."""

from __future__ import annotations

import calendar
from collections import deque
from datetime import timedelta
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import utc_time
from c360_stream.monitoring.histograms import Counts
from c360_stream.state.fields import Kept, fields

CURRENT_TICKS = 7
REFERENCE_TICKS = 28
# Ticks between the end of the reference and now: shorter, and a change would soon be in both windows.
GAP_TICKS = 28
RING_TICKS = GAP_TICKS + REFERENCE_TICKS
QUANTILES = 10
# A distribution that moves anyway, since its company or its model does, has drifted at so many times its usual PSI.
USUAL_FACTOR = 2.5
USUAL_WEEKS = 30

# Days until a log's beginning no longer shows: the features' windows fill, and all accounts begin young. After 30 days
# alone, five features of every simulated company drifted that did nothing but grow up.
WARMUP_DAYS = 90
WARMUP_DAYS_BY_FEATURE = {"nps_score": 180}
# A model that has just begun to score has seen few outcomes: for so long neither its quality nor how it spreads its
# risks is a surprise.
SETTLE_DAYS = 56
# Time itself moves these: accounts age a day a day, and renewals approach and jump. Their drift means nothing.
DRIFT_BY_NATURE = frozenset({"account_age_days", "days_to_renewal"})

# One test per feature and day is about 7,000 tests a year (1,100 of them independent): this keeps
# sampling noise below one alarm in a few years.
_FALSE_ALARM_RATE = 1e-4
_NORMAL_QUANTILE = NormalDist().inv_cdf(1 - _FALSE_ALARM_RATE)


class Psi(NamedTuple):
    """A population stability index, and what sampling noise alone may reach."""

    value: float
    noise: float


def psi(reference: Counts, current: Counts, reference_rows: float, current_rows: float) -> Psi:
    """Population stability index on about ten quantile bins of the reference.

    Parameters
    ----------
    reference, current
        Counts on the same fine grid, ascending, then one cell for nulls.
    reference_rows, current_rows
        Effective sample sizes: accounts, not account-days, since the same accounts recur every day.

    Notes
    -----
    Without drift, PSI is distributed about as (1/n + 1/m) chi-square with (bins - 1) degrees of freedom
    (Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
    Validation 14, 2020); `noise` is a high quantile of that, after Wilson and Hilferty (1931). Half an account is
    added to every bin, so that an empty one gives no infinity.

    Examples
    --------
    >>> same = np.array([500, 300, 200, 0])
    >>> psi(same, same, 1000, 1000).value
    0.0
    """
    group = _quantile_groups(reference)
    before = np.bincount(group, reference, QUANTILES + 1).astype(np.float64)
    now = np.bincount(group, current, QUANTILES + 1).astype(np.float64)
    used = (before > 0) | (now > 0)
    expected = _shares(before[used], reference_rows)
    actual = _shares(now[used], current_rows)
    value = float(np.sum((actual - expected) * np.log(actual / expected)))
    noise = (1 / reference_rows + 1 / current_rows) * _chi_square_quantile(int(used.sum()) - 1)
    return Psi(value, noise)


def _quantile_groups(reference: Counts) -> NDArray[np.int64]:
    """Quantile group of each fine bin by its middle rank; nulls, the last cell, are a group of their own.

    By the middle rank, a value that holds most of the mass stands alone, and what the reference never saw
    below or above it falls into another group.
    """
    values = reference[:-1]
    total = max(int(values.sum()), 1)
    middle_twice = 2 * np.cumsum(values) - values
    group = np.minimum(QUANTILES * middle_twice // (2 * total), QUANTILES - 1)
    return np.append(group, QUANTILES)


def _shares(counts: NDArray[np.float64], rows: float) -> NDArray[np.float64]:
    accounts = counts * (rows / counts.sum()) + 0.5
    shares: NDArray[np.float64] = accounts / accounts.sum()
    return shares


def _chi_square_quantile(freedom: int) -> float:
    if freedom == 0:
        return 0.0
    spread = 2 / (9 * freedom)
    return float(freedom * (1 - spread + _NORMAL_QUANTILE * spread**0.5) ** 3)


def month_before(day: int) -> tuple[int, ...]:
    """The same days of the month before, in days since the epoch: counted from its beginning, and from its end.

    Some rhythms follow the one and some the other: months differ in length.

    >>> march_10, march_30 = 19_792, 19_812
    >>> [utc_time(each * US_PER_DAY).date().isoformat() for each in (*month_before(march_10), *month_before(march_30))]
    ['2024-02-10', '2024-02-08', '2024-02-29', '2024-02-28']
    """
    date = utc_time(day * US_PER_DAY).date()
    end = day - date.day  # the last day of the month before
    last = date - timedelta(days=date.day)
    length = calendar.monthrange(date.year, date.month)[1]
    return end - last.day + min(date.day, last.day), end - min(length - date.day, last.day - 1)


# Day, accounts, the cells in use, and their counts: 32 bits, since snapshots hold 56 of these.
_Tick = tuple[int, int, NDArray[np.int32], NDArray[np.int32]]


class Window(NamedTuple):
    """Pooled counts of some ticks, and the mean number of accounts in one."""

    counts: Counts
    accounts: float


class SlidingWindows(Kept):
    """Pooled counts of the last 7 ticks, and of the 28 ticks that ended 28 ticks ago.

    Parameters
    ----------
    cells
        Length of the counts of a tick. Bounded: 56 ticks, of which only the cells in use are kept.
    """

    kept = fields(_ticks=deque[_Tick])

    def __init__(self, cells: int) -> None:
        self._ticks: deque[_Tick] = deque()
        self._current = np.zeros(cells, np.int64)
        self._reference = np.zeros(cells, np.int64)
        self._current_rows = 0
        self._reference_rows = 0

    def push(self, day: int, rows: int, counts: Counts) -> None:
        """Take the counts of the next tick, over `rows` accounts. Days may be left out."""
        used = np.flatnonzero(counts).astype(np.int32)
        self._take((day, rows, used, counts[used].astype(np.int32)))

    def _take(self, tick: _Tick) -> None:
        self._ticks.append(tick)
        self._current_rows += self._move(self._current, tick, 1)
        if len(self._ticks) > CURRENT_TICKS:
            self._current_rows += self._move(self._current, self._ticks[-1 - CURRENT_TICKS], -1)
        if len(self._ticks) > GAP_TICKS:
            self._reference_rows += self._move(self._reference, self._ticks[-1 - GAP_TICKS], 1)
        if len(self._ticks) > RING_TICKS:
            self._reference_rows += self._move(self._reference, self._ticks.popleft(), -1)

    @staticmethod
    def _move(window: Counts, tick: _Tick, sign: int) -> int:
        _, rows, used, counts = tick
        window[used] += sign * counts
        return sign * rows

    @property
    def full(self) -> bool:
        """Whether both windows are filled, and neither without accounts."""
        return len(self._ticks) == RING_TICKS and self._current_rows > 0 and self._reference_rows > 0

    @property
    def current(self) -> Window:
        """The last 7 ticks."""
        return Window(self._current, self._current_rows / CURRENT_TICKS)

    @property
    def reference(self) -> Window:
        """The 28 ticks that ended 28 ticks ago."""
        return Window(self._reference, self._reference_rows / REFERENCE_TICKS)

    def references(self) -> list[Window]:
        """What the current window is held against: the reference, and the same days of the month before.

        Those are left out if they are not there, or were without accounts.
        """
        found = [self.reference]
        for last in month_before(self._ticks[-1][0]):
            same = [tick for tick in self._ticks if last - CURRENT_TICKS < tick[0] <= last]
            counts = np.zeros_like(self._reference)
            rows = sum(self._move(counts, tick, 1) for tick in same)
            if len(same) == CURRENT_TICKS and rows:
                found.append(Window(counts, rows / CURRENT_TICKS))
        return found

    def restored(self) -> None:
        """The windows are the sums of their ticks."""
        ticks, self._ticks = self._ticks, deque()
        for tick in ticks:
            self._take(tick)


class UsualPsi(Kept):
    """The PSI that a distribution often reached lately without an alarm: what it does anyway is no news.

    Of each week the greatest, in the half year that ended four weeks ago, so that what begins now is not taken for
    usual. State: a number a week.

    Examples
    --------
    >>> usual = UsualPsi()
    >>> for tick in range(70):
    ...     usual.take(tick, 0.5 if tick >= 60 else 0.03 * (tick % 3))
    >>> usual.value
    0.06
    """

    kept = fields(_weeks=deque[tuple[int, float]])

    def __init__(self) -> None:
        self._weeks: deque[tuple[int, float]] = deque(maxlen=USUAL_WEEKS)

    def take(self, tick: int, value: float) -> None:
        """Take the value of a tick at which nothing was alarmed."""
        week = tick // 7
        if self._weeks and self._weeks[-1][0] == week:
            value = max(value, self._weeks.pop()[1])
        self._weeks.append((week, value))

    @property
    def value(self) -> float:
        """The upper quartile of the weeks; 0 while nothing is known."""
        if not self._weeks:
            return 0.0
        last = self._weeks[-1][0] - GAP_TICKS // 7
        past = sorted(value for week, value in self._weeks if week <= last)
        return past[(len(past) - 1) * 3 // 4] if past else 0.0

    def limits(self, found: Psi, thresholds: tuple[float, float]) -> tuple[float, float]:
        """Warning and critical: the thresholds, where noise and what is usual do not reach as far."""
        warning, critical = thresholds
        usual = USUAL_FACTOR * self.value
        return max(warning, found.noise, usual), max(critical, found.noise, usual * critical / warning)
