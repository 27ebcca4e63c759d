"""Heartbeats at the end of their way: what comes out of all shards, and what the metrics hear."""

from __future__ import annotations

import json
import time

import numpy as np
import pyarrow as pa
import pytest

from c360_stream import metrics
from c360_stream.connectors.clickhouse.tables import Column, arrow_table
from c360_stream.connectors.ports import OutRecord
from c360_stream.contracts.records import Heartbeat, rfc3339_ms
from c360_stream.contracts.validation import model_of
from c360_stream.features.columns import Heartbeats
from c360_stream.learning import barrier
from c360_stream.learning.barrier import HeartbeatBarrier
from c360_stream.operators.heartbeats import Acknowledged, HeartbeatLogic, HeartbeatStep
from c360_stream.operators.rows import TableRows, TopicRecords
from c360_stream.operators.run_context import RunContext
from c360_stream.settings import Settings

TOPIC = "c360.billing.events.v1"
NAME = f"{TOPIC}/3"
T0_US = 1_709_642_096_789_000
SHARDS = 3


def collector(*, live: bool = False) -> HeartbeatLogic:
    return HeartbeatStep(Settings(shards=SHARDS, live=live), RunContext())(None)


def sent(out: list[TableRows | TopicRecords]) -> list[int]:
    """When those that came out were sent, by the table."""
    return [us for item in out if isinstance(item, TableRows) for us in item.columns["sent_at"].tolist()]


def test_a_heartbeat_comes_out_once_all_shards_have_passed_it_on() -> None:
    logic = collector()
    assert logic.on_batch([Heartbeats(0, NAME, (T0_US,)), Heartbeats(2, NAME, (T0_US,))]) == ([], False)
    out, discard = logic.on_batch([Heartbeats(0, NAME, (T0_US + 1000,)), Heartbeats(1, NAME, (T0_US,))])
    rows, records = out
    assert not discard
    assert isinstance(rows, TableRows)
    assert isinstance(records, TopicRecords)
    assert (rows.part, rows.table, rows.rows, rows.exact) == (3, "heartbeats", 1, False)
    assert arrow_table(rows.table, rows.columns).num_rows == 1
    assert (records.part, records.topic, records.exact) == (3, "c360.heartbeats.v1", False)
    (record,) = records.records
    assert record.key == "c360-heartbeat"
    time_text = "2024-03-05T12:34:56.789Z"  # in a replay the clock is event time
    assert json.loads(record.value or b"") == {
        "topic": TOPIC,
        "partition": 3,
        "sent_at": time_text,
        "produced_at": time_text,
    }
    assert model_of(Heartbeat).model_validate_json(record.value or b"")


def test_live_it_is_produced_by_the_wall_clock() -> None:
    before_us = time.time_ns() // 1000
    out, _ = collector(live=True).on_batch([Heartbeats(shard, NAME, (T0_US,)) for shard in range(SHARDS)])
    assert isinstance(out[0], TableRows)
    assert out[0].columns["produced_at"][0] >= before_us


def test_partitions_and_order_are_kept_apart() -> None:
    logic = collector()
    other = f"{TOPIC}/1"
    batches = [Heartbeats(shard, name, (2, 1)) for shard in range(SHARDS) for name in (NAME, other)]
    out, _ = logic.on_batch(batches[:-1])
    assert sent(out) == [2, 1]
    assert sent(logic.on_batch(batches[-1:])[0]) == [2, 1]


def test_a_snapshot_holds_nothing() -> None:
    logic = collector()
    logic.on_batch([Heartbeats(0, NAME, (T0_US,))])
    resumed = HeartbeatStep(Settings(shards=SHARDS), RunContext())(logic.snapshot())  # type: ignore[func-returns-value]
    assert resumed.on_batch([Heartbeats(shard, NAME, (T0_US,)) for shard in range(1, SHARDS)])[0] == []


def test_one_that_a_shard_has_lost_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a crash, or past a bound: what came later has been everywhere, so it never will be."""
    waits = HeartbeatBarrier(2)
    waits.put(0, "p", [1, 2, 3])
    assert waits.put(1, "p", [2]) == [2]
    assert list(waits._passed["p"]) == [3]
    monkeypatch.setattr(barrier, "HEARTBEATS_WAITING_MAX", 5)
    assert waits.put(0, "p", range(10, 20)) == []
    assert list(waits._passed["p"]) == list(range(15, 20))
    assert waits.put(1, "p", range(10, 20)) == list(range(15, 20))


def newest(topic: str, partition: int, sink: str) -> float | None:
    labels = {"topic": topic, "partition": str(partition), "sink": sink}
    return metrics.REGISTRY.get_sample_value("c360_heartbeat_timestamp_seconds", labels)


def observed(sink: str) -> float:
    return metrics.REGISTRY.get_sample_value("c360_heartbeat_latency_seconds_count", {"sink": sink}) or 0.0


def record_of(sent_us: int) -> OutRecord:
    value = {"topic": TOPIC, "partition": 3, "sent_at": rfc3339_ms(sent_us), "produced_at": rfc3339_ms(sent_us)}
    return OutRecord("c360-heartbeat", json.dumps(value).encode())


def rows_of(*sent_us: int) -> pa.Table:
    n, times = len(sent_us), np.array(sent_us, np.int64)
    columns: dict[str, Column] = {"topic": [TOPIC] * n, "partition": [3] * n, "sent_at": times, "produced_at": times}
    return arrow_table("heartbeats", columns)


def test_the_metrics_hear_of_the_newest_that_is_acknowledged() -> None:
    sink = "t.the-newest"
    heard = Acknowledged(sink, live=True)
    heard.record(record_of(T0_US))
    assert newest(TOPIC, 3, sink) == T0_US / 1e6
    heard.record(record_of(T0_US - 5_000_000))
    assert newest(TOPIC, 3, sink) == T0_US / 1e6, "it never goes back"
    heard.rows(rows_of(T0_US + 1000, T0_US))
    assert newest(TOPIC, 3, sink) == (T0_US + 1000) / 1e6
    assert observed(sink) == 4
    assert newest(TOPIC, 2, sink) is None


def test_a_clock_that_was_ahead_hides_nothing() -> None:
    sink = "t.ahead"
    heard = Acknowledged(sink, live=True)
    before = time.time()
    heard.rows(rows_of(time.time_ns() // 1000 + 20 * 3_600_000_000))
    shown = newest(TOPIC, 3, sink)
    assert shown is not None
    assert before - 1 <= shown <= time.time()
    assert observed(sink) == 1


def test_a_replay_observes_no_latency() -> None:
    sink = "t.replay"
    Acknowledged(sink, live=False).rows(rows_of(T0_US))
    assert observed(sink) == 0
    assert newest(TOPIC, 3, sink) == T0_US / 1e6
