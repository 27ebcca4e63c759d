"""Rows in narrow columns come back bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from c360_stream.arrays.compact_matrix import CompactMatrix

WHOLE = st.integers(-(2**60), 2**60) | st.integers(-300, 3000)
VALUES = st.one_of(st.floats(), WHOLE.map(float), st.just(float("nan")), st.just(-0.0), st.floats(width=32))
MATRICES = hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.integers(1, 4)), elements=VALUES)


@given(MATRICES)
@settings(deadline=None)
def test_every_bit_comes_back(matrix: NDArray[np.float64]) -> None:
    rows = CompactMatrix.of(matrix)
    back = CompactMatrix(rows.columns).matrix()
    assert (back.dtype, back.shape, back.tobytes()) == (matrix.dtype, matrix.shape, matrix.tobytes())
    chosen = np.arange(len(matrix))[::-2]
    assert rows.matrix(chosen).tobytes() == matrix[chosen].tobytes()


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, -3, 127], "int8"),
        ([9, np.nan, 2048], "float16"),
        ([128, 2049], "int16"),
        ([49_900, np.nan], "float32"),
        ([2**24 + 1], "float64"),
        ([1 / 7], "float64"),
        ([0.0, -0.0], "float16"),
    ],
)
def test_a_column_has_the_smallest_type_that_holds_it(values: list[float], kind: str) -> None:
    [column] = CompactMatrix.of(np.array([values]).T.astype(np.float64)).columns
    assert column.dtype.name == kind


def test_the_matrix_may_change_afterwards() -> None:
    matrix = np.array([[0.1], [0.2]])
    rows = CompactMatrix.of(matrix)
    matrix[:] = 0
    assert rows.matrix().tolist() == [[0.1], [0.2]]
