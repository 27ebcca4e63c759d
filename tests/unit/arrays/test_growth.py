"""Columns keep what they have when they grow, and what is new is filled."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.arrays.growth import GROWTH, grow_array


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_column_grows_along_one_axis_by_a_quarter_at_least(axis: int) -> None:
    shape = [3, 3, 3]
    shape[axis] = 8
    column = np.arange(72, dtype=np.int32).reshape(shape)
    grown = np.moveaxis(grow_array(column, 9, -1, axis), axis, 0)
    assert (grown.dtype, len(grown)) == (column.dtype, 8 * GROWTH)
    np.testing.assert_array_equal(grown[:8], np.moveaxis(column, axis, 0))
    assert (grown[8:] == -1).all()
    assert grow_array(column, 30, 0, axis).shape[axis] == 30


def test_a_column_grow_array_stays_the_same_object() -> None:
    column = np.zeros((2, 9))
    assert grow_array(column, 9, 0, axis=1) is column
