"""Ports between the flow and the outside: each has a Kafka and a log directory implementation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Consecutive records of one partition, as they were found.

    `keys` and `headers` are None where the transport has none (log directory); else as long as `values`.
    `offsets[i]` names record i within its partition: Kafka's offset, or the line's number from 0.
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
    """One record to publish. `value` None is a tombstone."""

    key: str
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class RecordWriter(Protocol):
    """Appends records to one topic."""

    topic: str

    def write(self, records: Sequence[OutRecord]) -> None:
        """Take records; they may still be in memory when this returns. Back-pressure: may block."""

    def flush(self) -> None:
        """Return once everything written is acknowledged (Kafka) or synced (log directory).

        Raises TransportError if anything could not be delivered.
        """

    def position(self) -> tuple[int, ...]:
        """State for `open(..., resume=...)`: the log directory truncates to it; empty for Kafka."""

    def close(self) -> None:
        """Release files and connections. Publishes nothing."""


class Transport(Protocol):
    """A place that has topics."""

    def partitions(self, topic: str) -> list[int]:
        """The topic's partition numbers, ascending; empty if there is no such topic."""

    def reader(self, topic: str, partition: int, resume: tuple[int, ...] | None, *, live: bool) -> RecordReader:
        """Open a partition from its start, or from a position that `RecordReader.position` gave."""

    def writer(self, topic: str, resume: tuple[int, ...] | None) -> RecordWriter:
        """Open a topic for appending."""

    def close(self) -> None:
        """Release connections."""
