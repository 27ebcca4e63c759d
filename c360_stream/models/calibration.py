"""Online calibration: maps raw log-odds to those that matured outcomes bear out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from river import base

from c360_stream.models.classifier import RowClassifier, sigmoid
from c360_stream.models.columns import Floats
from c360_stream.models.logistic import SecondOrderLogistic
from c360_stream.state.fields import Kept, fields


class LogOddsMap(Kept):
    """A slope and an offset that turn one log-odds into another, learnt from predictions made before the outcome.

    The pair is learnt as `SecondOrderLogistic` learns its weights, from where it starts, so with few outcomes it stays
    there.

    Parameters
    ----------
    slope, offset
        Before any example.
    slope_variance
        Prior variance of the slope.
    offset_variance
        Prior variance of the offset, in squared log-odds.
    forgetting
        Share of the way back to the prior's covariance, per example.

    Examples
    --------
    >>> corrected = LogOddsMap()
    >>> for _ in range(500):
    ...     _ = corrected.learn(2.0, 0.0), corrected.learn(2.0, 1.0)
    >>> abs(corrected.slope * 2.0 + corrected.offset) < 0.1
    True
    """

    kept = fields(slope=float, offset=float, _covariance=tuple[float, float, float])

    def __init__(
        self,
        slope: float = 1.0,
        offset: float = 0.0,
        slope_variance: float = 0.1,
        offset_variance: float = 0.25,
        forgetting: float = 1e-7,
    ) -> None:
        self.slope, self.offset = slope, offset
        self._slope_variance, self._offset_variance = slope_variance, offset_variance
        self._forgetting = forgetting
        # Of slope and offset: variance, covariance, variance.
        self._covariance = (slope_variance, 0.0, offset_variance)

    def learn(self, z: float, y: float, count: float = 1.0) -> float:
        """Learn from one log-odds and its outcome, 0 or 1, as if it came `count` times; return it as mapped before."""
        mapped = self.slope * z + self.offset
        p = sigmoid(mapped)
        ss, so, oo = self._covariance
        slope_gain, offset_gain = ss * z + so, so * z + oo
        error, curvature = count * (y - p), count * p * (1.0 - p)
        step = 1.0 / (1.0 + curvature * (slope_gain * z + offset_gain))
        self.slope += slope_gain * error * step
        self.offset += offset_gain * error * step
        shrink, keep, share = curvature * step, 1.0 - self._forgetting, self._forgetting
        self._covariance = (
            keep * (ss - slope_gain * slope_gain * shrink) + share * self._slope_variance,
            keep * (so - slope_gain * offset_gain * shrink),
            keep * (oo - offset_gain * offset_gain * shrink) + share * self._offset_variance,
        )
        return mapped


class PlattScaling(base.Wrapper[RowClassifier], base.Classifier, Kept):
    """Corrects a classifier's log-odds by a slope and an offset learnt from predictions made before learning.

    It starts with no correction, and learns from the classifier's prediction just before it learnt each example: a
    prediction made afterwards flatters it.

    Parameters
    ----------
    classifier
        What to correct.
    slope_variance
        Prior variance of the slope about 1.
    offset_variance
        Prior variance of the offset about 0, in squared log-odds.
    forgetting
        Share of the way back to the prior's covariance, per example.
    start
        Offset before any example.

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines", 1999.
    """

    kept = fields(_map=LogOddsMap)

    def __init__(
        self,
        classifier: RowClassifier,
        slope_variance: float = 0.1,
        offset_variance: float = 0.25,
        forgetting: float = 1e-7,
        start: float = 0.0,
    ) -> None:
        self.classifier = classifier
        self.slope_variance = slope_variance
        self.offset_variance = offset_variance
        self.forgetting = forgetting
        self.start = start
        self._map = LogOddsMap(1.0, start, slope_variance, offset_variance, forgetting)

    @property
    def slope(self) -> float:
        """Factor of the log-odds."""
        return self._map.slope

    @property
    def offset(self) -> float:
        """What is added to them."""
        return self._map.offset

    @property
    def _wrapped_model(self) -> RowClassifier:
        return self.classifier

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, RowClassifier]]:
        yield {"classifier": SecondOrderLogistic()}

    def learn_one(self, x: dict[Any, Any], y: Any, **kwargs: Any) -> None:
        """Learn one example: first the correction, then the classifier."""
        self._map.learn(self.classifier.log_odds_one(x), float(y))
        self.classifier.learn_one(x, y, **kwargs)

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """The calibrated probability of each class."""
        risk = sigmoid(self.slope * self.classifier.log_odds_one(x) + self.offset)
        return {False: 1.0 - risk, True: risk}

    def learn_rows(self, rows: Floats, outcomes: Floats, importance: Floats | None = None) -> Floats:
        """Learn examples one after another; return each one's calibrated log-odds from just before.

        Parameters as in `RowClassifier.learn_rows`.
        """
        before = self.classifier.learn_rows(rows, outcomes, importance)
        return self.correct_rows(before, outcomes, importance)

    def correct_rows(self, log_odds: Floats, outcomes: Floats, importance: Floats | None = None) -> Floats:
        """Learn slope and offset alone, from log-odds predicted earlier; return them as corrected before."""
        counts = [1.0] * len(outcomes) if importance is None else importance.tolist()
        examples = zip(log_odds.tolist(), outcomes.tolist(), counts, strict=True)
        return np.array([self._map.learn(z, y, count) for z, y, count in examples], np.float64)

    def log_odds_rows(self, rows: Floats) -> Floats:
        """Calibrated log-odds of True, shape (n,)."""
        return self.slope * self.classifier.log_odds_rows(rows) + self.offset
