"""The version of a declared River model: explained by occlusion, since nothing is known of what is inside.

A group of features is replaced by the average account's values, and what the log-odds lose is the group's part. Parts
of a model that is no sum do not add up by themselves: what is missing, or too much, is shared among the groups by the
size of their parts. Within a group all features share alike.
"""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import ClassVar, TypedDict

import numpy as np
from numpy.typing import NDArray
from river import base

from c360_stream.contracts.records import ExplainedBy
from c360_stream.errors import StateError
from c360_stream.features.definitions import FEATURES, GROUPS, NULLABLE, SPECS
from c360_stream.models.classifier import LOG_ODDS_MAX, logit
from c360_stream.models.columns import Floats
from c360_stream.models.declared import Row, as_dicts, imputed, probability
from c360_stream.models.exposure import corrected
from c360_stream.models.horizons import PlainCurve, RiskCurve
from c360_stream.models.version import Scored, bounded, canonical_json, probabilities, version_name

KIND = "river"
# Models that are unpickled at once, in each thread: the version that scores and the one before it.
_UNPICKLED_MAX = 8


def _columns_of(group: str) -> list[int]:
    """Columns of the imputed rows that belong to a group, indicators of null among them."""
    own = [column for column, spec in enumerate(SPECS) if spec.group == group]
    indicators = [len(FEATURES) + i for i, name in enumerate(NULLABLE) if FEATURES.index(name) in own]
    return own + indicators


_OCCLUDED = [_columns_of(group) for group in GROUPS]
_FEATURES_OF = [[column for column in columns if column < len(FEATURES)] for columns in _OCCLUDED]


@lru_cache(maxsize=_UNPICKLED_MAX)
def _unpickled(pickled: bytes, thread: int) -> base.Classifier:
    """A model to predict with; each thread has its own, since a prediction may use room inside the model."""
    model: base.Classifier = pickle.loads(pickled)  # noqa: S301 - from the process's own state
    return model


class PlainRiver(TypedDict):
    """A version of a declared model as JSON: all but the model."""

    model_name: str
    as_of_day: int
    learnt: str
    means: list[float]
    prior_log_odds: float
    slope: float
    offset: float
    exposures: dict[str, float]
    calibrated: bool
    curve: PlainCurve | None


@dataclass(frozen=True)
class RiverVersion:
    """One version of a declared model: see `ModelVersion`.

    The model itself is not in its JSON: it travels between the processes of a run and is kept in the recovery
    directory, as all of the engine's state is; what is in topics and tables is never unpickled.

    Parameters
    ----------
    model_name, as_of_day, exposures, calibrated, curve
        As in `ModelVersion`.
    pickled
        The model; empty for a version that was read from JSON, which cannot score.
    learnt
        Digest of the function that made it and of all that it was taught, in order: names the model, since pickles of
        equal models may differ.
    means
        The average account's values, which stand in for null, too.
    prior_log_odds
        What is taken where the model gives no probability, or fails.
    slope, offset
        The calibration.
    """

    explained_by: ClassVar[ExplainedBy] = "occlusion"

    model_name: str
    as_of_day: int
    pickled: bytes = field(compare=False, repr=False)
    learnt: str
    means: tuple[float, ...]
    prior_log_odds: float
    slope: float
    offset: float
    exposures: Mapping[int, float] = field(default_factory=dict)
    calibrated: bool = True
    curve: RiskCurve | None = None

    @cached_property
    def model_version(self) -> str:
        """Date and digest of the parameters."""
        return version_name(self.as_of_day, self.to_json())

    @property
    def base_log_odds(self) -> float:
        """Log-odds of the average account."""
        return float(np.clip(self._log_odds(self._average[None, :])[0], -LOG_ODDS_MAX, LOG_ODDS_MAX))

    @property
    def _average(self) -> Floats:
        return np.array([*self.means, *[0.0] * len(NULLABLE)])

    def score(self, features: Floats, as_of_us: int | NDArray[np.int64]) -> Scored:
        """Score rows; see `ModelVersion.score`. As many predictions a row as there are groups, and one more."""
        rows = self._rows(features, as_of_us)
        base_log_odds, log_odds, average = self.base_log_odds, self._log_odds(rows), self._average
        parts = np.zeros((len(GROUPS), len(rows)))
        for group, columns in enumerate(_OCCLUDED):
            occluded = rows.copy()
            occluded[:, columns] = average[columns]
            differs = np.flatnonzero((occluded != rows).any(axis=1))
            parts[group, differs] = log_odds[differs] - self._log_odds(occluded[differs])
        contributions = _shared(parts, log_odds - base_log_odds)
        log_odds = bounded(log_odds, contributions, base_log_odds)
        return Scored(probabilities(log_odds), contributions, base_log_odds)

    def risks(self, features: Floats, as_of_us: int | NDArray[np.int64]) -> Floats:
        """The risks alone, shape (n,): one prediction a row."""
        log_odds = self._log_odds(self._rows(features, as_of_us))
        return probabilities(np.clip(log_odds, -LOG_ODDS_MAX, LOG_ODDS_MAX))

    def _rows(self, features: Floats, as_of_us: int | NDArray[np.int64]) -> Floats:
        return imputed(corrected(features, as_of_us, self.exposures), np.array(self.means))

    def _log_odds(self, rows: Floats) -> Floats:
        """Calibrated log-odds of imputed rows; a row at which the model fails gets the prior."""
        if not self.pickled:
            raise StateError(
                f"{self.model_name} is a declared model, which the tables do not hold",
                "its scores can be explained, not rebuilt: only the run and its recovery directory have the model",
            )
        model = _unpickled(self.pickled, threading.get_ident())
        raw = [raw_log_odds(model, x, self.prior_log_odds) for x in as_dicts(rows)]
        return self.slope * np.array(raw, np.float64) + self.offset

    def revised(self, *, calibrated: bool, curve: RiskCurve | None) -> RiverVersion:
        """The same model with another word on its calibration, and a risk curve."""
        return replace(self, calibrated=calibrated, curve=curve)

    def to_json(self) -> str:
        """Canonical JSON of all but the model."""
        return canonical_json(
            self,
            kind=KIND,
            learnt=self.learnt,
            means=self.means,
            prior_log_odds=self.prior_log_odds,
            slope=self.slope,
            offset=self.offset,
        )

    @classmethod
    def from_plain(cls, value: PlainRiver) -> RiverVersion:
        """What JSON holds of one; raises `KeyError`, `TypeError` or the like if it is none."""
        return cls(
            model_name=value["model_name"],
            as_of_day=value["as_of_day"],
            pickled=b"",
            learnt=value["learnt"],
            means=tuple(value["means"]),
            prior_log_odds=float(value["prior_log_odds"]),
            slope=float(value["slope"]),
            offset=float(value["offset"]),
            exposures={int(day): share for day, share in value["exposures"].items()},
            calibrated=value["calibrated"],
            curve=RiskCurve.from_plain(curve) if (curve := value["curve"]) else None,
        )


def raw_log_odds(model: base.Classifier, x: Row, prior: float) -> float:
    """A model's log-odds before calibration; the prior's where it gives none, or fails.

    The learner notices a failure by itself, at its next tick, and takes the model out.
    """
    try:
        found = probability(model, x)
    except Exception:
        return prior
    return prior if found is None else logit(found)


def taught(digest: str, rows: Floats, outcomes: NDArray[np.bool_]) -> str:
    """The digest of all that a model was taught, after some more rows: shapes (n, columns) and (n,)."""
    content = [digest.encode(), np.ascontiguousarray(rows).tobytes(), np.ascontiguousarray(outcomes).tobytes()]
    return hashlib.sha256(b"".join(content)).hexdigest()[:32]


def _shared(parts: Floats, whole: Floats) -> Floats:
    """What each feature adds, shape (n, 21), given parts of groups, shape (groups, n), and what they have to add up to.

    Numbers are added one after another: the same bits for any number of rows.
    """
    total, size = np.zeros(len(whole)), np.zeros(len(whole))
    for part in parts:
        total += part
        size += np.abs(part)
    nothing = size == 0.0
    rest = whole - total
    contributions = np.zeros((len(whole), len(FEATURES)))
    for part, columns in zip(parts, _FEATURES_OF, strict=True):
        share = np.where(nothing, 1.0 / len(parts), np.abs(part) / np.where(nothing, 1.0, size))
        contributions[:, columns] = ((part + rest * share) / len(columns))[:, None]
    return contributions
