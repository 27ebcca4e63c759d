"""Imputation of nulls, for models that take none.

It is a River transformer over dicts, and has `learn_transform_rows` / `transform_rows` over arrays with the columns of
`names`. The array forms give the bits of the dict forms, row after row: running sums are sequential accumulations,
everything else works on single numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from c360_stream.models.columns import Columns, Floats, grown
from c360_stream.state.fields import Kept, copied, fields

MISSING = "_missing"


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


def _running(start: Floats, rows: Floats) -> Floats:
    """Running sums after 0, 1, ... rows: `accumulate` adds one row after another, never pairwise."""
    return np.add.accumulate(np.concatenate([start[None, :], rows]), axis=0)


def _mean(totals: Floats, counts: Floats) -> Floats:
    return totals / np.maximum(counts, 1.0)
