"""Ports between the flow and the outside: each has a Kafka and a log directory implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

Headers = Sequence[tuple[str, bytes | None]]
Waiting = Callable[[str], None]
"""Called at least once a second while waiting for a broker or a server, with the reason in words. May raise."""


def wait_patiently(reason: str) -> None:
    """Do nothing: the `Waiting` of callers that need no heartbeat and no stop signal."""


VALUE_BYTES_MAX = 8 * 1024 * 1024
"""A longer value is cut to this and marked `TRUNCATED`, so that one record cannot exhaust memory."""
BATCH_BYTES_MAX = 16 * 1024 * 1024
"""Reading ends with the call that takes a batch here: its records are held together until it is done."""
TRUNCATED = ("c360.truncated", b"true")
"""Header that a reader adds to a record whose value it cut."""
TOMBSTONE = ("c360.tombstone", b"true")
"""Header that a reader adds to a record that had no value; its value reads as empty."""


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Consecutive records of one partition, as they were found.

    `keys` and `headers` are None where no record has any; else as long as `values`. A log directory has no
    keys, and no headers but `TRUNCATED`. `offsets[i]` names record i within its partition: Kafka's offset,
    or the line's number from 0.
    """

    values: Sequence[bytes]
    offsets: Sequence[int]
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Headers | None] | None = None


class RecordReader(Protocol):
    """Reads one partition of one topic, in order, from a resumable position."""

    topic: str
    partition: int

    def read(self, records_max: int) -> RawBatch:
        """Up to `records_max` next records, without blocking for more than a few milliseconds.

        An empty batch means that there is nothing to read now. Bounded memory whatever the partition holds.

        Raises
        ------
        TransportError
            If records after the position are gone or unreadable. An outage is not an error: the batches are
            empty, and `at_end` is false, until it ends.
        """

    @property
    def at_end(self) -> bool:
        """Whether the last `read` reached the end of what the partition held."""

    def position(self) -> tuple[int, ...]:
        """Where to resume, after everything that `read` has returned: plain integers."""

    def lag(self) -> int:
        """Records (Kafka) or bytes (log directory) between the position and the partition's end."""

    def close(self) -> None:
        """Release files and connections."""


@dataclass(frozen=True, slots=True)
class OutRecord:
    """One record to publish. `value` None is a tombstone; a key of bytes or None is a dead letter's own."""

    key: str | bytes | None
    value: bytes | None
    headers: Headers = ()


TopicRecord = tuple[str, OutRecord]
"""A topic, and a record for it."""
OnDelivered = Callable[[OutRecord], None]
"""Called with a record once it is acknowledged (Kafka) or synced (log directory), by a later call of its writer."""


class RecordWriter(Protocol):
    """Appends records to one topic."""

    topic: str

    def write(self, records: Sequence[OutRecord], on_delivered: OnDelivered | None = None) -> None:
        """Take records; they may still be in memory when this returns. Back-pressure: may block.

        Without a record it only handles the delivery reports of earlier records.
        """

    def flush(self) -> None:
        """Return once everything written is acknowledged (Kafka) or synced (log directory).

        Raises TransportError if anything could not be delivered.
        """

    def position(self) -> tuple[int, ...]:
        """State for `Transport.writer(..., resume)`: the log directory truncates to it; empty for Kafka."""

    def close(self) -> None:
        """Release files and connections. Publishes nothing."""


class OutboxWriter(Protocol):
    """Publishes to several topics for one partition of the sink: batches exactly once, other records at once."""

    def newest(self, store: str) -> int:
        """The last published number of a recovery store's batches; 0 if none was published."""

    def publish(self, store: str, sequence: int, records: Sequence[TopicRecord]) -> None:
        """Publish a batch, all or none of it; nothing if it has been published before.

        Waits out an outage within a bound, calling `Waiting` meanwhile.

        Parameters
        ----------
        store
            Names the recovery store, whose batches are numbered from 1.
        sequence
            Number of the batch. One that is not above the last published number of `store` is not published again.
        records
            Topic and record, in the order in which readers shall see them.

        Raises
        ------
        TransportError
            If the batch could not be published, or another process has taken over this partition of the sink.
        """

    def write(self, records: Sequence[TopicRecord], on_delivered: OnDelivered | None = None) -> None:
        """Publish records at least once, soon: they may still be in memory when this returns; may block.

        Without a record it only handles the delivery reports of earlier records.
        """

    def flush(self) -> None:
        """Return once everything written is acknowledged. Raises `TransportError` if it could not be delivered."""

    def close(self) -> None:
        """Release connections. Publishes nothing."""


class Transport(Protocol):
    """A place that has topics."""

    def partitions(self, topic: str) -> list[int]:
        """The topic's partition numbers, ascending; empty if there is no such topic."""

    def reader(self, topic: str, partition: int, resume: tuple[int, ...] | None, *, live: bool) -> RecordReader:
        """Open a partition from its start, or from a position that `RecordReader.position` gave.

        `live` readers tail: what a writer has not finished is left for later.
        """

    def writer(self, topic: str, resume: tuple[int, ...] | None) -> RecordWriter:
        """Open a topic for appending, or from a position that `RecordWriter.position` gave."""

    def outbox(self, part: str, waiting: Waiting = wait_patiently) -> OutboxWriter | None:
        """Open an outbox for a partition of the sink; a second one of the same name shuts out the first.

        None where a writer's position takes records back instead (log directory).
        """

    def close(self) -> None:
        """Release connections."""
