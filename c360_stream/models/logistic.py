"""Second-order logistic regression, one example at a time."""

from __future__ import annotations

import math

import numpy as np

from c360_stream.arrays.blas import one_blas_thread
from c360_stream.models.classifier import RowClassifier, sigmoid
from c360_stream.models.columns import Floats, grown
from c360_stream.state.fields import copied, fields

FORGET_EVERY = 32
# Of an example without information: keeps what is divided by its root finite.
_CURVATURE_MIN = 1e-12


class SecondOrderLogistic(RowClassifier):
    """Logistic regression that keeps the covariance of its weights (extended Kalman filter, online Newton step).

    An example moves each weight in proportion to how unsure the model still is about it, so there is no learning rate.
    Forgetting lets the covariance relax towards the prior's at a small rate. It regains room to follow a change of
    concept and never exceeds the prior, so the model cannot blow up, as it can under plain inflation.

    Parameters
    ----------
    names
        Columns of the array forms; further names get a column as they appear in dicts.
    prior_variance
        Variance of a weight before any example, in squared log-odds per unit of its column: the L2 penalty.
    intercept
        Log-odds before any example.
    intercept_variance
        Variance of the intercept before any example.
    forgetting
        Share of the way back to the prior's covariance, per example. The default remembers some 30,000 examples:
        against a tenth of it, it won 0.035 of ROC-AUC after a change of concept and lost 0.001 without one (means
        over six simulated companies).
    start
        Weights of the first columns before any example; those of the others are 0.

    Examples
    --------
    >>> model = SecondOrderLogistic()
    >>> for _ in range(100):
    ...     model.learn_one({"idle": 1.0}, True)
    ...     model.learn_one({"idle": -1.0}, False)
    >>> model.predict_proba_one({"idle": 1.0})[True] > 0.7
    True

    References
    ----------
    MacKay, "The evidence framework applied to classification networks", 1992: the prediction moderated by
    the weights' uncertainty. Ollivier, "Online natural gradient as a Kalman filter", 2018. Kulhavy and Zarrop,
    "On a general concept of forgetting", 1993: forgetting towards a prior.
    """

    kept = fields(_examples=int, _weights=copied(Floats), _covariance=copied(Floats))

    def __init__(
        self,
        names: tuple[str, ...] | None = None,
        prior_variance: float = 0.1,
        intercept: float = -2.4,
        intercept_variance: float = 4.0,
        forgetting: float = 3e-7,
        *,
        start: tuple[float, ...] | None = None,
    ) -> None:
        one_blas_thread()
        self.names = names
        self.prior_variance = prior_variance
        self.intercept = intercept
        self.intercept_variance = intercept_variance
        self.forgetting = forgetting
        self._examples = 0
        self._covariance = np.array([[intercept_variance]])
        self.start = start
        self._begin(names, intercept)
        if start:
            self._weights[1 : len(start) + 1] = start

    def learn_rows(self, rows: Floats, outcomes: Floats, importance: Floats | None = None) -> Floats:
        """Learn examples one after another; return each one's log-odds from just before it was learnt.

        An example of importance 2 counts like two. Rounding apart, it does not matter how examples are cut into calls.
        """
        counts = np.ones(len(rows)) if importance is None else importance
        before = np.empty(len(rows))
        first = 0
        while first < len(rows):
            # Blocks end where forgetting is due.
            last = min(first + FORGET_EVERY - self._examples % FORGET_EVERY, len(rows))
            part = slice(first, last)
            before[part] = self._learn_block(rows[part], outcomes[part].tolist(), counts[part].tolist())
            self._examples += last - first
            if self._examples % FORGET_EVERY == 0:
                self._forget()
            first = last
        return before

    def _learn_block(self, rows: Floats, outcomes: list[float], counts: list[float]) -> Floats:
        """Learn a few examples one after another, at the cost of a few matrix products.

        What an example's update changes for the examples after it follows from their products with the covariance alone
        (n by n). So weights and covariance (columns by columns) are touched once per block, which takes two thirds of
        the time of an update per example.
        """
        n = len(rows)
        x = np.concatenate([np.ones((n, 1)), rows], axis=1)
        gains = self._covariance @ x.T
        products, start = x @ gains, (x @ self._weights).tolist()
        before = [0.0] * n
        # Row i: the i-th example's product with every example, scaled by the root of what it takes away.
        scaled, steps, roots = np.zeros((n, n)), np.zeros(n), np.ones(n)
        for i, (y, count) in enumerate(zip(outcomes, counts, strict=True)):
            taken = scaled[:i, i]
            product = products[i] - taken @ scaled[:i]
            uncertainty, z = max(float(product[i]), 0.0), start[i] + float(taken @ steps[:i])
            before[i] = z
            p = sigmoid(z / math.sqrt(1.0 + math.pi / 8.0 * uncertainty))
            curvature = max(count * p * (1.0 - p), _CURVATURE_MIN)
            step = 1.0 / (1.0 + curvature * uncertainty)
            root = roots[i] = math.sqrt(curvature * step)
            steps[i] = count * (y - p) * step / root
            np.multiply(product, root, out=scaled[i])
        # The same for the columns: each example's gain before the block, less what the examples before it took away.
        triangle = np.triu(scaled, 1)
        triangle[np.diag_indices(n)] = 1.0 / roots
        moved = np.linalg.solve(triangle.T, gains.T)
        self._weights += steps @ moved
        self._covariance -= moved.T @ moved
        return np.array(before)

    def _forget(self) -> None:
        share = min(self.forgetting * FORGET_EVERY, 1.0)
        self._covariance *= 1.0 - share
        diagonal = np.einsum("ii->i", self._covariance)
        diagonal += share * self.prior_variance
        diagonal[0] += share * (self.intercept_variance - self.prior_variance)

    def _grow(self, columns: int) -> None:
        known = len(self._weights)
        if known < columns + 1:
            covariance = np.diag(np.full(columns + 1, self.prior_variance))
            covariance[:known, :known] = self._covariance
            self._covariance = covariance
            self._weights = grown(self._weights, columns + 1)

    def _shrink(self, columns: int) -> None:
        self._weights = self._weights[: columns + 1].copy()
        self._covariance = self._covariance[: columns + 1, : columns + 1].copy()
