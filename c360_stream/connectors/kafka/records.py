"""Converts the messages of a consumer to a batch of records, without Python code per record."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import cast

from confluent_kafka import Message

from c360_stream.connectors.ports import TOMBSTONE, TRUNCATED, VALUE_BYTES_MAX, Headers, RawBatch


class RecordCollector:
    """Collects the records of several calls of a consumer.

    Messages are released after each call: holding the 8,192 of a batch, and reading all fields of each, took 690 ns per
    record of the reading thread. A bare loop of such calls takes 210 ns; this takes about 480 ns.
    """

    def __init__(self) -> None:
        self.bytes = 0
        """Of values and keys."""
        self._values: list[bytes] = []
        self._keys: list[bytes | None] = []
        self._offsets: list[Sequence[int]] = []
        self._headers: dict[int, Headers] = {}

    def __len__(self) -> int:
        return len(self._values)

    def add(self, messages: list[Message]) -> None:
        """Add messages that are records."""
        values = list(map(Message.value, messages))
        keys = cast("list[bytes | None]", list(map(Message.key, messages)))
        if any(map(Message.headers, messages)):
            for number, message in enumerate(messages, len(self)):
                if headers := cast("Headers | None", message.headers()):
                    self._headers[number] = headers
        self._offsets.append(_offsets(messages))
        self.bytes += sum(map(len, filter(None, values))) + sum(map(len, filter(None, keys)))
        self._values += self._bounded(values)
        self._keys += keys

    def _bounded(self, values: list[bytes | None]) -> list[bytes]:
        """Values without nulls and of bounded length; a header marks each value that was changed."""
        if all(values) and max(map(len, cast("list[bytes]", values)), default=0) <= VALUE_BYTES_MAX:
            return cast("list[bytes]", values)
        for number, value in enumerate(values, len(self)):
            if value is None or len(value) > VALUE_BYTES_MAX:
                mark = TOMBSTONE if value is None else TRUNCATED
                self._headers[number] = [*self._headers.get(number, ()), mark]
        return [(value or b"")[:VALUE_BYTES_MAX] for value in values]

    def batch(self) -> RawBatch:
        """All records that were added."""
        offsets = self._offsets
        in_row = all(isinstance(part, range) for part in offsets) and all(
            before[-1] + 1 == after[0] for before, after in pairwise(offsets)
        )
        return RawBatch(
            self._values,
            range(offsets[0][0], offsets[-1][-1] + 1) if offsets and in_row else list(chain(*offsets)),
            self._keys,
            [self._headers.get(number) for number in range(len(self))] if self._headers else None,
        )


def offset_of(message: Message) -> int:
    """The offset of a message that a consumer gave: those always have one."""
    return cast(int, message.offset())


def _offsets(messages: list[Message]) -> Sequence[int]:
    """Their offsets: a range, unless some in between are not there (compacted, or markers of transactions)."""
    first, last = offset_of(messages[0]), offset_of(messages[-1])
    if last - first + 1 == len(messages):
        return range(first, last + 1)
    return list(map(offset_of, messages))
