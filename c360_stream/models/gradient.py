"""Logistic regression by adaptive gradient steps, one example at a time."""

from __future__ import annotations

import numpy as np

from c360_stream.models.classifier import RowClassifier, sigmoid
from c360_stream.models.columns import Floats, grown
from c360_stream.state.fields import copied, fields


class GradientLogistic(RowClassifier):
    """Logistic regression with a step size of its own for each weight (AdaGrad).

    It knows nothing of how its columns go together, so it is cheaper than the second-order one and learns more slowly.
    Steps are scaled by the recent gradients, so that it never stops following a change.

    Parameters
    ----------
    names
        Columns of the array forms; further names get a column as they appear in dicts.
    rate
        Step of a weight at its first gradient.
    intercept
        Log-odds before any example.
    memory_examples
        Over how many examples a gradient is remembered.

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 2011.
    """

    kept = fields(_weights=copied(Floats), _squares=copied(Floats))

    def __init__(
        self,
        names: tuple[str, ...] | None = None,
        rate: float = 0.05,
        intercept: float = -2.4,
        memory_examples: float = 30_000.0,
    ) -> None:
        self.names = names
        self.rate = rate
        self.intercept = intercept
        self.memory_examples = memory_examples
        self._squares = np.array([1.0])
        self._begin(names, intercept)

    def learn_rows(self, rows: Floats, outcomes: Floats, importance: Floats | None = None) -> Floats:
        """Learn examples one after another; see `RowClassifier`."""
        counts = [1.0] * len(rows) if importance is None else importance.tolist()
        x = np.ones(len(self._weights))
        weights, squares = self._weights, self._squares
        keep = 1.0 - 1.0 / self.memory_examples
        before = np.empty(len(rows))
        for i, (y, count) in enumerate(zip(outcomes.tolist(), counts, strict=True)):
            x[1:] = rows[i]
            before[i] = log_odds = float(np.add.reduce(weights * x))
            gradient = x * (count * (sigmoid(log_odds) - y))
            squares *= keep
            squares += gradient * gradient
            weights -= self.rate * gradient / np.sqrt(squares)
        return before

    def _grow(self, columns: int) -> None:
        known = len(self._weights)
        if known < columns + 1:
            self._weights = grown(self._weights, columns + 1)
            self._squares = np.concatenate([self._squares, np.ones(columns + 1 - known)])

    def _shrink(self, columns: int) -> None:
        self._weights, self._squares = self._weights[: columns + 1].copy(), self._squares[: columns + 1].copy()
