"""Columns that grow with the accounts."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
GROWTH = 1.25
"""What a column grows by: at most a quarter of it waits for accounts to come, for 5 copies of each entry in all.

Doubling would leave up to half of 2.4 kB per account unused.
"""


def grow_array(column: NDArray[Scalar], accounts: int, fill: float, axis: int = 0) -> NDArray[Scalar]:
    """The column with room for `accounts` entries along an axis: itself, or longer by at least a quarter.

    >>> grow_array(np.array([1, 2]), 3, 0).tolist()
    [1, 2, 0]
    >>> grow_array(np.zeros((2, 64)), 65, np.nan, axis=1).shape
    (2, 80)
    """
    room = column.shape[axis]
    if accounts <= room:
        return column
    shape = list(column.shape)
    shape[axis] = max(accounts, int(room * GROWTH))
    grown = np.empty(shape, column.dtype)
    # Not np.pad, which for two axes makes the whole twice.
    entries = np.moveaxis(grown, axis, 0)
    entries[:room] = np.moveaxis(column, axis, 0)
    entries[room:] = fill
    return grown
