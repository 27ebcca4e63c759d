"""Table sink: every row is stored before a snapshot vouches for it, or is held by the snapshot."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from xxhash import xxh3_64_hexdigest

from c360_stream import metrics
from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.dead_letter_retention import set_letter_retention
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.clickhouse.tables import arrow_table
from c360_stream.errors import StateError
from c360_stream.operators.heartbeats import Acknowledged
from c360_stream.operators.rows import HEARTBEATS, TableRows
from c360_stream.operators.run_context import RunContext, record_failure
from c360_stream.settings import Settings
from c360_stream.state.outbox import Chunk, Outbox, Pulse

ROWS_MAX = 20_000
BLOCK_BYTES_MAX = 8 * 1024 * 1024
"""Of text from outside in a block: 20,000 dead letters may be gigabytes, and some blocks are under way at a time."""
WAIT_SECONDS = 1.0
REPORT_SECONDS = 1.0
INSERTS_MAX = 4
SERVER_PARTS = 4

T = TypeVar("T")
NOBODY: Mapping[str, Callable[[Any], None]] = {}


def table_parts(settings: Settings) -> int:
    """Number of sink partitions: one for chDB, which one process at a time may open."""
    return 1 if settings.embedded_tables else SERVER_PARTS


def open_tables(settings: Settings, run: RunContext) -> TableStore:
    """Connect to the tables. chDB is brought up to date on the way; a server is left to `c360 setup`.

    Raises
    ------
    StateError
        If a server's schema is not the one that this release writes.
    """
    store = connect(
        settings.dsn,
        patience_seconds=settings.outage_seconds_max,
        waiting=run.shutdown.waiting,
        outages=run.outages,
    )
    if settings.embedded_tables:
        store.migrate()
        set_letter_retention(store, settings.dead_letter_retention_days)
    elif store.schema_version() != store.schema_expected():
        raise StateError(
            f"ClickHouse has schema version {store.schema_version()}, this release needs {store.schema_expected()}",
            "run `c360 setup`",
        )
    return store


class TableSink(FixedPartitionedSink[TableRows | Pulse, bytes | None]):
    """All tables of the table store.

    Parameters
    ----------
    run
        What its steps share.
    recovering
        Whether there is a recovery store, which an outbox needs.
    open_store
        Opens the table store: `open_tables` if absent.
    """

    def __init__(
        self,
        settings: Settings,
        run: RunContext,
        *,
        recovering: bool,
        open_store: Callable[[Settings], TableStore] | None = None,
    ) -> None:
        self.run = run
        self._settings = settings
        self._recovering = recovering
        self._open_store = open_store or functools.partial(open_tables, run=run)
        self.parts = table_parts(settings)

    def list_parts(self) -> list[str]:
        """Numbers of the sink's partitions."""
        return [str(number) for number in range(self.parts)]

    def part_fn(self, item_key: str) -> int:
        """The partition is the key."""
        return int(item_key)

    @record_failure
    def build_part(self, step_id: str, for_part: str, resume_state: bytes | None) -> TableSinkPartition:
        """Connect."""
        outbox = Outbox(f"tables {for_part}", resume_state) if self._recovering else None
        on_inserted = {HEARTBEATS: Acknowledged(HEARTBEATS, live=self._settings.live).rows}
        return TableSinkPartition(lambda: self._open_store(self._settings), self.run, outbox, for_part, on_inserted)


class TableSinkPartition(StatefulSinkPartition[TableRows | Pulse, bytes | None]):
    """Collects columns and inserts them in large blocks, from a thread of its own.

    The thread is needed because chDB crashes when it is called from the engine's own worker threads, and welcome
    because inserting and computing overlap. Bounds: `ROWS_MAX` rows or `BLOCK_BYTES_MAX` a block, `WAIT_SECONDS`,
    `INSERTS_MAX` inserts under way (then writing blocks: back-pressure), and every snapshot waits for all of them.

    With an outbox, exact rows are inserted once the snapshot that holds them is durable (see `TopicOutboxPartition`),
    under a token that names the block, so that the server drops a repetition; the next snapshot waits for them, and
    nobody does before (a tick of 100,000 accounts kept the sources waiting for 1.7 s). Other rows, and all rows without
    an outbox, are inserted at once; a crash repeats them, and the tables keep one row of each key.
    """

    def __init__(
        self,
        connect_store: Callable[[], TableStore],
        run: RunContext,
        outbox: Outbox | None = None,
        name: str = "0",
        on_inserted: Mapping[str, Callable[[pa.Table], None]] = NOBODY,
    ) -> None:
        self.run = run
        self._name = name
        self._outbox = outbox
        self._on_inserted = on_inserted  # by table, what to call with rows that are inserted
        self._held = Blocks()
        self._thread = ThreadPoolExecutor(1, "tables")
        self._store = self._thread.submit(connect_store).result()
        self._inserts: deque[Future[bool]] = deque()
        self._waiting = Blocks()
        self._flushed_at = time.monotonic()
        # What a snapshot held may have been stored, or been under way, when its process died.
        self._publish_sealed(repeated=True)

    @record_failure
    def write_batch(self, items: list[TableRows | Pulse]) -> None:
        """Have the last snapshot's rows inserted, as there is room; take rows."""
        self._begin_publishing()
        for item in items:
            if isinstance(item, Pulse):
                continue
            if self._outbox is not None and item.exact:
                if (block := self._held.add(item)) is not None:
                    self._outbox.add(pack_block(*block))
            elif (block := self._waiting.add(item)) is not None:
                self._insert(*block)
        # Few rows are no reason to wait for room: they go with the next look.
        if time.monotonic() - self._flushed_at >= WAIT_SECONDS and len(self._inserts) < INSERTS_MAX:
            self._flush()

    def _flush(self) -> None:
        for block in self._waiting.take():
            self._insert(*block)
        self._flushed_at = time.monotonic()

    def _insert(self, table: str, rows: pa.Table) -> None:
        """Insert a block, once there is room among those under way."""
        self._settle(INSERTS_MAX - 1)
        self._inserts.append(self._thread.submit(self._insert_now, table, rows))

    def _insert_now(self, table: str, rows: pa.Table, token: str | None = None, repeated: bool = False) -> bool:
        """Insert a block; whether it is of the outbox."""
        with self.run.writes.measure(table):
            self._store.insert_rows(table, rows, token, repeated=repeated)
        metrics.SINK_ROWS.labels(table).inc(rows.num_rows)
        if (on_inserted := self._on_inserted.get(table)) is not None:
            on_inserted(rows)
        return token is not None

    def _begin_publishing(self, *, repeated: bool = False) -> None:
        """Have blocks of the last snapshot inserted, as many as there is room for."""
        self._settle(INSERTS_MAX)
        while self._outbox is not None and len(self._inserts) < INSERTS_MAX and (chunk := self._outbox.take()):
            self._inserts.append(self._thread.submit(self._publish_now, chunk, repeated))

    def _publish_now(self, chunk: Chunk, repeated: bool) -> bool:
        # Also by its content: an older recovery directory gives the same numbers to other rows, and none may be lost.
        token = f"{chunk.store}:{self._name}:{chunk.sequence}:{xxh3_64_hexdigest(chunk.content)}"
        return self._insert_now(*unpack_block(chunk.content), token, repeated)

    def _publish_sealed(self, *, repeated: bool = False) -> None:
        """Return once all blocks of the last snapshot are inserted."""
        while self._outbox is not None and self._outbox.publishing:
            self._begin_publishing(repeated=repeated)
            self._settle(max(0, len(self._inserts) - 1))

    def _settle(self, under_way_max: int) -> None:
        """Wait until so many inserts are under way; raise what one of them raised."""
        while len(self._inserts) > under_way_max or (self._inserts and self._inserts[0].done()):
            of_outbox = wait(self._inserts[0], "an insert into the tables is under way", self.run)
            self._inserts.popleft()
            if of_outbox and self._outbox is not None:
                self._outbox.published()

    @record_failure
    def snapshot(self) -> bytes | None:
        """Make sure that every insert under way is done; what waits, as bytes, or inserted where there is no outbox."""
        if self._outbox is None:
            self._flush()
            self._settle(0)
            return None
        self._publish_sealed()
        self._settle(0)
        # Rows that may go at once go along if they have not gone yet: inserting them would hold up the engine.
        for block in (*self._held.take(), *self._waiting.take()):
            self._outbox.add(pack_block(*block))
        return self._outbox.seal()

    def close(self) -> None:
        """Release the connection; at the end of the input, once the last snapshot's rows are stored.

        A clean stop without an outbox stores what is at hand; after a failure that would be unsafe.
        """
        if self._outbox is None:
            if self.run.shutdown.requested:
                self.snapshot()
            self._release()
        elif self.run.shutdown.requested or self.run.shutdown.first_failure is not None:
            self._release()
        else:
            self.run.outboxes.add(self._finish)

    def _finish(self) -> None:
        self._publish_sealed()
        self._settle(0)
        self._release()

    def _release(self) -> None:
        for insert in self._inserts:  # those that have not begun: a stop does not wait for them
            insert.cancel()
        self._thread.submit(self._store.close).result()
        self._thread.shutdown()


class Blocks:
    """Rows on their way to becoming blocks of one table each, of `ROWS_MAX` rows, `BLOCK_BYTES_MAX` or a bit more."""

    def __init__(self) -> None:
        self._rows: dict[str, list[TableRows]] = {}
        self._counts: dict[str, tuple[int, int]] = {}

    def add(self, item: TableRows) -> tuple[str, pa.Table] | None:
        """Take rows; give a block when there are enough."""
        self._rows.setdefault(item.table, []).append(item)
        rows, size = self._counts.get(item.table, (0, 0))
        rows, size = self._counts[item.table] = rows + item.rows, size + item.bytes
        return self._block(item.table) if rows >= ROWS_MAX or size >= BLOCK_BYTES_MAX else None

    def take(self) -> list[tuple[str, pa.Table]]:
        """Give all rows, a block a table."""
        return [self._block(table) for table in list(self._rows)]

    def _block(self, table: str) -> tuple[str, pa.Table]:
        del self._counts[table]
        batches = self._rows.pop(table)
        columns = {name: _joined([batch.columns[name] for batch in batches]) for name in batches[0].columns}
        return table, arrow_table(table, columns)


def wait(under_way: Future[T], reason: str, run: RunContext) -> T:
    """Wait for work of a thread, and report meanwhile why; return its result, or raise its error."""
    while True:
        try:
            return under_way.result(REPORT_SECONDS)
        except FutureTimeoutError:
            if under_way.done():
                raise
            run.shutdown.waiting(reason)


def pack_block(table: str, rows: pa.Table) -> bytes:
    """A block as bytes."""
    written = pa.BufferOutputStream()
    with pa.ipc.new_stream(written, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(rows)
    return msgspec.msgpack.encode((table, written.getvalue().to_pybytes()))


def unpack_block(chunk: bytes) -> tuple[str, pa.Table]:
    """What `pack_block` took."""
    table, written = msgspec.msgpack.decode(chunk)
    with pa.ipc.open_stream(written) as stream:
        return table, stream.read_all()


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    if isinstance(parts[0], pa.Array):
        return pa.concat_arrays(parts)
    return [value for part in parts for value in part]
