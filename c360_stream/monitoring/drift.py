"""Has a distribution moved? The population stability index between two windows of ticks, and its noise."""

from __future__ import annotations

from collections import deque
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.monitoring.histograms import Counts
from c360_stream.state.fields import Kept, fields

CURRENT_TICKS = 7
REFERENCE_TICKS = 28
# Ticks between the end of the reference and now: shorter, and a change would soon be in both windows.
GAP_TICKS = 28
RING_TICKS = GAP_TICKS + REFERENCE_TICKS
QUANTILES = 10

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


# Accounts, the cells in use, and their counts: 32 bits, since snapshots hold 56 of these.
_Tick = tuple[int, NDArray[np.int32], NDArray[np.int32]]


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
        self.current = np.zeros(cells, np.int64)
        self.reference = np.zeros(cells, np.int64)
        self._current_rows = 0
        self._reference_rows = 0

    def push(self, rows: int, counts: Counts) -> None:
        """Take the counts of the next tick, over `rows` accounts."""
        used = np.flatnonzero(counts).astype(np.int32)
        self._take((rows, used, counts[used].astype(np.int32)))

    def _take(self, tick: _Tick) -> None:
        self._ticks.append(tick)
        self._current_rows += self._move(self.current, tick, 1)
        if len(self._ticks) > CURRENT_TICKS:
            self._current_rows += self._move(self.current, self._ticks[-1 - CURRENT_TICKS], -1)
        if len(self._ticks) > GAP_TICKS:
            self._reference_rows += self._move(self.reference, self._ticks[-1 - GAP_TICKS], 1)
        if len(self._ticks) > RING_TICKS:
            self._reference_rows += self._move(self.reference, self._ticks.popleft(), -1)

    @staticmethod
    def _move(window: Counts, tick: _Tick, sign: int) -> int:
        rows, used, counts = tick
        window[used] += sign * counts
        return sign * rows

    @property
    def full(self) -> bool:
        """Whether both windows are filled, and neither without accounts."""
        return len(self._ticks) == RING_TICKS and self._current_rows > 0 and self._reference_rows > 0

    @property
    def current_accounts(self) -> float:
        """Mean accounts per tick in the current window."""
        return self._current_rows / CURRENT_TICKS

    @property
    def reference_accounts(self) -> float:
        """Mean accounts per tick in the reference window."""
        return self._reference_rows / REFERENCE_TICKS

    def restored(self) -> None:
        """The windows are the sums of their ticks."""
        ticks, self._ticks = self._ticks, deque()
        for tick in ticks:
            self._take(tick)
