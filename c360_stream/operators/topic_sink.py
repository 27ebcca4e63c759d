"""Topic sink: records of ticks, alarms and dead letters each once; scores in between and heartbeats at least once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as until_done
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from c360_stream import metrics
from c360_stream.connectors.logdir import SnapshotMark
from c360_stream.connectors.ports import OnDelivered, OutboxWriter, OutRecord, RecordWriter, TopicRecord, Transport
from c360_stream.errors import StateError
from c360_stream.operators.heartbeats import Acknowledged
from c360_stream.operators.rows import TopicRecords
from c360_stream.operators.run_context import RunContext, record_failure
from c360_stream.operators.sink import NOBODY, SERVER_PARTS, wait
from c360_stream.settings import Settings
from c360_stream.state.outbox import Outbox, Pulse

CHUNK_RECORDS_MAX = 20_000
CHUNK_BYTES_MAX = 32 * 1024 * 1024
OLDER = "the recovery directory is older than what has been published from it"
PUT_THE_NEWEST_BACK = "put the newest one back; or publish everything once more: name an empty one, and --republish"

Positions = Mapping[str, tuple[int, ...]]


class Begun(NamedTuple):
    """How a recovery store began: its name, where the output topics were, and which snapshot held all in them."""

    store: str = ""
    positions: Positions = MappingProxyType({})
    mark: tuple[str, int] | None = None


class WriterState(NamedTuple):
    """What a snapshot holds of `TopicWriterPartition`."""

    store: str
    snapshot: int
    """Its number, from 1."""
    positions: Positions


_NO_STATE = WriterState("", 0, {})
_codec = pa.Codec("zstd", compression_level=1)


def topic_parts(settings: Settings, *, recovering: bool) -> int:
    """Number of sink partitions: several where each has a transactional producer, else one."""
    return SERVER_PARTS if settings.uses_kafka and recovering else 1


class TopicSink(FixedPartitionedSink[TopicRecords | Pulse, Any]):
    """The output topics.

    Parameters
    ----------
    run
        What its steps share.
    recovering
        Whether there is a recovery store, which an outbox needs.
    begun
        How the recovery store began.
    """

    def __init__(
        self, settings: Settings, transport: Transport, run: RunContext, *, recovering: bool, begun: Begun
    ) -> None:
        self.run = run
        # One for all partitions: four of them left the engine a fifth of the interpreter while a tick went out.
        self._publisher = ThreadPoolExecutor(1, "topics")
        self._begun = begun
        self._mark = SnapshotMark(settings.log_dir, settings.topic_prefix)
        self._recovering = recovering
        self._transport = transport
        self._topics = settings.output_topics
        self._heartbeat_topic, self._live = settings.heartbeat_topic, settings.live
        self.parts = topic_parts(settings, recovering=recovering)

    def list_parts(self) -> list[str]:
        """Numbers of the sink's partitions."""
        return [str(number) for number in range(self.parts)]

    def part_fn(self, item_key: str) -> int:
        """The partition is the key."""
        return int(item_key)

    @record_failure
    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> TopicOutboxPartition | TopicWriterPartition:
        """Open an outbox; or writers, where the topics were at the snapshot or when the recovery store was made."""
        outbox = self._transport.outbox(for_part, self.run.shutdown.waiting) if self._recovering else None
        on_delivered = {self._heartbeat_topic: Acknowledged(self._heartbeat_topic, live=self._live).record}
        if outbox is not None:
            waiting_chunks = Outbox(f"topics {for_part}", resume_state, self._begun.store)
            return TopicOutboxPartition(outbox, waiting_chunks, self._publisher, self.run, on_delivered)
        if not isinstance(resume_state, tuple):  # none, or of a store that is older than marks: positions alone
            resume_state = (self._begun.store, 0, resume_state or self._begun.positions)
        state = WriterState(*resume_state)
        mark = self._mark if self._recovering else None
        if mark is not None:
            _refuse_older(state, self._begun.mark, mark.read())
        writers = {topic: self._transport.writer(topic, state.positions.get(topic)) for topic in self._topics}
        return TopicWriterPartition(writers, self.run, on_delivered, state, mark)


def _refuse_older(state: WriterState, begun: tuple[str, int] | None, newest: tuple[str, int] | None) -> None:
    """Refuse a recovery store from which, or beside which, more has been published than it knows of."""
    if newest is None or (not state.snapshot and newest == begun):
        return  # nothing has been published since it was made
    if newest[0] != state.store:
        raise StateError(
            "another recovery directory has published to these topics since this one was used", PUT_THE_NEWEST_BACK
        )
    if newest[1] > state.snapshot:
        raise StateError(OLDER, PUT_THE_NEWEST_BACK)


class TopicWriterPartition(StatefulSinkPartition[TopicRecords | Pulse, tuple[str, int, Positions]]):
    """Appends to the topics at once: in a log directory, whose writers take back; and where nothing is kept.

    Parameters
    ----------
    writers
        By topic.
    run
        What its steps share.
    on_delivered
        By topic, what to call with each record that is acknowledged: with the next pulse, or at the next snapshot.
    state
        Of the snapshot that this goes on from.
    mark
        Where to note, beside the topics, which snapshot holds all that is in them. None: nowhere.
    """

    def __init__(
        self,
        writers: Mapping[str, RecordWriter],
        run: RunContext,
        on_delivered: Mapping[str, OnDelivered] = NOBODY,
        state: WriterState = _NO_STATE,
        mark: SnapshotMark | None = None,
    ) -> None:
        self.run = run
        self._writers = writers
        self._on_delivered = on_delivered
        self._state = state
        self._mark = mark
        self._marked = not state.snapshot  # of one that is gone on from, a crash may have come before the note

    @record_failure
    def write_batch(self, items: list[TopicRecords | Pulse]) -> None:
        """Append records."""
        self._note_snapshot()
        for item in items:
            if isinstance(item, Pulse):
                self._poll_deliveries()
                continue
            with self.run.writes.watch(item.topic):
                self._writers[item.topic].write(item.records, self._on_delivered.get(item.topic))
            metrics.SINK_ROWS.labels(item.topic).inc(len(item.records))

    def _poll_deliveries(self) -> None:
        for topic in self._on_delivered:
            with self.run.writes.watch(topic):
                self._writers[topic].write([])

    def _note_snapshot(self) -> None:
        """Note the last snapshot: it is durable, since the engine gives nothing of the next epoch before."""
        if self._mark is not None and not self._marked:
            self._mark.write(self._state.store, self._state.snapshot)
            self._marked = True

    @record_failure
    def snapshot(self) -> tuple[str, int, Positions]:
        """Make sure that everything is delivered; where the topics end then."""
        for topic, writer in self._writers.items():
            with self.run.writes.measure(topic):
                writer.flush()
        positions = {topic: writer.position() for topic, writer in self._writers.items()}
        if positions != self._state.positions:
            self._state = WriterState(self._state.store, self._state.snapshot + 1, positions)
            self._marked = False
        return (*self._state,)

    def close(self) -> None:
        """Release the writers. A clean stop delivers what is at hand."""
        if not self.run.shutdown.requested and self.run.shutdown.first_failure is None:
            self.run.outboxes.add(self._note_snapshot)
        for writer in self._writers.values():
            if self.run.shutdown.requested:
                writer.flush()
            writer.close()


class TopicOutboxPartition(StatefulSinkPartition[TopicRecords | Pulse, bytes]):
    """Publishes exact records from an outbox, once a snapshot that holds them is durable; others at once.

    The engine begins an epoch once the snapshots of the one before are durable in all processes, so the first write
    after a snapshot shows that it is durable. A thread publishes, one chunk after the other, and the next snapshot
    waits for it: in the engine's own, the transactions of a tick of 20,000 accounts kept the sources waiting for 4 s.
    While it does, nobody else uses the writer. Readers of the compacted topic take the newest record of a key: records
    that may go at once wait too while exact ones, which come before them, do.

    Parameters
    ----------
    writer
        Where to.
    outbox
        What waits.
    publisher
        The thread, which the partitions share.
    run
        As for `TopicWriterPartition`.
    on_delivered
        As for `TopicWriterPartition`.
    """

    def __init__(
        self,
        writer: OutboxWriter,
        outbox: Outbox,
        publisher: ThreadPoolExecutor,
        run: RunContext,
        on_delivered: Mapping[str, OnDelivered] = NOBODY,
    ) -> None:
        if writer.newest(outbox.store) > outbox.newest:
            # The next chunks would be taken for those that were published under the same numbers, and be lost.
            raise StateError(OLDER, PUT_THE_NEWEST_BACK)
        self.run = run
        self._writer = writer
        self._outbox = outbox
        self._publisher = publisher
        self._on_delivered = on_delivered
        self._open: list[TopicRecord] = []
        self._open_bytes = 0
        self._behind: list[TopicRecords] = []  # they go as soon as the last snapshot's are published
        self._publishing: Future[None] | None = None
        self._publish_sealed()

    @record_failure
    def write_batch(self, items: list[TopicRecords | Pulse]) -> None:
        """Have the last snapshot's records published; take records."""
        self._publish_on()
        for item in items:
            if isinstance(item, Pulse):
                if self._publishing is None:
                    self._writer.write([])
                continue
            if item.exact or self._open or self._outbox.open:
                self._hold(item)
            elif self._publishing is not None:
                self._behind.append(item)
            else:
                self._write(item)

    def _write(self, item: TopicRecords) -> None:
        with self.run.writes.watch(item.topic):
            self._writer.write([(item.topic, record) for record in item.records], self._on_delivered.get(item.topic))
        metrics.SINK_ROWS.labels(item.topic).inc(len(item.records))

    def _hold(self, item: TopicRecords) -> None:
        for record in item.records:
            self._open.append((item.topic, record))
            self._open_bytes += len(record.value or b"")
            if len(self._open) >= CHUNK_RECORDS_MAX or self._open_bytes >= CHUNK_BYTES_MAX:
                self._end_chunk()

    def _end_chunk(self) -> None:
        if self._open:
            self._outbox.add(pack_records(self._open))
            self._open, self._open_bytes = [], 0

    def _publish_sealed(self) -> None:
        """Return once all that the last snapshot holds is published, and what waited behind it written."""
        self._publish_on()
        while self._publishing is not None:
            wait(self._publishing, "publishing is under way", self.run)
            self._publish_on()

    def _publish_on(self) -> None:
        """See whether a chunk has been published; begin with the next one, or write what waits behind the last."""
        if self._publishing is not None:
            if not self._publishing.done():
                return
            self._publishing.result()
            self._outbox.published()
            self._publishing = None
        if (chunk := self._outbox.take()) is not None:
            self._publishing = self._publisher.submit(self._publish, *chunk)
            return
        for item in self._behind:
            self._write(item)
        self._behind = []

    def _publish(self, store: str, sequence: int, chunk: bytes) -> None:
        records = unpack_records(chunk)
        with self.run.writes.measure("topics"):
            self._writer.flush()  # what went at once comes before what waited
            self._writer.publish(store, sequence, records)
        for topic, record in records:
            metrics.SINK_ROWS.labels(topic).inc()
            if (on_delivered := self._on_delivered.get(topic)) is not None:
                on_delivered(record)

    @record_failure
    def snapshot(self) -> bytes:
        """Make sure that everything written at once is delivered; what waits, as bytes."""
        self._publish_sealed()
        with self.run.writes.measure("topics"):
            self._writer.flush()
        self._end_chunk()
        return self._outbox.seal()

    def close(self) -> None:
        """Release the writer; at the end of the input, once the last snapshot has been published."""
        if self.run.shutdown.requested or self.run.shutdown.first_failure is not None:
            self._release()
        else:
            self.run.outboxes.add(self._finish)

    def _finish(self) -> None:
        self._publish_sealed()
        self._release()

    def _release(self) -> None:
        if self._publishing is not None and not self._publishing.cancel():
            until_done([self._publishing])  # it comes through or is given up: a stop ends its waits
        self._writer.close()


def pack_records(records: list[TopicRecord]) -> bytes:
    """Records as bytes."""
    body = msgspec.msgpack.encode([(topic, r.key, r.value, r.headers) for topic, r in records])
    return msgspec.msgpack.encode((len(body), _codec.compress(body, asbytes=True)))


def unpack_records(chunk: bytes) -> list[TopicRecord]:
    """What `pack_records` took.

    >>> unpack_records(pack_records([("t", OutRecord(b"k", None, (("name", b"1"),)))]))
    [('t', OutRecord(key=b'k', value=None, headers=(('name', b'1'),)))]
    """
    size, compressed = msgspec.msgpack.decode(chunk)
    body = msgspec.msgpack.decode(_codec.decompress(compressed, size, asbytes=True))
    return [
        (topic, OutRecord(key, value, tuple((name, content) for name, content in headers)))
        for topic, key, value, headers in body
    ]
