"""What a model version is: immutable, plain data, all that a score needs besides the features."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.records import ExplainedBy
from c360_stream.features.definitions import FEATURE_VERSION
from c360_stream.models.classifier import LOG_ODDS_MAX
from c360_stream.models.columns import Floats
from c360_stream.models.horizons import RiskCurve


class Scored(NamedTuple):
    """Scores of n rows: `base_log_odds` plus a row's contributions is the log-odds of its risk."""

    risk: Floats
    contributions: Floats
    base_log_odds: float


class ModelVersion(Protocol):
    """One version of a model, whatever kind of model it is.

    A row gets the same bits whether it is scored alone or among many, in every process, whatever the layout of the
    array. Implementations are frozen dataclasses; `models/version_json.py` knows all of them.
    """

    @property
    def model_name(self) -> str:
        """Which model this is."""

    @property
    def model_version(self) -> str:
        """Date and digest of the parameters: equal versions, and only they, have equal names."""

    @property
    def as_of_day(self) -> int:
        """Tick at which it was made, in days since the Unix epoch."""

    @property
    def base_log_odds(self) -> float:
        """Log-odds of the average account."""

    @property
    def exposures(self) -> Mapping[int, float]:
        """Day -> share of the product's usual usage that could happen that day, for days with less than all of it."""

    @property
    def calibrated(self) -> bool:
        """Whether its risks can be taken for probabilities.

        Not those of a rule of judgement, and not while it is known that the concept has drifted.
        """

    @property
    def curve(self) -> RiskCurve | None:
        """Risks over other horizons; None for a model that does not score."""

    @property
    def explained_by(self) -> ExplainedBy:
        """How the contributions are found."""

    def score(self, features: Floats, as_of_us: int | NDArray[np.int64]) -> Scored:
        """Score rows.

        Parameters
        ----------
        features
            Shape (n, 21), NaN for null, in the order of the feature definitions. Never changed.
        as_of_us
            As-of time of every row, or of each.
        """

    def risks(self, features: Floats, as_of_us: int | NDArray[np.int64]) -> Floats:
        """The risks that `score` gives, to the bit, shape (n,); cheaper where contributions cost."""

    def revised(self, *, calibrated: bool, curve: RiskCurve | None) -> ModelVersion:
        """The same model with another word on its calibration, and a risk curve."""

    def to_json(self) -> str:
        """Canonical JSON for `version_from_json`; numbers are written so that they come back bit for bit."""


def version_name(as_of_day: int, content: str) -> str:
    """What a version is called: its date, and a digest of its content.

    >>> version_name(20_000, "{}")
    '2024-10-04-44136fa355b3'
    """
    return f"{np.datetime64(as_of_day, 'D')}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def canonical_json(version: ModelVersion, **parameters: Any) -> str:
    """A version as JSON: what all have, and the parameters of its kind."""
    common = {
        "model_name": version.model_name,
        "as_of_day": version.as_of_day,
        "feature_version": FEATURE_VERSION,
        "exposures": {str(day): share for day, share in version.exposures.items()},
        "calibrated": version.calibrated,
        "curve": version.curve and version.curve.plain(),
    }
    return json.dumps(common | parameters, sort_keys=True, separators=(",", ":"), allow_nan=False)


def probabilities(log_odds: Floats) -> Floats:
    """Risk of each log-odds, shape (n,), which are within the limit.

    The exponential is `math.exp`: numpy's gives other last bits for other strides.
    """
    return np.array([1.0 / (1.0 + math.exp(-z)) for z in log_odds.tolist()], np.float64)


def bounded(log_odds: Floats, contributions: Floats, base: float) -> Floats:
    """Hold log-odds within the limit, shrinking a row's contributions (in place) so that they still add up."""
    if not (np.abs(log_odds) > LOG_ODDS_MAX).any():
        return log_odds
    held = np.clip(log_odds, -LOG_ODDS_MAX, LOG_ODDS_MAX)
    outside = held != log_odds
    contributions[outside] *= ((held[outside] - base) / (log_odds[outside] - base))[:, None]
    return held
