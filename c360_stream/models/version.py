"""Model versions: immutable, plain data, all that a score needs besides the features."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from c360_stream.errors import StateError
from c360_stream.features.definitions import FEATURE_VERSION, INDEX
from c360_stream.models.classifier import LOG_ODDS_MAX
from c360_stream.models.columns import Floats
from c360_stream.models.exposure import corrected
from c360_stream.models.horizons import PlainCurve, RiskCurve


@dataclass(frozen=True)
class Curve:
    """What one feature adds to the log-odds: linear between points, flat outside them.

    Parameters
    ----------
    at
        Values of the feature, ascending.
    log_odds
        What the feature adds at each of them, against the average account.
    null
        What it adds when it is null.
    """

    at: tuple[float, ...]
    log_odds: tuple[float, ...]
    null: float

    def contributions(self, values: Floats) -> Floats:
        """What each value adds to the log-odds, shape (n,)."""
        return np.where(np.isnan(values), self.null, np.interp(values, self.at, self.log_odds))


class _CurveFields(TypedDict):
    at: list[float]
    log_odds: list[float]
    null: float


class _VersionFields(TypedDict):
    """A version as JSON."""

    model_name: str
    as_of_day: int
    feature_version: int
    base_log_odds: float
    curves: dict[str, _CurveFields]
    exposures: dict[str, float]
    calibrated: NotRequired[bool]
    curve: NotRequired[PlainCurve | None]


class Scored(NamedTuple):
    """Scores of n rows: `base_log_odds` plus a row's contributions is the log-odds of its risk."""

    risk: Floats
    contributions: Floats
    base_log_odds: float


@dataclass(frozen=True)
class ModelVersion:
    """One version of a model: a sum of curves, one per feature.

    A row gets the same bits whether it is scored alone or among many, whatever the layout of the array. Each number is
    computed by itself, features are added up in their order, and the exponential is `math.exp`: numpy's gives other
    last bits for other strides.

    Parameters
    ----------
    model_name
        Which kind of model this is.
    as_of_day
        Tick at which it was made, in days since the Unix epoch.
    base_log_odds
        Log-odds of the average account.
    curves
        Feature -> curve; a feature without one adds nothing.
    exposures
        Day -> share of the product's usual usage that could happen that day, for days with less than all of it.
    calibrated
        Whether its risks can be taken for probabilities: not those of a rule of judgement, and not while it is known
        that the concept has drifted.
    curve
        Risks over other horizons; None for a model that does not score.
    """

    model_name: str
    as_of_day: int
    base_log_odds: float
    curves: Mapping[str, Curve]
    exposures: Mapping[int, float] = field(default_factory=dict)
    calibrated: bool = True
    curve: RiskCurve | None = None

    @cached_property
    def model_version(self) -> str:
        """Date and digest of the parameters: equal versions, and only they, have equal names."""
        date = str(np.datetime64(self.as_of_day, "D"))
        return f"{date}-{hashlib.sha256(self.to_json().encode()).hexdigest()[:12]}"

    def score(self, features: Floats, as_of_us: int | NDArray[np.int64]) -> Scored:
        """Score rows.

        Parameters
        ----------
        features
            Shape (n, 21), NaN for null, in the order of the feature definitions.
        as_of_us
            As-of time of every row, or of each.
        """
        features = corrected(features, as_of_us, self.exposures)
        contributions = np.zeros(features.shape)
        log_odds = np.full(len(features), self.base_log_odds)
        for column, curve in self._columns:
            added = curve.contributions(np.ascontiguousarray(features[:, column]))
            contributions[:, column] = added
            log_odds += added
        if (np.abs(log_odds) > LOG_ODDS_MAX).any():
            log_odds = _bound(log_odds, contributions, self.base_log_odds)
        risk = np.array([1.0 / (1.0 + math.exp(-z)) for z in log_odds.tolist()], np.float64)
        return Scored(risk, contributions, self.base_log_odds)

    @cached_property
    def _columns(self) -> list[tuple[int, Curve]]:
        return sorted(((INDEX[name], curve) for name, curve in self.curves.items()), key=lambda pair: pair[0])

    def to_json(self) -> str:
        """Canonical JSON; numbers are written so that they come back bit for bit."""
        return json.dumps(
            {
                "model_name": self.model_name,
                "as_of_day": self.as_of_day,
                "feature_version": FEATURE_VERSION,
                "base_log_odds": self.base_log_odds,
                "curves": {
                    name: {"at": curve.at, "log_odds": curve.log_odds, "null": curve.null}
                    for name, curve in self.curves.items()
                },
                "exposures": {str(day): share for day, share in self.exposures.items()},
                "calibrated": self.calibrated,
                "curve": self.curve and self.curve.plain(),
            },
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelVersion:
        """Read what `to_json` wrote.

        Raises
        ------
        StateError
            If it is not a model version of this feature version.
        """
        try:
            value: _VersionFields = json.loads(text)
            if value["feature_version"] != FEATURE_VERSION:
                raise StateError(
                    f"model version is for feature version {value['feature_version']}, not {FEATURE_VERSION}",
                    "run the release that wrote it, or replay the log to learn anew",
                )
            return cls(
                model_name=value["model_name"],
                as_of_day=value["as_of_day"],
                base_log_odds=float(value["base_log_odds"]),
                curves={
                    name: Curve(tuple(curve["at"]), tuple(curve["log_odds"]), curve["null"])
                    for name, curve in value["curves"].items()
                },
                exposures={int(day): share for day, share in value["exposures"].items()},
                calibrated=bool(value.get("calibrated", True)),
                curve=RiskCurve.from_plain(curve) if (curve := value.get("curve")) else None,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(
                f"not a model version: {type(error).__name__} {error}", "take the text that was stored"
            ) from None


def _bound(log_odds: Floats, contributions: Floats, base: float) -> Floats:
    """Hold log-odds within the limit, shrinking a row's contributions (in place) so that they still add up."""
    bounded = np.clip(log_odds, -LOG_ODDS_MAX, LOG_ODDS_MAX)
    outside = bounded != log_odds
    contributions[outside] *= ((bounded[outside] - base) / (log_odds[outside] - base))[:, None]
    return bounded
