"""Heartbeats on the last of their way: through all shards, into the sinks, and into the metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

import msgspec
import pyarrow as pa
from bytewax.operators import StatefulBatchLogic

from c360_stream import metrics
from c360_stream.connectors.ports import OutRecord
from c360_stream.contracts.events import US_PER_SECOND, time_us
from c360_stream.features.columns import Heartbeats
from c360_stream.learning.barrier import HeartbeatBarrier
from c360_stream.operators.rows import Clock, Output, heartbeat_outputs
from c360_stream.operators.run_context import RunContext, record_failure
from c360_stream.settings import Settings


@dataclass(frozen=True)
class HeartbeatStep:
    """Builds the one key that collects heartbeats from all shards."""

    settings: Settings
    run: RunContext

    def __call__(self, resume_state: None) -> HeartbeatLogic:
        """Build; there is no state to restore."""
        return HeartbeatLogic(self.settings, self.run)


class HeartbeatLogic(StatefulBatchLogic[Heartbeats, Output, None]):
    """Gives what goes into the topic and the table, once all shards have passed a heartbeat on."""

    def __init__(self, settings: Settings, run: RunContext) -> None:
        self.run = run
        self._settings = settings
        self._clock = Clock(settings.live)
        self._barrier = HeartbeatBarrier(settings.shards)

    @record_failure
    def on_batch(self, values: list[Heartbeats]) -> tuple[list[Output], bool]:
        """Take heartbeats from shards."""
        out: list[Output] = []
        for value in values:
            through = self._barrier.put(value.shard, value.partition, value.sent_us)
            out += heartbeat_outputs(self._settings, self._clock, value.partition, through)
        return out, False

    def snapshot(self) -> None:
        """Nothing: what is on its way at a crash is lost, and the next ones come soon."""


class _Record(msgspec.Struct):
    topic: str
    partition: int
    sent_at: datetime


class Acknowledged:
    """Shows in the metrics which heartbeats a table or topic has acknowledged.

    Parameters
    ----------
    sink
        The table or topic.
    live
        Whether the time that they took means anything: in a replay they were sent long ago.
    """

    def __init__(self, sink: str, *, live: bool) -> None:
        self._sink = sink
        self._live = live
        self._newest_us: dict[tuple[str, int], int] = {}
        self._decode = msgspec.json.Decoder(_Record).decode

    def record(self, record: OutRecord) -> None:
        """Note that the topic has a record."""
        read = self._decode(record.value or b"")
        self._take(read.topic, read.partition, time_us(read.sent_at))

    def rows(self, rows: pa.Table) -> None:
        """Note that the table has rows."""
        for row in rows.select(["topic", "partition", "sent_at"]).to_pylist():
            self._take(row["topic"], row["partition"], time_us(row["sent_at"]))

    def _take(self, topic: str, partition: int, sent_us: int) -> None:
        if self._live:
            now_us = time.time_ns() // 1000
            # A clock that was ahead once must not hide an outage until its time has come.
            sent_us = min(sent_us, now_us)
            metrics.HEARTBEAT_LATENCY_SECONDS.labels(self._sink).observe((now_us - sent_us) / US_PER_SECOND)
        if sent_us > self._newest_us.get((topic, partition), -1):
            self._newest_us[topic, partition] = sent_us
            newest = metrics.HEARTBEAT_TIMESTAMP_SECONDS.labels(topic, str(partition), self._sink)
            newest.set(sent_us / US_PER_SECOND)
