"""The bridge between River's dicts and rows of numbers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Columns:
    """Gives each feature name a column, in order of first sight.

    Parameters
    ----------
    names
        Names known ahead, which take the first columns.

    Examples
    --------
    >>> columns = Columns(("a", "b"))
    >>> columns.learn({"c": 3.0, "a": 1.0})
    >>> columns.row({"c": 3.0, "a": 1.0})
    array([ 1., nan,  3.])
    """

    def __init__(self, names: Iterable[Hashable] = ()) -> None:
        self.index: dict[Hashable, int] = {name: column for column, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self.index)

    def learn(self, x: Iterable[Hashable]) -> None:
        """Give a column to every name of `x` that has none."""
        for name in x:
            self.index.setdefault(name, len(self.index))

    def row(self, x: Mapping[Any, Any], absent: float = np.nan) -> Floats:
        """The values of `x` in their columns; `absent` for None and for names that `x` lacks; shape (columns,).

        Names without a column are left out: nothing has been learnt about them.
        """
        values = np.full(len(self.index), absent)
        for name, value in x.items():
            column = self.index.get(name)
            if column is not None and value is not None:
                values[column] = value
        return values

    def named(self, row: Floats) -> dict[Hashable, float]:
        """A row, shape (columns,), as a dict by name."""
        return dict(zip(self.index, row.tolist(), strict=True))


def nullable(values: Floats) -> list[float | None]:
    """A vector as a list, with None for NaN.

    >>> nullable(np.array([1.5, np.nan]))
    [1.5, None]
    """
    listed: list[float | None] = values.tolist()
    for place in np.flatnonzero(np.isnan(values)).tolist():
        listed[place] = None
    return listed


def grown(array: Floats, size: int, fill: float = 0.0) -> Floats:
    """A copy of a vector, lengthened to `size` with `fill`."""
    longer = np.full(size, fill)
    longer[: len(array)] = array
    return longer
