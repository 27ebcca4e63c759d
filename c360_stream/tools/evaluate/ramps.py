"""Columns of the batch logistic regression: ramps between the deciles of what it is fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from c360_stream.tools.evaluate.newton import sigmoid, weights, with_one

PIECES = 10
ROWS = 16_384
# Numbers in columns that are kept between passes, 8 bytes each; more are made anew.
KEPT_MAX = 1 << 24
_SPREAD_MIN = 0.1

Floats = NDArray[np.float64]


class DecileRamps:
    """Turns feature rows into columns.

    A feature becomes a ramp from 0 to 1 between each two neighbouring deciles (of a feature with fewer different values
    these), so that a linear model of the columns is a broken line of it; and, if it can be missing, a column that says
    so, the ramps of a missing value being 0.

    Parameters
    ----------
    features
        The rows that deciles are taken of, shape (n, k), NaN for null.
    """

    def __init__(self, features: Floats) -> None:
        self._pieces: list[tuple[int, float, float]] = []
        self._missing: list[int] = []
        for column in range(features.shape[1]):
            known = features[np.isfinite(features[:, column]), column]
            if len(known) < len(features):
                self._missing.append(column)
            if len(known):
                self._pieces += [(column, low, high) for low, high in pairwise(_points(known))]

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self._pieces) + len(self._missing)

    def columns(self, features: Floats) -> Floats:
        """Columns of rows, float64 of shape (n, width)."""
        turned = np.ascontiguousarray(features.T)
        found = np.empty((self.width, len(features)))
        for place, (column, low, high) in enumerate(self._pieces):
            np.clip((turned[column] - low) / (high - low), 0.0, 1.0, out=found[place])
        for place, column in enumerate(self._missing, len(self._pieces)):
            found[place] = np.isnan(turned[column])
        found[np.isnan(found)] = 0.0
        return np.ascontiguousarray(found.T)


def _points(known: Floats) -> list[float]:
    distinct = np.unique(known)
    if len(distinct) <= PIECES + 1:
        return [float(each) for each in distinct]
    deciles = np.unique(np.quantile(known, np.linspace(0, 1, PIECES + 1), method="lower"))
    return [float(each) for each in deciles]


class RampRegression:
    """A logistic regression on the ramps, standardised, with a ridge.

    Parameters
    ----------
    features
        Shape (n, k), NaN for null.
    target
        Outcomes, shape (n,), 0 or 1.
    rows, kept_max
        Rows that are worked on at a time, and numbers in columns that are kept between passes: memory for time.
    """

    def __init__(self, features: Floats, target: Floats, *, rows: int = ROWS, kept_max: int = KEPT_MAX) -> None:
        slices = [slice(begin, min(begin + rows, len(features))) for begin in range(0, len(features), rows)]
        self._ramps = DecileRamps(features)
        sums, squares = np.zeros(self._ramps.width), np.zeros(self._ramps.width)
        for part in slices:
            columns = self._ramps.columns(features[part])
            sums += columns.sum(axis=0)
            squares += (columns**2).sum(axis=0)
        self._centre = sums / len(features)
        self._spread = np.sqrt(np.maximum(squares / len(features) - self._centre**2, _SPREAD_MIN**2))

        kept: list[tuple[slice, Floats]] = []
        if len(features) * self._ramps.width <= kept_max:
            kept = [(part, self._columns(features[part])) for part in slices]

        def parts() -> Iterator[tuple[slice, Floats]]:
            if kept:
                yield from kept
                return
            for part in slices:
                yield part, self._columns(features[part])

        self._weights = weights(parts, target, self._ramps.width + 1)

    def predict(self, features: Floats) -> Floats:
        """Risks of rows, shape (n,)."""
        return sigmoid(self._columns(features) @ self._weights)

    def _columns(self, features: Floats) -> Floats:
        return with_one((self._ramps.columns(features) - self._centre) / self._spread)
