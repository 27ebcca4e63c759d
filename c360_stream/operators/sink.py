"""Sinks: tables and topics. Each flushes at a snapshot, so that what a snapshot vouches for is stored."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from c360_stream import metrics
from c360_stream.connectors.clickhouse import TableStore, connect
from c360_stream.connectors.ports import RecordWriter, Transport
from c360_stream.errors import C360Error, StateError
from c360_stream.operators.rows import TableRows, TopicRecords
from c360_stream.operators.stop import failing_loudly, stop_requested
from c360_stream.settings import Settings

ROWS_MAX = 20_000
WAIT_SECONDS = 1.0
INSERTS_MAX = 4
SERVER_PARTS = 4


def table_parts(settings: Settings) -> int:
    """Number of sink partitions: one for chDB, which one process at a time may open."""
    return 1 if settings.embedded_tables else SERVER_PARTS


def open_tables(settings: Settings) -> TableStore:
    """Connect to the tables. chDB is brought up to date on the way; a server is left to `c360 setup`.

    Raises
    ------
    StateError
        If a server's schema is not the one that this release writes.
    """
    store = connect(settings.dsn)
    if settings.embedded_tables:
        store.migrate()
    elif store.schema_version() != store.schema_expected():
        raise StateError(
            f"ClickHouse has schema version {store.schema_version()}, this release needs {store.schema_expected()}",
            "run `c360 setup`",
        )
    return store


class TableSink(FixedPartitionedSink[TableRows, None]):
    """All tables of the table store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def list_parts(self) -> list[str]:
        """Numbers of the sink's partitions."""
        return [str(number) for number in range(table_parts(self.settings))]

    def part_fn(self, item_key: str) -> int:
        """The partition is the key."""
        return int(item_key)

    @failing_loudly
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> TableSinkPartition:
        """Connect."""
        return TableSinkPartition(lambda: open_tables(self.settings))


class TableSinkPartition(StatefulSinkPartition[TableRows, None]):
    """Collects columns and inserts them in large blocks, from a thread of its own.

    The thread is needed because chDB crashes when it is called from the engine's own worker threads, and welcome
    because inserting and computing overlap. Bounds: `ROWS_MAX` rows a table, `WAIT_SECONDS`, `INSERTS_MAX`
    inserts under way (then writing blocks: back-pressure), and every snapshot waits for all of them. A crash
    repeats at most what was inserted since the last snapshot; the tables keep one row of each.
    """

    def __init__(self, connect_store: Callable[[], TableStore]) -> None:
        self._thread = ThreadPoolExecutor(1, "tables")
        self._store = self._thread.submit(connect_store).result()
        self._inserts: deque[Future[None]] = deque()
        self._waiting: dict[str, list[TableRows]] = {}
        self._rows: dict[str, int] = {}
        self._flushed_at = time.monotonic()

    @failing_loudly
    def write_batch(self, items: list[TableRows]) -> None:
        """Take rows."""
        for item in items:
            self._waiting.setdefault(item.table, []).append(item)
            self._rows[item.table] = self._rows.get(item.table, 0) + item.rows
            if self._rows[item.table] >= ROWS_MAX:
                self._flush(item.table)
        if time.monotonic() - self._flushed_at >= WAIT_SECONDS:
            self._flush_all()

    def _flush_all(self) -> None:
        for table in list(self._waiting):
            self._flush(table)
        self._flushed_at = time.monotonic()

    def _flush(self, table: str) -> None:
        self._settle(INSERTS_MAX - 1)
        self._inserts.append(self._thread.submit(self._insert, table, self._waiting.pop(table), self._rows.pop(table)))

    def _insert(self, table: str, batches: list[TableRows], rows: int) -> None:
        columns = {name: _joined([batch.columns[name] for batch in batches]) for name in batches[0].columns}
        with _measured(table):
            self._store.insert(table, columns)
        metrics.SINK_ROWS.labels(table).inc(rows)

    def _settle(self, under_way_max: int) -> None:
        """Wait until so many inserts are under way; raise what one of them raised."""
        while len(self._inserts) > under_way_max or (self._inserts and self._inserts[0].done()):
            self._inserts.popleft().result()

    @failing_loudly
    def snapshot(self) -> None:
        """Store everything that came before."""
        self._flush_all()
        self._settle(0)

    def close(self) -> None:
        """Release the connection. A clean stop stores what is at hand; after a failure that would be unsafe."""
        if stop_requested():
            self.snapshot()
        self._thread.submit(self._store.close).result()
        self._thread.shutdown()


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [value for part in parts for value in part]


class TopicSink(FixedPartitionedSink[TopicRecords, tuple[int, ...]]):
    """The output topics, one partition of the sink each.

    Parameters
    ----------
    begun_at
        Positions of the topics when the recovery store was made.
    """

    def __init__(self, settings: Settings, transport: Transport, begun_at: Mapping[str, tuple[int, ...]]) -> None:
        self.begun_at = begun_at
        self.topics = sorted((settings.risk_topic, settings.alarm_topic, settings.dead_letter_topic))
        self.transport = transport

    def list_parts(self) -> list[str]:
        """Names of the topics."""
        return self.topics

    def part_fn(self, item_key: str) -> int:
        """The key is the topic."""
        return self.topics.index(item_key)

    @failing_loudly
    def build_part(self, step_id: str, for_part: str, resume_state: tuple[int, ...] | None) -> TopicSinkPartition:
        """Open one topic; before the first snapshot, where it was when the recovery store was made."""
        return TopicSinkPartition(self.transport.writer(for_part, resume_state or self.begun_at.get(for_part)))


class TopicSinkPartition(StatefulSinkPartition[TopicRecords, tuple[int, ...]]):
    """Appends to one topic."""

    def __init__(self, writer: RecordWriter) -> None:
        self._writer = writer

    @failing_loudly
    def write_batch(self, items: list[TopicRecords]) -> None:
        """Append records."""
        records = [record for item in items for record in item.records]
        with _counted_errors(self._writer.topic):
            self._writer.write(records)
        metrics.SINK_ROWS.labels(self._writer.topic).inc(len(records))

    @failing_loudly
    def snapshot(self) -> tuple[int, ...]:
        """Make sure that everything is delivered; where the topic ends then."""
        with _measured(self._writer.topic):
            self._writer.flush()
        return self._writer.position()

    def close(self) -> None:
        """Release the writer. A clean stop delivers what is at hand."""
        if stop_requested():
            self._writer.flush()
        self._writer.close()


@contextmanager
def _counted_errors(sink: str) -> Iterator[None]:
    try:
        yield
    except C360Error:
        metrics.SINK_ERRORS.labels(sink).inc()
        raise


@contextmanager
def _measured(sink: str) -> Iterator[None]:
    began = time.perf_counter()
    with _counted_errors(sink):
        yield
    metrics.SINK_FLUSH_DURATION_SECONDS.labels(sink).observe(time.perf_counter() - began)
