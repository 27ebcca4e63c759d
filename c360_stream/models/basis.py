"""The basis of additive models: ramps between breakpoints of each feature, and products of ramps for some pairs.

Breakpoints are quantiles of examples whose labels are known, closer together in the tails, so they fit any company: no
feature has any by name. A model keeps one basis for a generation, from its begin to the next. Beyond the outermost
breakpoints curves are flat. That holds back features that move with the calendar, too: an account is often older than
any whose label is known, and what nobody has seen is not extrapolated.

A pair is a product of coarse ramps of two features: it says where both together mean something else than each alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from river import base

from c360_stream.features.definitions import FEATURES
from c360_stream.models.additive import Curve, PairGrid
from c360_stream.models.columns import Columns, Floats, grown
from c360_stream.models.preprocessing import MISSING
from c360_stream.models.shipped import SHIPPED_BREAKPOINTS
from c360_stream.state.fields import Kept, fields

COLUMNS_MAX = 192
"""Of a basis: bounds the covariance that a second-order learner keeps of them, to 300 kB."""
# What single features may take of it; the rest is for pairs.
_SINGLE_COLUMNS_MAX = 160
PAIRS_MAX = 16

# By churned examples that do not overlap: shares of the examples at or below each breakpoint.
_QUANTILES: tuple[tuple[int, tuple[float, ...]], ...] = (
    (60, (0.0, 0.02, 0.1, 0.25, 0.4, 0.55, 0.7, 0.82, 0.91, 0.97, 1.0)),
    (20, (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)),
    (0, (0.0, 0.1, 0.5, 0.9, 1.0)),
)
_COARSE = (0.0, 1 / 3, 2 / 3, 1.0)
# Fewer values of a feature make no curve.
_VALUES_MIN = 20
# A null as rare as this has no column of its own.
_NULL_SHARE_MIN = 0.002
# A ramp is this high in the middle: products of ramps are about it.
_HALF = 0.5


class Curves(NamedTuple):
    """A weighted basis, written down by feature and by pair."""

    curves: dict[str, Curve]
    pairs: tuple[PairGrid, ...]


class Basis(base.Transformer, Kept):
    """Spreads feature rows over columns: of each feature its ramps and an indicator of null, then products of pairs.

    A ramp rises from 0 to 1 between two neighbouring breakpoints; a null has none. Columns are centred on their mean
    over the examples that the basis was learnt from.

    Parameters
    ----------
    breakpoints
        By feature, ascending.
    nullable
        Columns of the features with an indicator, ascending.
    coarse
        Breakpoints of the ramps that pairs are made of.
    pairs
        Two columns of the feature matrix each.
    centre
        Mean of each column; 0 if absent.

    Examples
    --------
    >>> days = Basis([np.array([0.0, 7.0, 30.0])])
    >>> days.transform_rows(np.array([[3.5], [60.0], [np.nan]])).tolist()
    [[0.5, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """

    kept = fields(
        breakpoints=list[Floats], nullable=list[int], coarse=list[Floats], pairs=list[tuple[int, int]], centre=Floats
    )

    def __init__(
        self,
        breakpoints: list[Floats] | None = None,
        nullable: list[int] | None = None,
        coarse: list[Floats] | None = None,
        pairs: list[tuple[int, int]] | None = None,
        centre: Floats | None = None,
    ) -> None:
        self.breakpoints = breakpoints or []
        self.nullable = nullable or []
        self.coarse = coarse or []
        self.pairs = pairs or []
        self.centre = np.zeros(self._width) if centre is None else centre

    @classmethod
    def shipped(cls) -> Basis:
        """The one that models begin with, before they know what a company's accounts are like."""
        breakpoints = [np.array(SHIPPED_BREAKPOINTS.get(name, ())) for name in FEATURES]
        return cls(breakpoints, [column for column, points in enumerate(breakpoints) if len(points)])

    @classmethod
    def learnt(cls, features: Floats, churned: float, pairs: Sequence[tuple[int, int]] = ()) -> Basis:
        """The one that examples suggest: a function of the set of their rows.

        Parameters
        ----------
        features
            Shape (n, 21), NaN for null.
        churned
            How many of the examples churned, those that overlap counted once: few bear few breakpoints.
        pairs
            Features that are looked at together, the most promising first; as many as there is room for are taken.
        """
        finite = [column[np.isfinite(column)] for column in features.T]
        share = [1.0 - len(values) / max(len(features), 1) for values in finite]
        nullable = [column for column, null in enumerate(share) if _NULL_SHARE_MIN < null < 1.0]
        basis = cls()
        for churned_min, quantiles in _QUANTILES:
            basis = cls([_breakpoints(values, quantiles) for values in finite], nullable)
            if churned >= churned_min and basis._width <= _SINGLE_COLUMNS_MAX:
                break
        coarse = [_breakpoints(values, _COARSE) for values in finite]
        taken: list[tuple[int, int]] = []
        room = COLUMNS_MAX - basis._width
        for pair in [each for each in pairs if _products(coarse, each)][:PAIRS_MAX]:
            room -= _products(coarse, pair)
            if room < 0:
                break
            taken.append(pair)
        whole = cls(basis.breakpoints, nullable, coarse, taken)
        if not len(features):
            return whole
        return cls(*whole._parts, centre=np.asarray(whole.transform_rows(features).mean(axis=0)))

    @property
    def _parts(self) -> tuple[list[Floats], list[int], list[Floats], list[tuple[int, int]]]:
        return self.breakpoints, self.nullable, self.coarse, self.pairs

    @property
    def _width(self) -> int:
        single = sum(max(len(points) - 1, 0) for points in self.breakpoints) + len(self.nullable)
        return single + sum(_products(self.coarse, pair) for pair in self.pairs)

    def _spans(self) -> Iterator[tuple[int, slice, int | None]]:
        """By feature: its column, where its ramps are, and where its indicator of null is."""
        begin, nullable = 0, set(self.nullable)
        for column, points in enumerate(self.breakpoints):
            end = begin + max(len(points) - 1, 0)
            null = end if column in nullable else None
            yield column, slice(begin, end), null
            begin = end + (null is not None)

    def _pair_spans(self) -> Iterator[tuple[tuple[int, int], slice]]:
        begin = self._width - sum(_products(self.coarse, pair) for pair in self.pairs)
        for pair in self.pairs:
            end = begin + _products(self.coarse, pair)
            yield pair, slice(begin, end)
            begin = end

    @property
    def output_names(self) -> tuple[str, ...]:
        """The columns that `transform_rows` returns."""
        names: list[str] = []
        for column, span, null in self._spans():
            names += [f"{FEATURES[column]}~{ramp}" for ramp in range(span.stop - span.start)]
            names += [FEATURES[column] + MISSING] * (null is not None)
        for (first, second), span in self._pair_spans():
            names += [f"{FEATURES[first]}*{FEATURES[second]}~{number}" for number in range(span.stop - span.start)]
        return tuple(names)

    def directions(self, bad: Mapping[str, str]) -> Floats:
        """Which way the curves of some features may go, shape (columns,): 1 up, -1 down, 0 either way.

        Parameters
        ----------
        bad
            By feature: whether `high` or `low` values are bad.
        """
        way = np.zeros(self._width)
        for column, span, _ in self._spans():
            if FEATURES[column] in bad:
                way[span] = 1.0 if bad[FEATURES[column]] == "high" else -1.0
        return way

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, float]:
        """Spread the values of `x`; names that are no features are left out."""
        row = grown(Columns(FEATURES).row(x), len(FEATURES), np.nan)
        return dict(zip(self.output_names, self.transform_rows(row[None, :])[0].tolist(), strict=True))

    def transform_rows(self, rows: Floats) -> Floats:
        """Spread rows, shape (n, features); shape (n, columns). Each number is computed by itself."""
        spread = np.zeros((len(rows), self._width))
        known = np.isfinite(rows)
        for column, span, null in self._spans():
            values = np.where(known[:, column], rows[:, column], -np.inf)
            spread[:, span] = _ramps(values, self.breakpoints[column])
            if null is not None:
                spread[:, null] = ~known[:, column]
        coarse = {
            column: _ramps(rows[:, column], self.coarse[column]) - _HALF
            for column in sorted({column for pair in self.pairs for column in pair})
        }
        for (first, second), span in self._pair_spans():
            products = coarse[first][:, :, None] * coarse[second][:, None, :]
            both = known[:, first] & known[:, second]
            spread[:, span] = np.where(both[:, None], products.reshape(len(rows), -1), 0.0)
        spread -= self.centre
        return spread

    def curves(self, weights: Floats) -> Curves:
        """The same sum, of each column times its weight, as one curve a feature and one grid a pair.

        Parameters
        ----------
        weights
            Shape (columns,).
        """
        curves = {}
        for column, span, null in self._spans():
            ramps = weights[span]
            middle = float(np.add.reduce(ramps * self.centre[span]))
            middle += 0.0 if null is None else float(weights[null] * self.centre[null])
            heights = np.concatenate([[0.0], np.add.accumulate(ramps)]) - middle
            points = self.breakpoints[column]
            curves[FEATURES[column]] = Curve(
                tuple(points.tolist()) or (0.0,),
                tuple(heights.tolist()),
                (0.0 if null is None else float(weights[null])) - middle,
            )
        return Curves(curves, tuple(self._grid(pair, weights[span], span) for pair, span in self._pair_spans()))

    def _grid(self, pair: tuple[int, int], weights: Floats, span: slice) -> PairGrid:
        first, second = (self.coarse[column] for column in pair)
        nodes, others = (_ramps(points, points) - _HALF for points in (first, second))
        heights = nodes @ weights.reshape(len(first) - 1, len(second) - 1) @ others.T
        middle = float(np.add.reduce(weights * self.centre[span]))
        return PairGrid(
            FEATURES[pair[0]],
            FEATURES[pair[1]],
            tuple(first.tolist()),
            tuple(second.tolist()),
            tuple(tuple(row) for row in (heights - middle).tolist()),
            -middle,
        )


def _breakpoints(values: Floats, quantiles: tuple[float, ...]) -> Floats:
    """Quantiles that are values themselves, each once; none if there are too few values, or all are equal."""
    if len(values) < _VALUES_MIN:
        return np.zeros(0)
    found = np.unique(np.quantile(values, quantiles, method="inverted_cdf"))
    return np.asarray(found if len(found) > 1 else np.zeros(0), np.float64)


def _ramps(values: Floats, points: Floats) -> Floats:
    """Ramps between neighbouring points, shape (n, points - 1)."""
    if len(points) < 2:
        return np.zeros((len(values), 0))
    low, width = points[:-1], np.diff(points)
    return np.asarray(np.clip((values[:, None] - low) / width, 0.0, 1.0))


def _products(coarse: list[Floats], pair: tuple[int, int]) -> int:
    """Columns that a pair takes."""
    first, second = (max(len(coarse[column]) - 1, 0) for column in pair)
    return first * second
