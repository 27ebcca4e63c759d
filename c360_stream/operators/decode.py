"""A batch of raw records on its way to events and dead letters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from c360_stream.connectors.ports import Headers, RecordReader
from c360_stream.events import Event, Refused, times_us
from c360_stream.health import HEALTH
from c360_stream.operators.stop import stop_requested
from c360_stream.records import DeadLetter

_READ_ON = 64


class DecodedBatch:
    """Records read from one partition, decoded: events, and refusals with their reason.

    Parameters
    ----------
    reader
        The partition.
    decode
        Gives an event, or raises `Refused`.
    records_max
        How many records to read at first.
    """

    def __init__(self, reader: RecordReader, decode: Callable[[bytes], Event], records_max: int) -> None:
        self._reader = reader
        self._decode = decode
        self._values: list[bytes] = []
        self._offsets: list[int] = []
        self._keys: dict[int, bytes | None] = {}
        self._headers: dict[int, Headers | None] = {}
        self._positions: list[int] = []
        self.events: list[Event] = []
        self.refusals: list[tuple[int, Refused]] = []
        self._read(records_max)

    @property
    def read(self) -> int:
        """Number of records read."""
        return len(self._values)

    def times(self) -> NDArray[np.int64]:
        """Event times of the events, int64 of shape (events,)."""
        return times_us([event.occurred_at for event in self.events])

    def more(self) -> NDArray[np.int64]:
        """Read on until there is another event or the partition's end; give `times` of all."""
        before = len(self.events)
        while len(self.events) == before:
            # A broker may have nothing for a moment: only the end is a reason to judge by less.
            if self._read(_READ_ON):
                continue
            if self._reader.at_end or stop_requested():
                break
            HEALTH.waiting(f"more of {self._reader.topic}[{self._reader.partition}]")
        return self.times()

    def refuse(self, chosen: NDArray[np.intp], refusal: Refused) -> None:
        """Refuse the events at the positions `chosen` of `events` after all."""
        for i in reversed(chosen.tolist()):
            del self.events[i]
            self.refusals.append((self._positions.pop(i), refusal))
        self.refusals.sort(key=lambda item: item[0])

    def clocks(self, high_us: int, time_us: NDArray[np.int64]) -> list[int]:
        """For each refusal the greatest event time accepted before it, however the partition was batched.

        Parameters
        ----------
        high_us
            Greatest event time accepted before this batch.
        time_us
            int64: times of the events that remain.
        """
        highs = np.maximum.accumulate(np.concatenate([[high_us], time_us]))
        before = np.searchsorted(self._positions, [position for position, _ in self.refusals])
        clocks: list[int] = highs[before].tolist()
        return clocks

    def dead_letter(self, position: int, refusal: Refused, refused_at_us: int) -> DeadLetter:
        """The refused record at `position`, unchanged, with the reason."""
        return DeadLetter(
            topic=self._reader.topic,
            partition=self._reader.partition,
            offset=self._offsets[position],
            stage=refusal.stage,
            exception_class=type(refusal).__name__,
            exception_message=refusal.reason,
            key=self._keys.get(position),
            value=self._values[position],
            headers=list(self._headers.get(position) or ()),
            refused_at=datetime.fromtimestamp(refused_at_us / 1e6, UTC),
        )

    def _read(self, records_max: int) -> int:
        batch = self._reader.read(records_max)
        decode, start = self._decode, len(self._values)
        for position, value in enumerate(batch.values, start):
            try:
                self.events.append(decode(value))
                self._positions.append(position)
            except Refused as refusal:
                self.refusals.append((position, refusal))
        # Of every record, since an event may yet be refused for its time.
        self._keys.update(enumerate(batch.keys or (), start))
        self._headers.update(enumerate(batch.headers or (), start))
        self._values.extend(batch.values)
        self._offsets.extend(batch.offsets)
        return len(batch.values)
