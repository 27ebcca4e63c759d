"""What a churn model needs of its classifier: a River classifier that also takes arrays, and is linear in them."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import numpy as np
from river import base

from c360_stream.models.columns import Columns, Floats
from c360_stream.state.fields import Kept

LOG_ODDS_MAX = 15.0


class RowClassifier(base.Classifier, Kept):
    """Binary classifier whose log-odds are a weighted sum of its columns.

    Because it is linear in them, a version of the model can be written down as one curve per feature, and a score's
    contributions add up to its log-odds, whatever the classifier.
    """

    _columns: Columns
    _weights: Floats  # the intercept, then one per column

    def _begin(self, names: tuple[str, ...] | None, intercept: float) -> None:
        """Start with these columns; further names get a column as they appear in dicts."""
        self._columns = Columns(names or ())
        self._weights = np.array([intercept])
        self._grow(len(self._columns))

    @abstractmethod
    def _grow(self, columns: int) -> None:
        """Make room for this many columns."""

    @abstractmethod
    def _shrink(self, columns: int) -> None:
        """Keep only the first columns, as many as given."""

    def fit_columns(self) -> None:
        """Have a weight for each named column and no other, after going back to a state with more or fewer."""
        columns = len(self._columns)
        self._grow(columns)
        if len(self._weights) > columns + 1:
            self._shrink(columns)

    @abstractmethod
    def learn_rows(self, rows: Floats, outcomes: Floats, importance: Floats | None = None) -> Floats:
        """Learn examples one after another; return each one's log-odds from just before it was learnt.

        Parameters
        ----------
        rows
            Shape (n, columns).
        outcomes
            Shape (n,), 0 or 1.
        importance
            Shape (n,): how many examples each one counts for; 1 if absent.
        """

    def learn_one(self, x: dict[Any, Any], y: Any, **kwargs: Any) -> None:
        """Learn one example; names that `x` lacks count as 0."""
        self._columns.learn(x)
        self._grow(len(self._columns))
        self.learn_rows(self._columns.row(x, absent=0.0)[None, :], np.array([float(y)]))

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """The probability of each class."""
        risk = sigmoid(self.log_odds_one(x))
        return {False: 1.0 - risk, True: risk}

    def log_odds_one(self, x: dict[Any, Any]) -> float:
        """Log-odds of True."""
        self._grow(len(self._columns))
        return float(self.log_odds_rows(self._columns.row(x, absent=0.0)[None, :])[0])

    def log_odds_rows(self, rows: Floats, weights: Floats | None = None) -> Floats:
        """Log-odds of True, shape (n,).

        Parameters
        ----------
        rows
            Shape (n, columns).
        weights
            What stands in for the learnt ones, shape (1 + columns,).
        """
        weights = self._weights if weights is None else weights
        log_odds = np.full(len(rows), weights[0])
        for weight, column in zip(weights[1:], rows.T, strict=True):
            log_odds += weight * column
        return log_odds

    @property
    def weights(self) -> Floats:
        """The intercept, then a weight for each column; shape (1 + columns,)."""
        return self._weights.copy()


def sigmoid(log_odds: float) -> float:
    """Probability of log-odds, which are held within +-15 so that it is never 0 or 1."""
    return 1.0 / (1.0 + math.exp(-max(-LOG_ODDS_MAX, min(LOG_ODDS_MAX, log_odds))))


def logit(probability: float) -> float:
    """Log-odds of a probability strictly between 0 and 1.

    >>> logit(0.5)
    0.0
    """
    return math.log(probability / (1.0 - probability))


def logits(probabilities: Floats) -> Floats:
    """`logit` of each probability, shape (n,); NaN stays.

    >>> logits(np.array([0.5, np.nan])).tolist()
    [0.0, nan]
    """
    # Not numpy's logarithm, whose last bit depends on the place in the array.
    return np.array([p if math.isnan(p) else logit(p) for p in probabilities.tolist()], np.float64)
