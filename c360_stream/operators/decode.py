"""A batch of raw records on its way to columns of events and dead letters."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from c360_stream.connectors.ports import BATCH_BYTES_MAX, TOMBSTONE, RawBatch, RecordReader
from c360_stream.connectors.reading import read_within
from c360_stream.contracts.events import EVENT_BYTES_MAX, Decoder, Refused
from c360_stream.contracts.records import DeadLetter
from c360_stream.features.columns import EventColumns
from c360_stream.features.encoding import EventEncoder
from c360_stream.operators.run_context import RunContext

_READ_ON = 64
_WAIT_SECONDS = 0.2
"""Of a read that can do nothing else, between two looks at whether the run is to stop."""
# Records are decoded as soon as so many are read: they are in the processor's cache then.
READ_AT_ONCE = 2048
HEARTBEATS_MAX = 10_000
"""How many records a batch keeps while it reads on for events: a quiet partition has years of heartbeats."""
READ_ON_BYTES_MAX = 64 * 1024 * 1024
"""How much is read on for the next event of refused records since the last one: a flood of them may have no end. More
than is read at once, so that where a batch ends has no part in it."""
RECORD_BYTES = 256
"""What a record takes beside its key, value and headers."""
_REFUSED_BYTES_MAX = EVENT_BYTES_MAX + RECORD_BYTES


class ReturningReader:
    """A reader that takes records back, to give them again.

    Parameters
    ----------
    reader
        The reader.
    """

    def __init__(self, reader: RecordReader) -> None:
        self._reader = reader
        self.topic, self.partition = reader.topic, reader.partition
        self._returned: deque[tuple[tuple[int, ...], RawBatch]] = deque()

    def read(self, records_max: int) -> RawBatch:
        """As `RecordReader.read`; what was taken back comes in the pieces in which it was read."""
        return self._returned.popleft()[1] if self._returned else self._reader.read(records_max)

    @property
    def returned(self) -> bool:
        """Whether what comes next was taken back."""
        return bool(self._returned)

    def take_back(self, parts: Sequence[tuple[tuple[int, ...], RawBatch]]) -> None:
        """Take back the last parts read, each with the position before it."""
        self._returned.extendleft(reversed(parts))

    @property
    def at_end(self) -> bool:
        """As `RecordReader.at_end`."""
        return not self._returned and self._reader.at_end

    def position(self) -> tuple[int, ...]:
        """As `RecordReader.position`."""
        return self._returned[0][0] if self._returned else self._reader.position()

    def lag(self) -> int:
        """As `RecordReader.lag`, but for what was taken back."""
        return self._reader.lag()

    def close(self) -> None:
        """As `RecordReader.close`."""
        self._reader.close()


class DecodedBatch:
    """Records read from one partition: columns of the events, and refusals with their reason.

    Parameters
    ----------
    reader
        The partition.
    decoder, encoder
        Of the partition's topic.
    run
        Where waits are reported, and a stop is requested.
    records_max
        How many records to read at first.
    live
        Whether heartbeats may yet be refused for their time.
    wait_seconds
        How long to wait for the first record, before the partition's end.
    """

    def __init__(
        self,
        reader: ReturningReader,
        decoder: Decoder,
        encoder: EventEncoder,
        run: RunContext,
        records_max: int,
        *,
        live: bool = False,
        wait_seconds: float = 0.0,
    ) -> None:
        self._reader = reader
        self._decoder = decoder
        self._encoder = encoder
        self._run = run
        self._live = live
        self.read = 0
        """Number of records read."""
        self._parts: list[RawBatch] = []
        self._starts: list[int] = []
        self._resume_at: list[tuple[int, ...]] = []
        self._positions: list[int] = []
        self._encoded: list[EventColumns] = []
        self.refusals: list[tuple[int, Refused]] = []
        self.heartbeats: list[tuple[int, int]] = []
        """Position and time of each heartbeat. They are not among the events."""
        self.heartbeats_forgotten = 0
        """Number of accepted heartbeats that are not in `heartbeats` any more: older ones, see `more`."""
        self._refused_bytes = 0  # since the last event
        size = 0
        while max(size, self._refused_bytes) < BATCH_BYTES_MAX and self.read < records_max:
            asked, returned = min(READ_AT_ONCE, records_max - self.read), reader.returned
            if self._read(asked, 0.0 if self.read else wait_seconds) < asked and not returned:
                break
            size += sum(map(len, self._parts[-1].values))
        # What these hold is judged with this batch; what is read on for can be given back.
        self._own_parts, self._due = len(self._parts), len(self._positions)
        self._forgets = False

    @property
    def events(self) -> EventColumns:
        """The events as columns."""
        if len(self._encoded) > 1:
            self._encoded = [EventColumns.joined(self._encoded)]
        return self._encoded[0]

    def times(self) -> NDArray[np.int64]:
        """Event times of the events, int64 of shape (events,)."""
        return self.events.time_us

    def accounts(self, window: slice) -> NDArray[np.uint64]:
        """A hash of the account of each event in a window."""
        return self.events.account_hash[self.events.account[window]]

    def due(self) -> int:
        """So many of the events are this batch's own; what was read on for can be given back."""
        return self._due

    def more(self) -> NDArray[np.int64]:
        """Read on until there is another event or the partition's end for now; give `times` of all.

        No further than `READ_ON_BYTES_MAX` of refused records, with which it ends whatever the batches. In a replay,
        which refuses no heartbeat, not everything is kept of what has nothing but heartbeats in it.
        """
        before = len(self._positions)
        while not self._run.shutdown.requested and self._refused_bytes <= READ_ON_BYTES_MAX:
            refused = len(self.refusals)
            # However long they are, none follows that with which the bytes are too many.
            records_max = min(_READ_ON, (READ_ON_BYTES_MAX - self._refused_bytes) // _REFUSED_BYTES_MAX + 1)
            read = self._read(records_max, _WAIT_SECONDS)
            # A broker may have nothing for a moment: only the end is a reason to judge by less.
            if len(self._positions) > before or (not read and self._reader.at_end):
                break
            self._run.health.waiting(f"more of {self._reader.topic}[{self._reader.partition}]")
            if not read:
                continue
            self._forgets |= not self._live and self.read - self._starts[self._own_parts] > HEARTBEATS_MAX
            if self._forgets and len(self.refusals) == refused:
                # It cannot be given again, nor what is before it.
                self._parts[-1] = RawBatch([], [])
                self._own_parts, self._due = len(self._parts), before
                if (forgotten := len(self.heartbeats) - HEARTBEATS_MAX) > 0:
                    del self.heartbeats[:forgotten]
                    self.heartbeats_forgotten += forgotten
        return self.times()

    def give_back(self) -> None:
        """Give the reader back what was only read on for."""
        own = self._own_parts
        if own == len(self._parts):
            return
        read_on = zip(self._resume_at[own:], self._parts[own:], strict=True)
        self._reader.take_back([(position, part) for position, part in read_on if part.values])
        self.read = self._starts[own]
        self._encoded = [self.events.keep(np.arange(self._due))]
        self.refusals = [item for item in self.refusals if item[0] < self.read]
        self.heartbeats = [item for item in self.heartbeats if item[0] < self.read]
        del self._parts[own:], self._starts[own:], self._resume_at[own:], self._positions[self._due :]

    def refuse(self, chosen: Sequence[tuple[int, Refused]]) -> None:
        """Refuse events after all: pairs of a position in `events`, ascending, and why."""
        self._encoded = [self.events.keep(np.delete(np.arange(len(self.events)), [i for i, _ in chosen]))]
        for i, refusal in reversed(chosen):
            self.refusals.append((self._positions.pop(i), refusal))
        self.refusals.sort(key=lambda item: item[0])

    def refuse_heartbeats(self, after_us: int, refusal: Refused) -> None:
        """Refuse the heartbeats of a later time after all."""
        refused = [beat for beat in self.heartbeats if beat[1] > after_us]
        if refused:
            self.heartbeats = [beat for beat in self.heartbeats if beat[1] <= after_us]
            self.refusals += [(position, refusal) for position, _ in refused]
            self.refusals.sort(key=lambda item: item[0])

    def clocks(self, highs_us: NDArray[np.int64]) -> list[int]:
        """For each refusal the event time that the partition had come to before it, however it was batched.

        Parameters
        ----------
        highs_us
            int64: that time before each of the events that remain, and after the last of them.
        """
        before = np.searchsorted(self._positions, [position for position, _ in self.refusals])
        clocks: list[int] = highs_us[before].tolist()
        return clocks

    def offset_of(self, event: int) -> int:
        """Offset of the record of the event at a position in `events`."""
        number, i = self._place(self._positions[event])
        return self._parts[number].offsets[i]

    def _place(self, position: int) -> tuple[int, int]:
        number = bisect_right(self._starts, position) - 1
        return number, position - self._starts[number]

    def letter_of(self, event: int, refusal: Refused, refused_at_us: int) -> DeadLetter:
        """The dead letter that the event at a position in `events` would be."""
        return self.dead_letter(self._positions[event], refusal, refused_at_us)

    def dead_letter(self, position: int, refusal: Refused, refused_at_us: int) -> DeadLetter:
        """The refused record at `position`, unchanged, with the reason."""
        number, i = self._place(position)
        part = self._parts[number]
        headers = list((part.headers and part.headers[i]) or ())
        # The reader's own mark is no header of the record; one of the same name that somebody wrote is.
        gone = bool(headers) and headers[-1] is TOMBSTONE
        # In the order of its fields: by name they cost three times as much.
        return DeadLetter(
            self._reader.topic,
            self._reader.partition,
            part.offsets[i],
            refusal.stage,
            type(refusal).__name__,
            "It has no value: a tombstone is no event" if gone else refusal.reason,
            part.keys[i] if part.keys else None,
            None if gone else part.values[i],
            headers[:-1] if gone else headers,
            refused_at_us,
        )

    def _read(self, records_max: int, wait_seconds: float = 0.0) -> int:
        resume_at = self._reader.position()
        part = read_within(self._reader, records_max, wait_seconds)
        if not self._encoded:
            self._encoded.append(self._encoder.encode([], np.zeros(0, np.int64)))
        if not part.values:
            return 0
        start, self.read = self.read, self.read + len(part.values)
        events, refused = len(self._positions), len(self.refusals)
        # Every record is kept, since an event may yet be refused for its time.
        self._resume_at.append(resume_at)
        self._parts.append(part)
        self._starts.append(start)
        for block in self._decoder.decode_blocks(part.values):
            encoded, positions = self._encoder.encode(block.events, block.time_us), block.positions
            if start:
                positions = [start + position for position in positions]
            if len(beats := self._encoder.heartbeats(encoded)):
                encoded, positions = self._without(beats, encoded, positions)
            self._encoded.append(encoded)
            self._positions += positions
            self.refusals += [(start + position, refusal) for position, refusal in block.refused]
        self._weigh(part, start, self._positions[-1] if len(self._positions) > events else -1, refused)
        return len(part.values)

    def _weigh(self, part: RawBatch, start: int, last_event: int, refused: int) -> None:
        """Count the bytes of what was refused in a part that begins at `start`, from its last event on."""
        if last_event >= 0:
            self._refused_bytes = 0
        for position, _ in islice(self.refusals, refused, None):
            if position > last_event:
                i = position - start
                self._refused_bytes += RECORD_BYTES + len(part.values[i])
                if part.keys:
                    self._refused_bytes += len(part.keys[i] or b"")
                if part.headers:
                    self._refused_bytes += sum(len(name) + len(value or b"") for name, value in part.headers[i] or ())

    def _without(
        self, beats: NDArray[np.intp], encoded: EventColumns, positions: Sequence[int]
    ) -> tuple[EventColumns, Sequence[int]]:
        """Events without the heartbeats among them, which are noted."""
        self.heartbeats += [
            (positions[i], us) for i, us in zip(beats.tolist(), encoded.time_us[beats].tolist(), strict=True)
        ]
        others = np.delete(np.arange(len(encoded)), beats)
        return encoded.keep(others), [positions[i] for i in others.tolist()]
