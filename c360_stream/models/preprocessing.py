"""From nullable features to centred columns: imputation, bounded ramps, scaling.

Each step is a River transformer over dicts, and has `learn_transform_rows` / `transform_rows` over arrays
with the columns of `names`. The array forms give the bits of the dict forms, row after row: running sums are
sequential accumulations, everything else works on single numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from c360_stream.models.columns import Columns, Floats, grown
from c360_stream.state.fields import Kept, copied, fields

MISSING = "_missing"
Tables = Mapping[str, tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]]


class NullImputer(base.Transformer, Kept):
    """Puts the running mean where a value is null, and 1 into an indicator column.

    Anything that is not a finite number counts as null.

    Parameters
    ----------
    names
        Columns of the array forms; further names get a column as they appear in dicts.
    nullable
        Names that get an indicator `<name>_missing` (1 null, 0 present), after all other columns.

    Examples
    --------
    >>> imputer = NullImputer(("nps",), nullable=("nps",))
    >>> imputer.learn_one({"nps": 8.0})
    >>> imputer.transform_one({"nps": None})
    {'nps': 8.0, 'nps_missing': 1.0}
    """

    kept = fields(_total=copied(Floats), _count=copied(Floats))

    def __init__(self, names: tuple[str, ...] | None = None, nullable: tuple[str, ...] | None = None) -> None:
        self.names = names
        self.nullable = nullable
        self._columns = Columns(names or ())
        self._total = np.zeros(len(self._columns))
        self._count = np.zeros(len(self._columns))

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Take the values of `x` into the means."""
        self._columns.learn(x)
        self._total = grown(self._total, len(self._columns))
        self._count = grown(self._count, len(self._columns))
        self.learn_transform_rows(self._columns.row(x)[None, :])

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, float]:
        """Impute `x`; a name never seen before passes if it is finite, else becomes 0."""
        columns = Columns((*self._columns.index, *(name for name in x if name not in self._columns.index)))
        row = columns.row(x)
        present = np.isfinite(row)
        means = grown(_mean(self._total, self._count), len(columns))
        imputed = columns.named(np.where(present, row, means))
        for name in self.nullable or ():
            column = columns.index.get(name)
            imputed[name + MISSING] = 1.0 if column is None or not present[column] else 0.0
        return imputed

    def learn_transform_rows(self, rows: Floats) -> Floats:
        """Learn row by row; return each as transformed right after it was learnt, shape (n, columns + indicators)."""
        present = np.isfinite(rows)
        totals = _running(self._total, np.where(present, rows, 0.0))
        counts = _running(self._count, present.astype(np.float64))
        self._total, self._count = totals[-1].copy(), counts[-1].copy()
        return self._impute(rows, present, _mean(totals[1:], counts[1:]))

    def transform_rows(self, rows: Floats) -> Floats:
        """Impute rows with the means as they are; shape (n, columns + indicators)."""
        return self._impute(rows, np.isfinite(rows), self.means)

    @property
    def means(self) -> Floats:
        """What stands in for a null, shape (columns,)."""
        return _mean(self._total, self._count)

    def _impute(self, rows: Floats, present: NDArray[np.bool_], means: Floats) -> Floats:
        watched = [self._columns.index[name] for name in self.nullable or ()]
        return np.concatenate([np.where(present, rows, means), ~present[:, watched]], axis=1)


class Ramps(base.Transformer):
    """Spreads each feature over a few ramps: functions that rise from 0 to 1 between two breakpoints.

    A weighted sum of a feature's ramps is a continuous curve that is flat outside its breakpoints. So a model that adds
    up curves can follow thresholds and saturation, and no single value can throw it. Each feature's share of the
    log-odds stays its own. Names without ramps pass unchanged.

    Parameters
    ----------
    tables
        Name -> (points, heights): `heights[r][i]` is ramp r at `points[i]`, linear between points.
    names
        Columns of the array form.

    Examples
    --------
    >>> Ramps({"days": ((0.0, 7.0, 30.0), ((0.0, 1.0, 1.0), (0.0, 0.0, 1.0)))}).transform_one({"days": 7.0, "m": 1.0})
    {'days~0': 1.0, 'days~1': 0.0, 'm': 1.0}
    """

    def __init__(self, tables: Tables | None = None, names: tuple[str, ...] | None = None) -> None:
        self.tables = tables
        self.names = names

    @property
    def output_names(self) -> tuple[str, ...]:
        """Columns that `transform_rows` returns."""
        return tuple(ramp for name in self.names or () for ramp in self.ramps_of(name))

    def ramps_of(self, name: str) -> tuple[str, ...]:
        """Columns that feature `name` turns into."""
        table = (self.tables or {}).get(name)
        return (name,) if table is None else tuple(f"{name}~{ramp}" for ramp in range(len(table[1])))

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, float]:
        """Spread the values of `x`."""
        spread: dict[Any, float] = {}
        for name, value in x.items():
            table = (self.tables or {}).get(name)
            if table is None:
                spread[name] = value
            else:
                points, heights = table
                for ramp, height in zip(self.ramps_of(name), heights, strict=True):
                    spread[ramp] = float(np.interp(value, points, height))
        return spread

    def transform_rows(self, rows: Floats) -> Floats:
        """Spread rows whose columns are `names`; shape (n, ramps)."""
        columns = []
        for name, column in zip(self.names or (), rows.T, strict=True):
            table = (self.tables or {}).get(name)
            if table is None:
                columns.append(column)
            else:
                columns.extend(np.interp(column, table[0], height) for height in table[1])
        return np.stack(columns, axis=1)


class StandardScaler(base.Transformer, Kept):
    """Centres on the running mean and divides by the running standard deviation.

    Made for columns within about 0..1: plain sums of values and of squares are exact enough there, and run the same
    way however examples are batched.

    Parameters
    ----------
    names
        Columns of the array forms; further names get a column as they appear in dicts.
    deviation_min
        Least divisor. A column that is almost constant would else turn its rare values into huge ones.
    """

    kept = fields(_count=int, _total=copied(Floats), _squares=copied(Floats))

    def __init__(self, names: tuple[str, ...] | None = None, deviation_min: float = 0.1) -> None:
        self.names = names
        self.deviation_min = deviation_min
        self._columns = Columns(names or ())
        self._count = 0
        self._total = np.zeros(len(self._columns))
        self._squares = np.zeros(len(self._columns))

    def learn_one(self, x: dict[Any, Any]) -> None:
        """Take the values of `x` into means and deviations; a name that is absent counts as 0."""
        self._columns.learn(x)
        self._total = grown(self._total, len(self._columns))
        self._squares = grown(self._squares, len(self._columns))
        self.learn_transform_rows(self._columns.row(x, absent=0.0)[None, :])

    def transform_one(self, x: dict[Any, Any]) -> dict[Any, float]:
        """Scale the values of `x`; names never seen are left out."""
        scaled = self._columns.named(self.transform_rows(self._columns.row(x, absent=0.0)[None, :])[0])
        return {name: scaled[name] for name in x if name in scaled}

    def learn_transform_rows(self, rows: Floats) -> Floats:
        """Learn row by row; return each as transformed right after it was learnt, shape (n, columns)."""
        totals = _running(self._total, rows)
        squares = _running(self._squares, rows * rows)
        counts = np.arange(self._count + 1.0, self._count + len(rows) + 1.0)[:, None]
        self._count += len(rows)
        self._total, self._squares = totals[-1].copy(), squares[-1].copy()
        means, deviations = self._moments(totals[1:], squares[1:], counts)
        return (rows - means) / deviations

    def transform_rows(self, rows: Floats) -> Floats:
        """Scale rows, shape (n, columns), with the moments as they are."""
        means, deviations = self.moments
        return (rows - means) / deviations

    @property
    def moments(self) -> tuple[Floats, Floats]:
        """Mean and divisor, each of shape (columns,)."""
        return self._moments(self._total, self._squares, np.float64(max(self._count, 1)))

    def _moments(self, totals: Floats, squares: Floats, counts: Floats | np.float64) -> tuple[Floats, Floats]:
        means = totals / counts
        variances = np.maximum(squares / counts - means * means, self.deviation_min**2)
        return means, np.sqrt(variances)


def _running(start: Floats, rows: Floats) -> Floats:
    """Running sums after 0, 1, ... rows: `accumulate` adds one row after another, never pairwise."""
    return np.add.accumulate(np.concatenate([start[None, :], rows]), axis=0)


def _mean(totals: Floats, counts: Floats) -> Floats:
    return totals / np.maximum(counts, 1.0)
