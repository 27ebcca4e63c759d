"""Sinks: nothing that a snapshot vouches for is still in memory, and no failed insert goes unnoticed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from c360_stream.connectors.clickhouse import TableStore
from c360_stream.connectors.ports import OutRecord
from c360_stream.errors import TransportError
from c360_stream.operators import sink, stop
from c360_stream.operators.rows import TableRows, TopicRecords
from c360_stream.operators.sink import TableSinkPartition, TopicSinkPartition

DEADLINE_SECONDS = 10.0


class MemoryTables(TableStore):
    """A table store that keeps what it is given, fails when it is told to, and can be made to wait."""

    def __init__(self) -> None:
        self.inserts: list[tuple[str, dict[str, Any]]] = []
        self.failing = False
        self.free = threading.Event()
        self.free.set()
        self.threads = {threading.get_ident()}
        self.closed = False

    def insert(self, table: str, columns: Mapping[str, Any], token: str | None = None) -> int:
        assert self.free.wait(DEADLINE_SECONDS)
        self.threads.add(threading.get_ident())
        if self.failing:
            raise TransportError(f"insert into {table}: no room", "make some")
        self.inserts.append((table, dict(columns)))
        return len(next(iter(columns.values())))

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed = True

    def rows(self, table: str) -> list[Any]:
        """The values of a table's column, over all inserts."""
        return [value for name, columns in self.inserts if name == table for value in columns["value"]]


@pytest.fixture(autouse=True)
def _no_failures_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "_failures", [])


@pytest.fixture
def store() -> MemoryTables:
    return MemoryTables()


@pytest.fixture
def partition(monkeypatch: pytest.MonkeyPatch) -> Iterator[TableSinkPartition]:
    """A sink that flushes for reasons of its own only when ten rows wait."""
    monkeypatch.setattr(sink, "ROWS_MAX", 10)
    monkeypatch.setattr(sink, "WAIT_SECONDS", 1e9)
    built = TableSinkPartition(MemoryTables)
    yield built
    built.close()


def tables_of(partition: TableSinkPartition) -> MemoryTables:
    store = partition._store
    assert isinstance(store, MemoryTables)
    return store


def rows(table: str, *values: int) -> TableRows:
    return TableRows(0, table, {"value": np.array(values), "name": [str(value) for value in values]}, len(values))


def test_a_snapshot_stores_everything_that_came_before(partition: TableSinkPartition) -> None:
    partition.write_batch([rows("one", 1, 2), rows("two", 7)])
    partition.write_batch([rows("one", 3)])
    store = tables_of(partition)
    assert store.inserts == []
    partition.snapshot()
    assert (store.rows("one"), store.rows("two")) == ([1, 2, 3], [7])
    assert [len(columns["name"]) for _, columns in store.inserts] == [3, 1], "one insert a table"
    partition.snapshot()
    assert len(store.inserts) == 2, "and nothing twice"


def test_a_snapshot_waits_for_inserts_under_way(partition: TableSinkPartition) -> None:
    store = tables_of(partition)
    store.free.clear()
    partition.write_batch([rows("one", *range(10))])
    waiting = threading.Thread(target=partition.snapshot)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive(), "it must not vouch for what is not stored yet"
    store.free.set()
    waiting.join(DEADLINE_SECONDS)
    assert store.rows("one") == list(range(10))


def test_many_rows_do_not_wait_for_the_snapshot(partition: TableSinkPartition) -> None:
    partition.write_batch([rows("one", *range(4)), rows("one", *range(4, 8)), rows("one", *range(8, 12))])
    partition.write_batch([rows("one", 12)])
    partition.snapshot()
    assert [len(columns["value"]) for _, columns in tables_of(partition).inserts] == [12, 1]


def test_rows_do_not_wait_long(partition: TableSinkPartition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "WAIT_SECONDS", 0.0)
    partition.write_batch([rows("one", 1)])
    partition._settle(0)
    assert tables_of(partition).rows("one") == [1]


def test_a_slow_database_makes_writing_wait(partition: TableSinkPartition) -> None:
    """Back-pressure: what is in memory is bounded."""
    store = tables_of(partition)
    store.free.clear()
    for _ in range(sink.INSERTS_MAX):
        partition.write_batch([rows("one", *range(10))])
    writing = threading.Thread(target=partition.write_batch, args=([rows("one", *range(10))],))
    writing.start()
    writing.join(0.05)
    assert writing.is_alive()
    store.free.set()
    writing.join(DEADLINE_SECONDS)
    partition.snapshot()
    assert len(store.rows("one")) == 10 * (sink.INSERTS_MAX + 1)


def test_a_failed_insert_fails_the_snapshot(partition: TableSinkPartition) -> None:
    tables_of(partition).failing = True
    partition.write_batch([rows("one", *range(10))])
    with pytest.raises(TransportError, match="no room"):
        partition.snapshot()


def test_a_failed_insert_fails_a_later_write(partition: TableSinkPartition) -> None:
    store = tables_of(partition)
    store.failing = True
    partition.write_batch([rows("one", *range(10))])
    assert isinstance(partition._inserts[0].exception(DEADLINE_SECONDS), TransportError)
    store.failing = False
    with pytest.raises(TransportError, match="no room"):
        partition.write_batch([rows("one", *range(10))])


def test_one_thread_does_all_that_touches_the_database() -> None:
    """The embedded database crashes when the engine's own threads call it."""
    built = TableSinkPartition(MemoryTables)
    store = tables_of(built)
    built.write_batch([rows("one", 1)])
    built.snapshot()
    built.close()
    assert store.closed
    assert len(store.threads) == 1
    assert threading.get_ident() not in store.threads


def test_closing_publishes_nothing_unless_it_is_a_clean_stop() -> None:
    """After a failure in another step, nobody knows whether what waits may be stored."""
    for stopping, stored in ((False, []), (True, [1])):
        built = TableSinkPartition(MemoryTables)
        built.write_batch([rows("one", 1)])
        if stopping:
            stop.request_stop()
        try:
            built.close()
        finally:
            stop._stop.clear()
        assert tables_of(built).rows("one") == stored


class MemoryWriter:
    """Implements `RecordWriter`: what is flushed is delivered, unless it is told to fail."""

    topic = "t"

    def __init__(self) -> None:
        self.written: list[OutRecord] = []
        self.delivered = 0
        self.failing = False
        self.closed = False

    def write(self, records: Sequence[OutRecord]) -> None:
        """Take records."""
        self.written += records

    def flush(self) -> None:
        """Deliver them."""
        if self.failing:
            raise TransportError("topic t: not delivered", "mend the broker")
        self.delivered = len(self.written)

    def position(self) -> tuple[int, ...]:
        """(delivered,)."""
        return (self.delivered,)

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def test_a_topic_is_delivered_at_the_snapshot_and_says_where_it_ends() -> None:
    writer = MemoryWriter()
    topic = TopicSinkPartition(writer)
    topic.write_batch([TopicRecords("t", [OutRecord("a", b"1"), OutRecord("b", None)]), TopicRecords("t", [])])
    assert topic.snapshot() == (2,)
    assert [record.key for record in writer.written] == ["a", "b"]
    topic.close()
    assert writer.closed


def test_a_topic_that_cannot_be_delivered_fails_the_snapshot() -> None:
    writer = MemoryWriter()
    topic = TopicSinkPartition(writer)
    topic.write_batch([TopicRecords("t", [OutRecord("a", b"1")])])
    writer.failing = True
    with pytest.raises(TransportError, match="not delivered"):
        topic.snapshot()
