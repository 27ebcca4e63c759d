"""The additive model version: a sum of curves, one per feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.records import ExplainedBy
from c360_stream.features.definitions import INDEX
from c360_stream.models.columns import Floats
from c360_stream.models.exposure import corrected
from c360_stream.models.horizons import PlainCurve, RiskCurve
from c360_stream.models.version import Scored, bounded, canonical_json, probabilities, version_name


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


class PlainAdditive(TypedDict):
    """An additive version as JSON."""

    model_name: str
    as_of_day: int
    base_log_odds: float
    curves: dict[str, _CurveFields]
    exposures: dict[str, float]
    calibrated: NotRequired[bool]
    curve: NotRequired[PlainCurve | None]


@dataclass(frozen=True)
class AdditiveVersion:
    """One version of a model that is a sum of curves: see `ModelVersion`.

    Each number is computed by itself, and features are added up in their order. Its JSON names no kind: it was the
    only one once.

    Parameters
    ----------
    model_name, as_of_day, exposures, calibrated, curve
        As in `ModelVersion`.
    base_log_odds
        Log-odds of the average account.
    curves
        Feature -> curve; a feature without one adds nothing.
    """

    explained_by: ClassVar[ExplainedBy] = "contributions"

    model_name: str
    as_of_day: int
    base_log_odds: float
    curves: Mapping[str, Curve]
    exposures: Mapping[int, float] = field(default_factory=dict)
    calibrated: bool = True
    curve: RiskCurve | None = None

    @cached_property
    def model_version(self) -> str:
        """Date and digest of the parameters."""
        return version_name(self.as_of_day, self.to_json())

    def score(self, features: Floats, as_of_us: int | NDArray[np.int64]) -> Scored:
        """Score rows; see `ModelVersion.score`."""
        features = corrected(features, as_of_us, self.exposures)
        contributions = np.zeros(features.shape)
        log_odds = np.full(len(features), self.base_log_odds)
        for column, curve in self._columns:
            added = curve.contributions(np.ascontiguousarray(features[:, column]))
            contributions[:, column] = added
            log_odds += added
        log_odds = bounded(log_odds, contributions, self.base_log_odds)
        return Scored(probabilities(log_odds), contributions, self.base_log_odds)

    def risks(self, features: Floats, as_of_us: int | NDArray[np.int64]) -> Floats:
        """The risks alone, shape (n,)."""
        return self.score(features, as_of_us).risk

    @cached_property
    def _columns(self) -> list[tuple[int, Curve]]:
        return sorted(((INDEX[name], curve) for name, curve in self.curves.items()), key=lambda pair: pair[0])

    def revised(self, *, calibrated: bool, curve: RiskCurve | None) -> AdditiveVersion:
        """The same model with another word on its calibration, and a risk curve."""
        return replace(self, calibrated=calibrated, curve=curve)

    def to_json(self) -> str:
        """Canonical JSON."""
        curves = {
            name: {"at": curve.at, "log_odds": curve.log_odds, "null": curve.null}
            for name, curve in self.curves.items()
        }
        return canonical_json(self, base_log_odds=self.base_log_odds, curves=curves)

    @classmethod
    def from_plain(cls, value: PlainAdditive) -> AdditiveVersion:
        """What JSON holds of one; raises `KeyError`, `TypeError` or the like if it is none."""
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
