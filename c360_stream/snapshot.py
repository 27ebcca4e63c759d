"""State as bytes: plain data only, with a version and a checksum, so that a damaged snapshot is noticed."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import numpy as np

from c360_stream.errors import StateError

# Raised whenever the layout of any step's state changes; see "State compatibility" in CHANGELOG.md.
STATE_VERSION = 5
_ARRAY = 1


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        if array.dtype.hasobject:
            raise TypeError("snapshots hold plain data, not arrays of objects")
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode((array.dtype.str, array.shape, array.tobytes())))
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"snapshots hold plain data, not {type(value).__name__}")


def _decode(code: int, data: memoryview) -> Any:
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code}")
    kind, shape, content = msgspec.msgpack.decode(data)
    return np.frombuffer(content, np.dtype(kind)).reshape(shape).copy()


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode)
_decoder = msgspec.msgpack.Decoder(ext_hook=_decode)


def pack(step: str, state: Any) -> bytes:
    """Turn plain data (numbers, strings, lists, dicts, numpy arrays) into bytes.

    >>> unpack("demo", pack("demo", {"a": np.arange(3)}))["a"].tolist()
    [0, 1, 2]
    """
    body = _encoder.encode([STATE_VERSION, step, state])
    return zlib.crc32(body).to_bytes(4, "big") + body


def unpack(step: str, packed: bytes) -> Any:
    """Give back what `pack` took for this step.

    Raises
    ------
    StateError
        If the bytes are damaged, of another step, or of another version of the state.
    """
    body = packed[4:]
    if not body or zlib.crc32(body).to_bytes(4, "big") != packed[:4]:
        raise StateError(f"snapshot of step {step} is damaged", "restore the recovery directory from a backup")
    version, of_step, state = _decoder.decode(body)
    if (version, of_step) != (STATE_VERSION, step):
        raise StateError(
            f"snapshot is of step {of_step}, state version {version}; this is {step}, version {STATE_VERSION}",
            "run with the settings and the release that wrote it, or with an empty recovery directory",
        )
    return state
