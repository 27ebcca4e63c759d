"""Topics and tables in memory, as Kafka and ClickHouse would keep them, which survive the crashes of who uses them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from c360_stream.connectors.clickhouse import TableStore
from c360_stream.connectors.ports import Heard, OutRecord, RawBatch, TopicRecord, Waiting, wait_patiently
from c360_stream.errors import TransportError
from tests.reference.log import read_lines, topic_name
from tests.reference.oracle import TOPICS


class CrashError(BaseException):
    """The process died here. No `Exception`: nothing in the flow may handle it."""


@dataclass
class Fate:
    """When what happens: at the n-th call of a place the process dies, is asked to stop, or has to wait.

    Parameters
    ----------
    dies_at, stops_at
        Number of the call, from 1; 0: never.
    waits_at
        Numbers of calls that find the place away for a while.
    stop
        Asks the run to stop.
    """

    dies_at: int = 0
    stops_at: int = 0
    waits_at: frozenset[int] = frozenset()
    stop: Callable[[], None] = lambda: None
    calls: int = 0
    dead: bool = False
    trace: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, what: str, waiting: Waiting = wait_patiently) -> None:
        """Count a call; the dead do nothing any more."""
        with self.lock:
            self.calls += 1
            number = self.calls
            if number == self.dies_at:
                self.dead = True
                self.trace.append(f"dies at call {number}: {what}")
            if self.dead:
                raise CrashError(what)
        if number == self.stops_at:
            self.trace.append(f"stops at call {number}: {what}")
            self.stop()
        if number in self.waits_at:
            for _ in range(3):
                waiting(f"{what}: away")


class MemoryTopics:
    """Input partitions and everything published: what committed readers see, in the order in which they see it."""

    def __init__(self, log_dir: Path) -> None:
        self.input = {
            (topic_name(topic), number): lines
            for topic in TOPICS
            for number, lines in read_lines(log_dir, topic).items()
        }
        self.seen: list[TopicRecord] = []
        self.exact: list[TopicRecord] = []
        self.markers: dict[tuple[str, str], int] = defaultdict(int)
        self.owners: dict[str, object] = {}


class MemoryTransport:
    """Implements `Transport` over `MemoryTopics`, for one process; `fate` decides when that ends."""

    def __init__(self, topics: MemoryTopics, fate: Fate) -> None:
        self._topics = topics
        self._fate = fate

    def partitions(self, topic: str) -> list[int]:
        """As they were written."""
        return sorted(number for name, number in self._topics.input if name == topic)

    def reader(self, topic: str, partition: int, resume: tuple[int, ...] | None, *, live: bool) -> MemoryReader:
        """Read from the position (number of the next line,)."""
        return MemoryReader(self._topics, self._fate, topic, partition, resume[0] if resume else 0)

    def writer(self, topic: str, resume: tuple[int, ...] | None) -> MemoryWriter:
        """Append at once."""
        return MemoryWriter(self._topics, self._fate, topic)

    def outbox(self, part: str, waiting: Waiting = wait_patiently) -> MemoryOutbox:
        """Take over a partition of the sink."""
        return MemoryOutbox(self._topics, self._fate, part, waiting)

    def close(self) -> None:
        """Nothing is held."""


class MemoryReader:
    """Implements `RecordReader`."""

    def __init__(self, topics: MemoryTopics, fate: Fate, topic: str, partition: int, position: int) -> None:
        self.topic = topic
        self.partition = partition
        self._lines = topics.input[topic, partition]
        self._fate = fate
        self._next = position

    def read(self, records_max: int) -> RawBatch:
        """The next lines."""
        self._fate.call("read")
        first = self._next
        values = self._lines[first : first + records_max]
        self._next = first + len(values)
        return RawBatch(values, range(first, self._next))

    @property
    def at_end(self) -> bool:
        """Whether all has been read."""
        return self._next == len(self._lines)

    def position(self) -> tuple[int, ...]:
        """(Number of the next line,)."""
        return (self._next,)

    def lag(self) -> int:
        """Lines that are left."""
        return len(self._lines) - self._next

    def close(self) -> None:
        """Nothing is held."""


class MemoryWriter:
    """Implements `RecordWriter`: what a run without a recovery store publishes with."""

    def __init__(self, topics: MemoryTopics, fate: Fate, topic: str) -> None:
        self.topic = topic
        self._topics = topics
        self._fate = fate

    def write(self, records: Sequence[OutRecord], heard: Heard | None = None) -> None:
        """Append."""
        self._fate.call("write")
        for record in records:
            self._topics.seen.append((self.topic, record))
            if heard is not None:
                heard(record)

    def flush(self) -> None:
        """Everything is there already."""

    def position(self) -> tuple[int, ...]:
        """Nothing can be taken back."""
        return ()

    def close(self) -> None:
        """Nothing is held."""


class MemoryOutbox:
    """Implements `OutboxWriter`: a batch and its marker become visible together, or not at all."""

    def __init__(self, topics: MemoryTopics, fate: Fate, part: str, waiting: Waiting) -> None:
        self._topics = topics
        self._fate = fate
        self._part = part
        self._waiting = waiting
        self._unflushed: list[tuple[TopicRecord, Heard | None]] = []
        topics.owners[part] = self

    def newest(self, store: str) -> int:
        """The last published number, by the marker."""
        return self._topics.markers[self._part, store]

    def publish(self, store: str, sequence: int, records: Sequence[TopicRecord]) -> None:
        """Publish, unless the marker says that this was done."""
        if self._topics.owners[self._part] is not self:
            raise TransportError("another run has taken over", "")
        self._fate.call("publish, before the commit", self._waiting)
        if sequence > self._topics.markers[self._part, store]:
            self._topics.seen += records
            self._topics.exact += records
            self._topics.markers[self._part, store] = sequence
        self._fate.call("publish, after the commit", self._waiting)

    def write(self, records: Sequence[TopicRecord], heard: Heard | None = None) -> None:
        """Queue."""
        self._fate.call("write")
        self._unflushed += [(record, heard) for record in records]

    def flush(self) -> None:
        """Deliver what is queued."""
        if self._unflushed:
            self._fate.call("flush", self._waiting)
            for (topic, record), heard in self._unflushed:
                self._topics.seen.append((topic, record))
                if heard is not None:
                    heard(record)
            self._unflushed = []

    def close(self) -> None:
        """What was not flushed is gone."""


class MemoryTables:
    """Rows of every table in the order of their insertion, and the tokens that came with them."""

    def __init__(self) -> None:
        self.blocks: list[tuple[str, pa.Table]] = []
        self.tokens: set[tuple[str, str]] = set()

    def rows(self, table: str) -> list[dict[str, object]]:
        """All rows of a table, repeated ones too."""
        return [row for name, block in self.blocks if name == table for row in block.to_pylist()]


class MemoryStore(TableStore):
    """A connection to `MemoryTables`, for one process."""

    def __init__(self, tables: MemoryTables, fate: Fate, waiting: Waiting) -> None:
        self._tables = tables
        self._fate = fate
        self._wait_for = waiting

    def insert_rows(self, table: str, rows: pa.Table, token: str | None = None, *, repeated: bool = False) -> int:
        """Insert a block, unless its token was seen."""
        self._fate.call(f"insert into {table}, before it", self._wait_for)
        if token is None or (table, token) not in self._tables.tokens:
            self._tables.blocks.append((table, rows))
            if token is not None:
                self._tables.tokens.add((table, token))
        self._fate.call(f"insert into {table}, after it", self._wait_for)
        return int(rows.num_rows)

    def close(self) -> None:
        """Nothing is held."""
