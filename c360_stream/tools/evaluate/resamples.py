"""Intervals by the bootstrap over accounts: accounts are drawn again, each with all its examples.

Nine examples of one account share one outcome; drawing examples would take them for nine. The draws are those of a
fixed seed, so the same examples give the same intervals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.tools.evaluate.judgement import losses

RESAMPLES = 300
SEED = 1
CELLS_MAX = 1 << 18
"""Weights of examples that are worked on at a time, 8 bytes each, in some arrays."""
_LOW, _HIGH = 2.5, 97.5
_UNDEFINED_SHARE_MAX = 0.05

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

Draws = dict[str, Floats]
"""Metric -> its value, and then that of each resample: float64 of shape (1 + RESAMPLES,), NaN where undefined."""


class Interval(NamedTuple):
    """A figure with its 95% interval, None where the resamples leave it undefined."""

    value: float
    low: float | None
    high: float | None


class Resamples:
    """Resamples of the accounts of some examples.

    Parameters
    ----------
    account
        Number of each example's account, int64 of shape (n,).
    churned
        The outcomes, shape (n,).
    cells_max
        Bounds the memory: how many weights of examples are worked on at a time.
    """

    def __init__(self, account: NDArray[np.int64], churned: Flags, cells_max: int = CELLS_MAX) -> None:
        self._cells_max = cells_max
        ids, self._account = np.unique(account, return_inverse=True)
        self._churned = churned
        self._count = len(ids)
        generator = np.random.default_rng(SEED)
        drawn = [np.ones(len(ids), np.int64)]
        drawn += [np.bincount(generator.integers(0, len(ids), len(ids)), minlength=len(ids)) for _ in range(RESAMPLES)]
        # Row 0 takes each account once, the others as often as it was drawn.
        self.times = np.array(drawn, np.float64)
        self._examples = self._sums(np.ones(len(account)))
        self._churners = self._sums(churned.astype(np.float64))

    def ranking(self, order: Floats) -> Draws:
        """ROC-AUC and PR-AUC of an order, shape (n,), highest first; ties count by half, and as one threshold."""
        rank = np.argsort(-order, kind="stable")
        sorted_order = order[rank]
        first = np.flatnonzero(np.append(True, sorted_order[1:] != sorted_order[:-1]))
        account, churned = self._account[rank], self._churned[rank].astype(np.float64)
        # Thresholds between which nobody left are one: neither area can tell them apart.
        left = np.add.reduceat(churned, first) > 0
        first = first[left | np.append(True, left[:-1])]
        found = {name: np.empty(len(self.times)) for name in ("roc_auc", "pr_auc")}
        step = max(1, self._cells_max // len(order))
        for begin in range(0, len(self.times), step):
            at = slice(begin, begin + step)
            times = self.times[at][:, account]
            rows = np.add.reduceat(times, first, axis=1)
            times *= churned
            hits = np.add.reduceat(times, first, axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                found["roc_auc"][at], found["pr_auc"][at] = _areas(rows, hits)
        return found

    def probabilities(self, risk: Floats) -> Draws:
        """Log loss and calibration ratio (mean risk over the share that churned) of risks, shape (n,)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "log_loss": self._sums(losses(self._churned, risk)) / self._examples,
                "calibration_ratio": self._sums(risk) / self._churners,
            }

    def _sums(self, values: Floats) -> Floats:
        return np.asarray(self.times @ np.bincount(self._account, values, minlength=self._count))


def _areas(rows: Floats, hits: Floats) -> tuple[Floats, Floats]:
    """ROC-AUC and average precision of each resample: rows and churned by distinct risk, highest first."""
    called, found = np.cumsum(rows, axis=1), np.cumsum(hits, axis=1)
    churned, others = found[:, -1], called[:, -1] - found[:, -1]
    precision = np.where(called > 0, found / called, 0.0)
    average = np.sum(hits * precision, axis=1) / churned
    missed = rows - hits
    above = found - hits / 2
    return np.sum(missed * above, axis=1) / (churned * others), average


def interval(draws: Floats) -> Interval | None:
    """The value with its percentile interval; None if the value is undefined.

    >>> [round(each, 3) for each in interval(np.append(0.5, np.linspace(0.4, 0.6, 101)))]
    [0.5, 0.405, 0.595]
    """
    if not np.isfinite(draws[0]):
        return None
    known = draws[1:][np.isfinite(draws[1:])]
    if len(known) < (1 - _UNDEFINED_SHARE_MAX) * (len(draws) - 1):
        return Interval(float(draws[0]), None, None)
    low, high = np.percentile(known, [_LOW, _HIGH])
    return Interval(float(draws[0]), float(low), float(high))
