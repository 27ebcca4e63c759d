"""Snapshots: plain data only, the same after a round trip, and no damage goes unnoticed."""

from __future__ import annotations

import pickle
import zlib
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.errors import StateError
from c360_stream.state.codec import pack, unpack

KINDS = ["int8", "int32", "int64", "uint8", "uint32", "uint64", "float64", "bool"]
arrays = st.builds(
    lambda kind, rows, columns: np.arange(rows * columns).reshape(rows, columns).astype(kind),
    st.sampled_from(KINDS),
    st.integers(0, 5),
    st.integers(0, 5),
)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.booleans()
plain_values = st.recursive(
    st.none() | numbers | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(0, 99), inner, max_size=4),
    max_leaves=12,
)


@given(plain_values)
def test_plain_data_come_back_as_they_were(state: Any) -> None:
    assert unpack("s", pack("s", state)) == state


@given(arrays, st.booleans())
def test_arrays_keep_kind_shape_and_bits_and_can_be_written_to(array: np.ndarray[Any, Any], fortran: bool) -> None:
    back = unpack("s", pack("s", [np.asfortranarray(array) if fortran else array]))[0]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)
    back[:] = 0


def test_nan_infinity_and_numpy_numbers_survive() -> None:
    array, number = unpack("s", pack("s", [np.array([np.nan, -np.inf, -0.0]), np.float64(0.1)]))
    assert array.tobytes() == np.array([np.nan, -np.inf, -0.0]).tobytes()
    assert (number, type(number)) == (0.1, float)


@pytest.mark.parametrize(
    "value", [object(), print, 1j, np.array([object()])], ids=["object", "code", "complex", "array"]
)
def test_what_is_not_plain_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        pack("s", [value])


def test_taking_up_a_snapshot_runs_no_code() -> None:
    """Whoever can write the store must not get further than a wrong state."""
    with pytest.raises(StateError):
        unpack("s", pickle.dumps(datetime.now(UTC)))


@given(plain_values, st.data())
def test_damage_is_noticed(state: Any, data: st.DataObject) -> None:
    packed = bytearray(pack("s", state))
    if data.draw(st.booleans()):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    with pytest.raises(StateError, match="damaged"):
        unpack("s", bytes(packed))


@pytest.mark.parametrize("packed", [b"", b"\0\0\0\0", b"x", b"\0" * 100])
def test_what_is_no_snapshot_is_refused(packed: bytes) -> None:
    with pytest.raises(StateError):
        unpack("s", packed)


def test_another_steps_snapshot_is_refused() -> None:
    with pytest.raises(StateError, match="of step score; this is learn"):
        unpack("learn", pack("score", {}))


def test_a_snapshot_of_another_layout_is_refused() -> None:
    packed = pack("learn", {}, layout="aa11")
    with pytest.raises(StateError, match="of step learn is of layout aa11; this release has bb22"):
        unpack("learn", packed, layout="bb22")


def test_a_snapshot_of_before_layouts_is_refused() -> None:
    body = msgspec.msgpack.encode([6, "learn", {}])
    with pytest.raises(StateError, match="of step learn is of state version 6, an older release's"):
        unpack("learn", zlib.crc32(body).to_bytes(4, "big") + body)
