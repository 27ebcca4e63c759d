"""The additive model version: a sum of curves, one per feature, and of grids, one per pair of them that matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

    def plus(self, other: Curve) -> Curve:
        """The sum of both.

        >>> Curve((0.0, 2.0), (0.0, 2.0), 0.5).plus(Curve((1.0,), (1.0,), 0.5))
        Curve(at=(0.0, 1.0, 2.0), log_odds=(1.0, 2.0, 3.0), null=1.0)
        """
        at = self.at if self.at == other.at else tuple(sorted({*self.at, *other.at}))
        heights = [
            each.log_odds if each.at == at else np.interp(at, each.at, each.log_odds).tolist() for each in (self, other)
        ]
        return Curve(at, tuple(a + b for a, b in zip(*heights, strict=True)), self.null + other.null)


@dataclass(frozen=True)
class PairGrid:
    """What two features together add, beyond what each adds alone: bilinear between nodes, flat outside them.

    Parameters
    ----------
    first, second
        The features.
    at_first, at_second
        Values of each at the nodes, ascending, two or more.
    log_odds
        What is added at the nodes, a row for each value of the first.
    null
        What is added when either is null.
    """

    first: str
    second: str
    at_first: tuple[float, ...]
    at_second: tuple[float, ...]
    log_odds: tuple[tuple[float, ...], ...]
    null: float

    def contributions(self, first: Floats, second: Floats) -> Floats:
        """What each pair of values adds to the log-odds, shape (n,).

        >>> grid = PairGrid("a", "b", (0.0, 1.0), (0.0, 1.0), ((0.0, 0.0), (0.0, 4.0)), -1.0)
        >>> grid.contributions(np.array([0.5, 9.0, np.nan]), np.array([0.5, 0.25, 1.0])).tolist()
        [1.0, 1.0, -1.0]
        """
        row, down = _between(first, self.at_first)
        column, right = _between(second, self.at_second)
        nodes = np.array(self.log_odds)
        above = nodes[row, column] * (1.0 - right) + nodes[row, column + 1] * right
        below = nodes[row + 1, column] * (1.0 - right) + nodes[row + 1, column + 1] * right
        added = above * (1.0 - down) + below * down
        return np.where(np.isnan(first) | np.isnan(second), self.null, added)

    @property
    def nodes(self) -> tuple[str, str, tuple[float, ...], tuple[float, ...]]:
        """Where the grid is: grids at the same nodes can be added."""
        return self.first, self.second, self.at_first, self.at_second

    def plus(self, other: PairGrid) -> PairGrid:
        """The sum of both, which have the same nodes."""
        rows = zip(self.log_odds, other.log_odds, strict=True)
        heights = tuple(tuple(a + b for a, b in zip(*pair, strict=True)) for pair in rows)
        return replace(self, log_odds=heights, null=self.null + other.null)


def _between(values: Floats, at: tuple[float, ...]) -> tuple[NDArray[np.intp], Floats]:
    """The node at or before each value, but the last one, and the way from it to the next, 0 to 1."""
    points = np.array(at)
    held = np.clip(np.where(np.isnan(values), at[0], values), at[0], at[-1])
    before = np.clip(np.searchsorted(points, held, side="right") - 1, 0, len(at) - 2)
    return before, (held - points[before]) / (points[before + 1] - points[before])


def summed_grids(grids: Iterable[PairGrid]) -> tuple[PairGrid, ...]:
    """Grids with those at the same nodes added up, in the order in which the nodes come first."""
    found: dict[tuple[str, str, tuple[float, ...], tuple[float, ...]], PairGrid] = {}
    for grid in grids:
        found[grid.nodes] = found[grid.nodes].plus(grid) if grid.nodes in found else grid
    return tuple(found.values())


class _CurveFields(TypedDict):
    at: list[float]
    log_odds: list[float]
    null: float


class _GridFields(TypedDict):
    first: str
    second: str
    at_first: list[float]
    at_second: list[float]
    log_odds: list[list[float]]
    null: float


class PlainAdditive(TypedDict):
    """An additive version as JSON."""

    model_name: str
    as_of_day: int
    base_log_odds: float
    curves: dict[str, _CurveFields]
    exposures: dict[str, float]
    pairs: NotRequired[list[_GridFields]]
    calibrated: NotRequired[bool]
    curve: NotRequired[PlainCurve | None]


@dataclass(frozen=True)
class AdditiveVersion:
    """One version of a model that is a sum of curves and grids: see `ModelVersion`.

    Each number is computed by itself, and features are added up in their order, then pairs in theirs. Half of what a
    pair adds is the contribution of either feature. Its JSON names no kind: it was the only one once.

    Parameters
    ----------
    model_name, as_of_day, exposures, calibrated, curve
        As in `ModelVersion`.
    base_log_odds
        Log-odds of the average account.
    curves
        Feature -> curve; a feature without one adds nothing.
    pairs
        Grids of pairs of features.
    """

    explained_by: ClassVar[ExplainedBy] = "contributions"

    model_name: str
    as_of_day: int
    base_log_odds: float
    curves: Mapping[str, Curve]
    exposures: Mapping[int, float] = field(default_factory=dict)
    calibrated: bool = True
    curve: RiskCurve | None = None
    pairs: tuple[PairGrid, ...] = ()

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
        for grid in self.pairs:
            first, second = INDEX[grid.first], INDEX[grid.second]
            added = grid.contributions(features[:, first], features[:, second])
            contributions[:, first] += added / 2
            contributions[:, second] += added / 2
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
        # Without pairs it is, to the byte, what it was before there were any.
        pairs = {"pairs": [vars(grid) for grid in self.pairs]} if self.pairs else {}
        return canonical_json(self, base_log_odds=self.base_log_odds, curves=curves, **pairs)

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
            pairs=tuple(_grid(grid) for grid in value.get("pairs", ())),
        )


def _grid(value: _GridFields) -> PairGrid:
    return PairGrid(
        value["first"],
        value["second"],
        tuple(value["at_first"]),
        tuple(value["at_second"]),
        tuple(tuple(row) for row in value["log_odds"]),
        value["null"],
    )
