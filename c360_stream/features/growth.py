"""Columns that grow with the accounts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def with_room(column: NDArray[Any], accounts: int, fill: Any) -> NDArray[Any]:
    """The column with room for `accounts` entries: itself if it has it, else at least twice as long.

    >>> with_room(np.array([1, 2]), 3, 0).tolist()
    [1, 2, 0, 0]
    """
    if accounts <= len(column):
        return column
    more = max(accounts, 2 * len(column)) - len(column)
    return np.concatenate([column, np.full(more, fill, column.dtype)])
