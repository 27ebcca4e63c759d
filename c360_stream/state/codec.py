"""State as bytes: plain data only, with a digest of its layout and a checksum, so that damage is noticed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import numpy as np

from c360_stream.errors import StateError
from c360_stream.state.layout import START_OVER

BLOB_BYTES_MIN = 1024
"""Smaller arrays and pages are not worth a place of their own."""
IDS_PER_PAGE = 8192
"""Ids only ever follow each other, so only the last page of them changes."""
Page = TypeVar("Page")
Item = TypeVar("Item")
_ARRAY, _ARRAY_BLOB, _PAGES_BLOB = 1, 2, 3


class BlobStore(Protocol):
    """Where large content is kept, outside the bytes of a snapshot; `chunk_store.ChunkStore` is one."""

    name: str
    """Finds it again."""

    def put(self, content: memoryview) -> Sequence[object]:
        """Keep content; plain data that refer to it."""

    def get(self, refs: Iterable[object], into: memoryview) -> None:
        """Read what `put` took; raises `StateError` if it is not there as it was."""


class Pages(Generic[Page]):
    """Plain data that are made and packed one page at a time, and unpacked as a list of pages.

    What is large as objects (ids, subscriptions) costs the memory of one page while it is packed. In a blob store only
    pages that have changed are written: cut it so that most do not.

    Parameters
    ----------
    make
        Gives all pages; called once a packing.

    Examples
    --------
    >>> unpack("demo", pack("demo", Pages.cut(["a", "b", "c"], 2)))
    [['a', 'b'], ['c']]
    """

    def __init__(self, make: Callable[[], Iterable[Page]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Page]:
        return iter(self._make())

    @staticmethod
    def cut(items: list[Item], length: int) -> Pages[list[Item]]:
        """A list that grows at its end."""
        return Pages(lambda: (items[first : first + length] for first in range(0, len(items), length)))

    @staticmethod
    def by_account(values: dict[int, Item], accounts: int, length: int = 1024) -> Pages[list[Item | None]]:
        """What some of the accounts 0 to `accounts` - 1 have; `joined` puts it together again."""
        pages = range(0, accounts, length)
        return Pages(lambda: (list(map(values.get, range(first, min(first + length, accounts)))) for first in pages))

    @staticmethod
    def joined(pages: Iterable[list[Item | None]]) -> Iterator[tuple[int, Item]]:
        """Account and value, of what `by_account` cut."""
        account = -1
        for page in pages:
            for account, value in enumerate(page, account + 1):  # noqa: B020 - goes on from the page before
                if value is not None:
                    yield account, value


class _Packer:
    """Turns what msgpack does not know into what it does, and counts how much of it there is."""

    def __init__(self, blobs: BlobStore | None, room: float) -> None:
        self._blobs = blobs
        self._room = room
        self.encoder = msgspec.msgpack.Encoder(enc_hook=self._encode)
        self._pages = msgspec.msgpack.Encoder(enc_hook=_encode_page)

    def _encode(self, value: object) -> object:
        if isinstance(value, np.ndarray):
            array = np.ascontiguousarray(value)
            self._take(array.nbytes)
            if self._blobs is None or array.nbytes < BLOB_BYTES_MIN or array.dtype.hasobject:
                return _encode_page(array)
            refs = self._blobs.put(array.reshape(-1).view(np.uint8).data)
            body = msgspec.msgpack.encode((array.dtype.str, array.shape, refs))
            return msgspec.msgpack.Ext(_ARRAY_BLOB, body)
        if isinstance(value, Pages):
            kept = [self._page(self._pages.encode(page)) for page in value]
            if self._blobs is None:
                return kept
            return msgspec.msgpack.Ext(_PAGES_BLOB, msgspec.msgpack.encode(kept))
        return _encode_page(value)

    def _page(self, page: bytes) -> object:
        self._take(len(page))
        if self._blobs is None:
            return msgspec.Raw(page)
        if len(page) < BLOB_BYTES_MIN:
            return page
        return [len(page), self._blobs.put(memoryview(page))]

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise _TooLargeError


class _TooLargeError(Exception):
    """There is more than should be packed together."""


def _encode_page(value: object) -> object:
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        if array.dtype.hasobject:
            raise TypeError("snapshots hold plain data, not arrays of objects")
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode((array.dtype.str, array.shape, array.tobytes())))
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"snapshots hold plain data, not {type(value).__name__}")


def _decode_page(code: int, data: memoryview) -> object:
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code}")
    kind, shape, content = msgspec.msgpack.decode(data)
    return np.frombuffer(content, np.dtype(kind)).reshape(shape).copy()


_page_decoder = msgspec.msgpack.Decoder(ext_hook=_decode_page)


def _unpacker(blobs: BlobStore) -> msgspec.msgpack.Decoder[Any]:
    def decode(code: int, data: memoryview) -> object:
        if code == _ARRAY_BLOB:
            kind, shape, refs = msgspec.msgpack.decode(data)
            array = np.empty(shape, np.dtype(kind))
            blobs.get(refs, array.reshape(-1).view(np.uint8).data)  # refused if it is of objects
            return array
        if code == _PAGES_BLOB:
            return [_page_decoder.decode(_read_page(kept)) for kept in msgspec.msgpack.decode(data)]
        return _decode_page(code, data)

    def _read_page(kept: Any) -> bytes | bytearray:
        if isinstance(kept, bytes):
            return kept
        size, refs = kept
        page = bytearray(size)
        blobs.get(refs, memoryview(page))
        return page

    return msgspec.msgpack.Decoder(ext_hook=decode)


def pack(step: str, state: object, blobs: BlobStore | None = None, *, layout: str = "") -> bytes:
    """Turn plain data (numbers, strings, lists, dicts, numpy arrays, `Pages`) into bytes.

    Parameters
    ----------
    blobs
        Where arrays and pages go; the bytes refer to them then. None: the bytes hold everything.
    layout
        Digest of the state's layout.

    Examples
    --------
    >>> unpack("demo", pack("demo", {"a": np.arange(3)}))["a"].tolist()
    [0, 1, 2]
    """
    head = [layout, step, state]
    return _sealed(_Packer(blobs, np.inf).encoder.encode([*head, blobs.name] if blobs else head))


def pack_small(step: str, state: object, bytes_max: int, *, layout: str = "") -> bytes | None:
    """As `pack`, with everything in the bytes; None if arrays and pages would take more than `bytes_max`."""
    try:
        return _sealed(_Packer(None, bytes_max).encoder.encode([layout, step, state]))
    except _TooLargeError:
        return None


def _sealed(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "big") + body


def unpack(step: str, packed: bytes, find_blobs: Callable[[str], BlobStore] | None = None, *, layout: str = "") -> Any:
    """Give back what `pack` took for this step.

    Parameters
    ----------
    find_blobs
        Finds by its name the store of what a snapshot keeps outside its bytes.
    layout
        Digest of the layout that the state is to have.

    Raises
    ------
    StateError
        If the bytes are damaged, of another step, or of another layout; or what was kept outside them is.
    """
    body = packed[4:]
    if not body or zlib.crc32(body).to_bytes(4, "big") != packed[:4]:
        raise StateError(f"snapshot of step {step} is damaged", "restore the recovery directory from a backup")
    raw_layout, raw_step, state, *name = msgspec.msgpack.decode(body, type=list[msgspec.Raw])
    kept_layout, of_step = (msgspec.msgpack.decode(raw) for raw in (raw_layout, raw_step))
    if of_step != step:
        raise StateError(f"snapshot is of step {of_step}; this is {step}", START_OVER)
    if kept_layout != layout:
        known = isinstance(kept_layout, str)
        of = f"layout {kept_layout}" if known else f"state version {kept_layout}, an older release's"
        raise StateError(f"snapshot of step {step} is of {of}; this release has {layout}", START_OVER)
    if not name:
        return _page_decoder.decode(state)
    if find_blobs is None:
        raise StateError(
            f"snapshot of step {step} is partly in files beside the engine's", "resume it with `c360 run --recovery`"
        )
    return _unpacker(find_blobs(msgspec.msgpack.decode(name[0]))).decode(state)
