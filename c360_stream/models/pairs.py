"""Which pairs of features to look at together: those whose cells an additive model leaves unexplained."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from c360_stream.models.columns import Floats

# Bins of a feature, by quantiles; nulls have one more.
_BINS = 4
_SHARES = tuple(number / _BINS for number in range(1, _BINS))
_CELLS = _BINS + 1
# Of a cell, less expected variance than this tells nothing.
_INFORMATION_MIN = 1.0

Bins = NDArray[np.int64]


def chosen_pairs(features: Floats, residual: Floats, variance: Floats, overlap: float) -> list[tuple[int, int]]:
    """Pairs of columns worth a product, the most promising first.

    By cell of each pair, the squared sum of what the additive model leaves, over its expected variance: a chi-square,
    less those of both features alone, less what chance alone would give.

    Parameters
    ----------
    features
        Shape (n, 21), NaN for null.
    residual, variance
        Outcome less risk of each example, and risk times its complement; shape (n,).
    overlap
        How many examples tell no more than one, since one cancellation settles the labels of all of them.
    """
    bins = {column: found for column, values in enumerate(features.T) if (found := _bins(values)) is not None}
    alone = {column: _unexplained(cell, residual, variance) for column, cell in bins.items()}
    gains: list[tuple[float, tuple[int, int]]] = []
    for first, second in combinations(bins, 2):
        statistic, cells = _unexplained(bins[first] * _CELLS + bins[second], residual, variance)
        freedom = max(cells - alone[first][1] - alone[second][1], 1)
        gain = (statistic - alone[first][0] - alone[second][0]) / overlap - freedom
        if gain > 0:
            gains.append((gain, (first, second)))
    return [pair for _, pair in sorted(gains, key=lambda each: (-each[0], each[1]))]


def _bins(values: Floats) -> Bins | None:
    """The bin of each value; None if all have the same."""
    known = np.isfinite(values)
    if not known.any():
        return None
    edges = np.unique(np.quantile(values[known], _SHARES, method="inverted_cdf"))
    found = np.where(known, np.searchsorted(edges, np.where(known, values, 0.0)), _BINS)
    return found.astype(np.int64) if found.min() < found.max() else None


def _unexplained(cell: Bins, residual: Floats, variance: Floats) -> tuple[float, int]:
    """The statistic, and how many cells have part in it. `bincount` adds up in the order of the examples."""
    total, expected = np.bincount(cell, residual), np.bincount(cell, variance)
    telling = expected > _INFORMATION_MIN
    return float(np.add.reduce(total[telling] ** 2 / expected[telling])), int(telling.sum())
