"""A partition in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable

from c360_stream.connectors.ports import Headers, RawBatch
from tests.unit.features.deliveries import Event


class MemoryReader:
    """Implements `RecordReader` over a list that tests append to.

    Parameters
    ----------
    values
        Records; an event is written as JSON.
    pauses
        Positions at which one read finds nothing although there is more, as a broker's may.
    """

    def __init__(
        self,
        topic: str,
        values: Iterable[bytes | Event] = (),
        *,
        partition: int = 0,
        pauses: Iterable[int] = (),
        keyed: bool = False,
    ) -> None:
        self.topic, self.partition = topic, partition
        self.values: list[bytes] = []
        self.closed = False
        self._next = 0
        self._pauses = set(pauses)
        self._keyed = keyed
        self._untold = 0
        self.append(*values)

    def append(self, *values: bytes | Event) -> None:
        """Write to the partition."""
        self.values += [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]

    def told_end_after(self, reads: int) -> None:
        """Say that the end is reached only after so many reads, as a broker does."""
        self._untold = reads

    def read(self, records_max: int) -> RawBatch:
        """The next records, up to the next pause."""
        start = self._next
        self._untold = max(0, self._untold - 1)
        if start in self._pauses:
            self._pauses.remove(start)
            return RawBatch([], [])
        end = min([len(self.values), start + records_max, *(pause for pause in self._pauses if pause > start)])
        self._next = end
        offsets = range(start, end)
        keys = [b"key%d" % offset for offset in offsets] if self._keyed else None
        headers: list[Headers | None] | None = [[("h", b"%d" % offset)] for offset in offsets] if self._keyed else None
        return RawBatch(self.values[start:end], offsets, keys, headers)

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self._next == len(self.values) and not self._untold

    def position(self) -> tuple[int, ...]:
        """(next offset,)."""
        return (self._next,)

    def lag(self) -> int:
        """Records not read yet."""
        return len(self.values) - self._next

    def close(self) -> None:
        """Remember it."""
        self.closed = True
