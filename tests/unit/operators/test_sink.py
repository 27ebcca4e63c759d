"""Sinks: nothing that a snapshot vouches for is still in memory, and no failed insert goes unnoticed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from c360_stream import metrics
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.errors import StateError, TransportError
from c360_stream.features.definitions import FEATURES
from c360_stream.operators import sink
from c360_stream.operators.rows import TableRows
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.sink import TableSinkPartition
from c360_stream.state.outbox import PULSE, Outbox

DEADLINE_SECONDS = 10.0


class MemoryTables(TableStore):
    """A table store that keeps what it is given, fails when it is told to, and can be made to wait."""

    def __init__(self) -> None:
        self.inserts: list[tuple[str, list[str]]] = []
        self.tokens: list[str | None] = []
        self.doubted: list[str | None] = []
        self.failing = False
        self.free = threading.Event()
        self.free.set()
        self.asked = threading.Event()
        self.threads = {threading.get_ident()}
        self.closed = False

    def insert_rows(self, table: str, rows: pa.Table, token: str | None = None, *, repeated: bool = False) -> int:
        self.asked.set()
        assert self.free.wait(DEADLINE_SECONDS)
        self.threads.add(threading.get_ident())
        if self.failing:
            raise TransportError(f"insert into {table}: no room", "make some")
        if token is None or token not in self.tokens:
            self.inserts.append((table, rows["account_id"].to_pylist()))
        self.tokens.append(token)
        if repeated:
            self.doubted.append(token)
        return int(rows.num_rows)

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed = True

    def rows(self, table: str) -> list[int]:
        """The accounts of a table's rows, over all inserts."""
        return [int(account) for name, accounts in self.inserts if name == table for account in accounts]


@pytest.fixture
def store() -> MemoryTables:
    return MemoryTables()


@pytest.fixture
def partition(monkeypatch: pytest.MonkeyPatch) -> Iterator[TableSinkPartition]:
    """A sink that flushes for reasons of its own only when ten rows wait."""
    monkeypatch.setattr(sink, "ROWS_MAX", 10)
    monkeypatch.setattr(sink, "WAIT_SECONDS", 1e9)
    built = TableSinkPartition(MemoryTables, RunContext())
    yield built
    built.close()


def tables_of(partition: TableSinkPartition) -> MemoryTables:
    store = partition._store
    assert isinstance(store, MemoryTables)
    return store


def rows(table: str, *accounts: int, exact: bool = True) -> TableRows:
    """Rows of a table with few columns."""
    n = len(accounts)
    times = np.zeros(n, np.int64)
    columns: dict[str, Any] = {"account_id": [str(account) for account in accounts], "as_of": times}
    columns |= {"churned": [True] * n, "risk": [0.5] * n, "known_at": times}
    if table == "account_features":
        columns = {"account_id": columns["account_id"], "as_of": times} | {f: np.zeros(n) for f in FEATURES}
    return TableRows(0, table, columns, n, exact)


def test_a_snapshot_stores_everything_that_came_before(partition: TableSinkPartition) -> None:
    partition.write_batch([rows("outcomes", 1, 2), rows("account_features", 7)])
    partition.write_batch([rows("outcomes", 3)])
    store = tables_of(partition)
    assert store.inserts == []
    partition.snapshot()
    assert (store.rows("outcomes"), store.rows("account_features")) == ([1, 2, 3], [7])
    assert [len(accounts) for _, accounts in store.inserts] == [3, 1], "one insert a table"
    partition.snapshot()
    assert len(store.inserts) == 2, "and nothing twice"


def test_a_snapshot_waits_for_inserts_under_way(partition: TableSinkPartition) -> None:
    store = tables_of(partition)
    store.free.clear()
    partition.write_batch([rows("outcomes", *range(10))])
    waiting = threading.Thread(target=partition.snapshot)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive(), "it must not vouch for what is not stored yet"
    store.free.set()
    waiting.join(DEADLINE_SECONDS)
    assert store.rows("outcomes") == list(range(10))


def test_many_rows_do_not_wait_for_the_snapshot(partition: TableSinkPartition) -> None:
    partition.write_batch(
        [rows("outcomes", *range(4)), rows("outcomes", *range(4, 8)), rows("outcomes", *range(8, 12))]
    )
    partition.write_batch([rows("outcomes", 12)])
    partition.snapshot()
    assert [len(accounts) for _, accounts in tables_of(partition).inserts] == [12, 1]


def test_rows_do_not_wait_long(partition: TableSinkPartition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "WAIT_SECONDS", 0.0)
    partition.write_batch([rows("outcomes", 1)])
    partition._settle(0)
    assert tables_of(partition).rows("outcomes") == [1]


def test_a_slow_database_makes_writing_wait(partition: TableSinkPartition) -> None:
    """Back-pressure: what is in memory is bounded."""
    store = tables_of(partition)
    store.free.clear()
    for _ in range(sink.INSERTS_MAX):
        partition.write_batch([rows("outcomes", *range(10))])
    writing = threading.Thread(target=partition.write_batch, args=([rows("outcomes", *range(10))],))
    writing.start()
    writing.join(0.05)
    assert writing.is_alive()
    store.free.set()
    writing.join(DEADLINE_SECONDS)
    partition.snapshot()
    assert len(store.rows("outcomes")) == 10 * (sink.INSERTS_MAX + 1)


def test_a_failed_insert_fails_the_snapshot(partition: TableSinkPartition) -> None:
    tables_of(partition).failing = True
    partition.write_batch([rows("outcomes", *range(10))])
    with pytest.raises(TransportError, match="no room"):
        partition.snapshot()


def test_a_failed_insert_fails_a_later_write(partition: TableSinkPartition) -> None:
    store = tables_of(partition)
    store.failing = True
    partition.write_batch([rows("outcomes", *range(10))])
    assert isinstance(partition._inserts[0].exception(DEADLINE_SECONDS), TransportError)
    store.failing = False
    with pytest.raises(TransportError, match="no room"):
        partition.write_batch([rows("outcomes", *range(10))])


def test_one_thread_does_all_that_touches_the_database() -> None:
    """The embedded database crashes when the engine's own threads call it."""
    built = TableSinkPartition(MemoryTables, RunContext())
    store = tables_of(built)
    built.write_batch([rows("outcomes", 1)])
    built.snapshot()
    built.close()
    assert store.closed
    assert len(store.threads) == 1
    assert threading.get_ident() not in store.threads


def test_closing_publishes_nothing_unless_it_is_a_clean_stop() -> None:
    """After a failure in another step, nobody knows whether what waits may be stored."""
    for stopping, stored in ((False, []), (True, [1])):
        run = RunContext()
        built = TableSinkPartition(MemoryTables, run)
        built.write_batch([rows("outcomes", 1)])
        if stopping:
            run.shutdown.request()
        built.close()
        assert tables_of(built).rows("outcomes") == stored


def publish(partition: TableSinkPartition) -> None:
    """The pulse after a snapshot, and the inserts that it begins."""
    partition.write_batch([PULSE])
    partition._settle(0)


class TestOutbox:
    """With an outbox, exact rows are inserted once a snapshot holds them, and never twice."""

    @pytest.fixture
    def store(self) -> MemoryTables:
        return MemoryTables()

    def resumed(
        self, store: MemoryTables, state: bytes | None = None, run: RunContext | None = None
    ) -> TableSinkPartition:
        return TableSinkPartition(lambda: store, run or RunContext(), Outbox("tables 0", state))

    def test_rows_wait_for_the_snapshot_and_the_pulse_after_it(self, store: MemoryTables) -> None:
        partition = self.resumed(store)
        partition.write_batch([rows("outcomes", 1), rows("outcomes", 2, exact=False)])
        partition.snapshot()
        assert store.rows("outcomes") == [], "it is not known yet whether the snapshot is durable"
        publish(partition)
        assert store.rows("outcomes") == [1, 2]
        partition.snapshot()
        publish(partition)
        assert store.rows("outcomes") == [1, 2]

    def test_other_rows_go_at_once(self, store: MemoryTables, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sink, "WAIT_SECONDS", 0.0)
        partition = self.resumed(store)
        partition.write_batch([rows("outcomes", 1), rows("outcomes", 2, exact=False)])
        partition._settle(0)
        assert (store.rows("outcomes"), store.tokens) == ([2], [None])

    def test_a_crash_after_the_snapshot_inserts_what_it_holds_once(self, store: MemoryTables) -> None:
        partition = self.resumed(store)
        partition.write_batch([rows("outcomes", 1), rows("account_features", 1)])
        state = partition.snapshot()
        publish(partition)
        for _ in range(2):  # killed before the next snapshot, again and again
            self.resumed(store, state)
        assert (store.rows("outcomes"), store.rows("account_features")) == ([1], [1])
        assert len(set(store.tokens)) == 2
        assert len(store.tokens) == 6
        assert store.doubted == store.tokens[2:], "the tables may know a token and have lost its rows"

    def test_an_older_snapshot_gives_its_numbers_to_other_rows_and_loses_none(self, store: MemoryTables) -> None:
        partition = self.resumed(store)
        older = partition.snapshot()
        for number in (1, 2):  # the second time from the older snapshot
            partition.write_batch([rows("outcomes", number)])
            partition.snapshot()
            publish(partition)
            partition = self.resumed(store, older)
        assert store.rows("outcomes") == [1, 2]

    def test_what_no_crash_repeats_is_not_doubted(self, store: MemoryTables) -> None:
        resumed = self.resumed(store, self.resumed(store).snapshot())
        resumed.write_batch([rows("outcomes", 1)])
        resumed.snapshot()
        publish(resumed)
        assert (store.rows("outcomes"), store.doubted) == ([1], [])

    def test_a_crash_before_the_snapshot_has_inserted_nothing(self, store: MemoryTables) -> None:
        partition = self.resumed(store)
        state = partition.snapshot()
        partition.write_batch([rows("outcomes", 1)])
        assert store.rows("outcomes") == []
        resumed = self.resumed(store, state)
        resumed.write_batch([rows("outcomes", 1)])
        resumed.snapshot()
        publish(resumed)
        assert store.rows("outcomes") == [1]

    def test_an_insert_that_fails_is_kept(self, store: MemoryTables) -> None:
        partition = self.resumed(store)
        partition.write_batch([rows("outcomes", 1)])
        state = partition.snapshot()
        store.failing = True
        with pytest.raises(TransportError, match="no room"):
            publish(partition)
        store.failing = False
        self.resumed(store, state)
        assert store.rows("outcomes") == [1]

    def test_at_the_end_of_the_input_the_last_snapshot_is_inserted(self, store: MemoryTables) -> None:
        run = RunContext()
        partition = self.resumed(store, run=run)
        partition.write_batch([rows("outcomes", 1)])
        partition.snapshot()
        partition.close()
        assert store.rows("outcomes") == [], "the engine has not stored the snapshot yet"
        run.outboxes.finish()
        assert store.rows("outcomes") == [1]
        assert store.closed

    def test_a_stop_leaves_what_waits_to_the_next_start(self, store: MemoryTables) -> None:
        run = RunContext()
        partition = self.resumed(store, run=run)
        partition.write_batch([rows("outcomes", 1)])
        partition.snapshot()
        run.shutdown.request()
        partition.close()
        assert (store.rows("outcomes"), store.closed) == ([], True)

    def test_another_partitions_state_is_refused(self, store: MemoryTables) -> None:
        state = self.resumed(store).snapshot()
        with pytest.raises(StateError, match="outbox tables 0"):
            Outbox("tables 1", state)

    def test_the_sources_do_not_wait_for_inserts_but_the_next_snapshot_does(
        self, store: MemoryTables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sink, "ROWS_MAX", 2)
        blocks = sink.INSERTS_MAX + 3
        partition = self.resumed(store)
        partition.write_batch([rows("outcomes", 2 * number, 2 * number + 1) for number in range(blocks)])
        partition.snapshot()
        store.free.clear()
        partition.write_batch([PULSE])  # which returns, though nothing is inserted
        waiting = threading.Thread(target=partition.snapshot)
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive(), "it would hold these blocks no more"
        store.free.set()
        waiting.join(DEADLINE_SECONDS)
        assert store.rows("outcomes") == list(range(2 * blocks))
        assert [int(str(token).split(":")[2]) for token in store.tokens] == list(range(1, blocks + 1))

    def test_metrics_tell_how_long_an_insert_has_been_under_way(self, store: MemoryTables) -> None:
        def oldest_seconds() -> float | None:
            return metrics.REGISTRY.get_sample_value("c360_sink_waiting_seconds", {"sink": "outcomes"})

        partition = self.resumed(store)
        partition.write_batch([rows("outcomes", 1)])
        partition.snapshot()
        store.free.clear()
        partition.write_batch([PULSE])
        assert store.asked.wait(DEADLINE_SECONDS)
        first = oldest_seconds()
        second = oldest_seconds()
        assert first is not None
        assert second is not None
        assert 0 < first < second
        store.free.set()
        partition.snapshot()
        assert oldest_seconds() == 0
