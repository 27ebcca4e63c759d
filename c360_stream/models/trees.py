"""Boosted trees: how LightGBM is fitted, its text, and the model version that scores with it.

LightGBM is optional (extra `trees`). Nothing is imported before it is needed, and a text is parsed once a process, for
all of its shards.

References
----------
Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", NIPS 2017. Lundberg et al., "From local
explanations to global understanding with explainable AI for trees", Nature Machine Intelligence 2, 2020: TreeSHAP,
which gives the contributions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.records import ExplainedBy
from c360_stream.errors import StateError
from c360_stream.features.definitions import FEATURES
from c360_stream.models.classifier import LOG_ODDS_MAX
from c360_stream.models.columns import Floats
from c360_stream.models.exposure import corrected
from c360_stream.models.horizons import PlainCurve, RiskCurve
from c360_stream.models.version import Scored, bounded, canonical_json, probabilities, version_name

KIND = "trees"
ROUNDS = 150
PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 20,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
"""What a careful person sets; the rest are LightGBM's defaults. The last five make equal input give equal bits."""

# What loading a tree and TreeSHAP need; gains and weights of leaves are half of the text.
_KEPT = re.compile(
    r"tree$|(version|num_class|num_tree_per_iteration|label_index|max_feature_idx|objective|feature_names|"
    r"feature_infos|Tree|num_leaves|num_cat|split_feature|threshold|decision_type|left_child|right_child|leaf_value|"
    r"leaf_count|internal_count|is_linear|shrinkage)=|end of trees|$"  # an empty line ends a tree
)
# Texts that are parsed at once: the version that scores, the one before it, and the learner's.
_PARSED_MAX = 8


class Ensemble(NamedTuple):
    """Trees that are ready to predict, and their mean log-odds over the examples that they were fitted to."""

    booster: Any
    expected: float

    def log_odds(self, features: Floats) -> Floats:
        """Log-odds before calibration, shape (n,)."""
        if not len(features):
            return np.zeros(0)
        return np.asarray(self.booster.predict(np.ascontiguousarray(features), raw_score=True, num_threads=1))

    def contributions(self, features: Floats) -> Floats:
        """What each feature adds to `expected`, shape (n, 21): TreeSHAP. Some 0.3 ms a row."""
        if not len(features):
            return np.zeros(features.shape)
        parts = np.asarray(self.booster.predict(np.ascontiguousarray(features), pred_contrib=True, num_threads=1))
        return np.ascontiguousarray(parts[:, :-1])


def fitted(features: Floats, outcomes: Floats, importance: Floats) -> str:
    """Fit trees; return them as text.

    Parameters
    ----------
    features
        Shape (n, 21), NaN for null.
    outcomes
        Shape (n,), 0 or 1, of both some.
    importance
        Shape (n,): how many examples each one counts for.
    """
    import lightgbm

    rows = lightgbm.Dataset(np.ascontiguousarray(features), outcomes, weight=importance, params=PARAMETERS)
    return compact(lightgbm.train(PARAMETERS, rows, ROUNDS).model_to_string())


def compact(text: str) -> str:
    """LightGBM's text without what neither predictions nor contributions need: half of it."""
    return "".join(f"{line}\n" for line in text.splitlines() if _KEPT.match(line))


@lru_cache(maxsize=_PARSED_MAX)
def ensemble(text: str) -> Ensemble:
    """The trees of a text.

    Raises
    ------
    StateError
        If LightGBM is not installed, or the text is none of its.
    """
    try:
        import lightgbm
    except ImportError:
        raise StateError("a tree model scores, and lightgbm is not installed", "pip install lightgbm") from None
    try:
        booster = lightgbm.Booster(model_str=text)
        parts = np.asarray(booster.predict(np.zeros((1, len(FEATURES))), pred_contrib=True, num_threads=1))
    except lightgbm.basic.LightGBMError as error:
        raise StateError(f"not a tree model: {error}", "take the text that was stored") from None
    return Ensemble(booster, float(parts[0, -1]))


class PlainTrees(TypedDict):
    """A version of trees as JSON."""

    model_name: str
    as_of_day: int
    trees: str
    slope: float
    offset: float
    exposures: dict[str, float]
    calibrated: bool
    curve: PlainCurve | None


@dataclass(frozen=True)
class TreesVersion:
    """One version of boosted trees: see `ModelVersion`.

    The risk is that of `slope` times what the trees add up, plus `offset`. Contributions are TreeSHAP's times the
    slope, so they add up to the log-odds but for rounding.

    Parameters
    ----------
    model_name, as_of_day, exposures, calibrated, curve
        As in `ModelVersion`.
    trees
        LightGBM's text.
    slope, offset
        The calibration.
    """

    explained_by: ClassVar[ExplainedBy] = "contributions"

    model_name: str
    as_of_day: int
    trees: str
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
        return self.slope * ensemble(self.trees).expected + self.offset

    def score(self, features: Floats, as_of_us: int | NDArray[np.int64]) -> Scored:
        """Score rows; see `ModelVersion.score`."""
        features = corrected(features, as_of_us, self.exposures)
        contributions = self.slope * ensemble(self.trees).contributions(features)
        log_odds = bounded(self._log_odds(features), contributions, self.base_log_odds)
        return Scored(probabilities(log_odds), contributions, self.base_log_odds)

    def risks(self, features: Floats, as_of_us: int | NDArray[np.int64]) -> Floats:
        """The risks alone, shape (n,): a hundredth of the cost."""
        log_odds = self._log_odds(corrected(features, as_of_us, self.exposures))
        return probabilities(np.clip(log_odds, -LOG_ODDS_MAX, LOG_ODDS_MAX))

    def _log_odds(self, features: Floats) -> Floats:
        return self.slope * ensemble(self.trees).log_odds(features) + self.offset

    def revised(self, *, calibrated: bool, curve: RiskCurve | None) -> TreesVersion:
        """The same model with another word on its calibration, and a risk curve."""
        return replace(self, calibrated=calibrated, curve=curve)

    def to_json(self) -> str:
        """Canonical JSON."""
        return canonical_json(self, kind=KIND, trees=self.trees, slope=self.slope, offset=self.offset)

    @classmethod
    def from_plain(cls, value: PlainTrees) -> TreesVersion:
        """What JSON holds of one; raises `KeyError`, `TypeError` or the like if it is none."""
        return cls(
            model_name=value["model_name"],
            as_of_day=value["as_of_day"],
            trees=value["trees"],
            slope=float(value["slope"]),
            offset=float(value["offset"]),
            exposures={int(day): share for day, share in value["exposures"].items()},
            calibrated=value["calibrated"],
            curve=RiskCurve.from_plain(curve) if (curve := value["curve"]) else None,
        )
