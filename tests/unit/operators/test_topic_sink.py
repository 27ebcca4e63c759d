"""Topic sink: what waits for a snapshot, what goes at once, and in which order readers see it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from c360_stream.connectors.logdir import LogDirTransport
from c360_stream.connectors.ports import OnDelivered, OutboxWriter, OutRecord, TopicRecord
from c360_stream.errors import StateError, TransportError
from c360_stream.operators import topic_sink
from c360_stream.operators.health import Health
from c360_stream.operators.rows import TopicRecords
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.shutdown import Shutdown, StopRequested
from c360_stream.operators.sink import NOBODY
from c360_stream.operators.topic_sink import (
    Begun,
    TopicOutboxPartition,
    TopicSink,
    TopicWriterPartition,
    pack_records,
    unpack_records,
)
from c360_stream.settings import load_settings
from c360_stream.state.outbox import PULSE, Outbox

DEADLINE_SECONDS = 10.0


class MemoryWriter:
    """Implements `RecordWriter`: what is flushed is delivered, unless it is told to fail."""

    def __init__(self, topic: str = "t") -> None:
        self.topic = topic
        self.written: list[OutRecord] = []
        self.hearers: list[OnDelivered | None] = []
        self.delivered = 0
        self.failing = False
        self.closed = False

    def write(self, records: Sequence[OutRecord], on_delivered: OnDelivered | None = None) -> None:
        """Take records."""
        self.written += records
        self.hearers += [on_delivered] * len(records)

    def flush(self) -> None:
        """Deliver them."""
        if self.failing:
            raise TransportError("topic t: not delivered", "fix the broker")
        for record, on_delivered in zip(self.written[self.delivered :], self.hearers[self.delivered :], strict=True):
            if on_delivered is not None:
                on_delivered(record)
        self.delivered = len(self.written)

    def position(self) -> tuple[int, ...]:
        """(delivered,)."""
        return (self.delivered,)

    def close(self) -> None:
        """Remember it."""
        self.closed = True


class MemoryOutbox:
    """Implements `OutboxWriter`: knows what it has published; what is written at once is seen after a flush."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.unflushed: list[object] = []
        self.hearing: list[tuple[OutRecord, OnDelivered]] = []
        self.published: dict[str, int] = {}
        self.closed = False
        self.free = threading.Event()
        self.free.set()

    def newest(self, store: str) -> int:
        """The last published number."""
        return self.published.get(store, 0)

    def publish(self, store: str, sequence: int, records: Sequence[TopicRecord]) -> None:
        """Publish, unless it was before."""
        assert self.free.wait(DEADLINE_SECONDS)
        assert not self.unflushed, "records that went at once would be overtaken"
        if sequence > self.published.get(store, 0):
            self.seen += [record.value for _, record in records]
            self.published[store] = sequence

    def write(self, records: Sequence[TopicRecord], on_delivered: OnDelivered | None = None) -> None:
        """Take records."""
        self.unflushed += [record.value for _, record in records]
        self.hearing += [(record, on_delivered) for _, record in records if on_delivered is not None]

    def flush(self) -> None:
        """Deliver them."""
        self.seen += self.unflushed
        for record, on_delivered in self.hearing:
            on_delivered(record)
        self.unflushed, self.hearing = [], []

    def close(self) -> None:
        """Remember it."""
        self.closed = True


def exact(*values: bytes) -> TopicRecords:
    return TopicRecords(0, "t", [OutRecord("a", value) for value in values])


def at_once(*values: bytes) -> TopicRecords:
    return TopicRecords(0, "t", [OutRecord("a", value) for value in values], exact=False)


def resumed(
    kafka: OutboxWriter,
    state: bytes | None = None,
    run: RunContext | None = None,
    on_delivered: Mapping[str, OnDelivered] = NOBODY,
) -> TopicOutboxPartition:
    outbox, publisher = Outbox("topics 0", state), ThreadPoolExecutor(1)
    return TopicOutboxPartition(kafka, outbox, publisher, run or RunContext(), on_delivered)


def publish(topic: TopicOutboxPartition) -> None:
    """The pulse after a snapshot, and all that it begins."""
    topic.write_batch([PULSE])
    topic._publish_sealed()


def test_a_topic_is_delivered_at_the_snapshot_and_says_where_it_ends() -> None:
    writer = MemoryWriter()
    topic = TopicWriterPartition({"t": writer}, RunContext())
    topic.write_batch([exact(b"1", b"2"), PULSE, exact()])
    assert topic.snapshot() == ("", 1, {"t": (2,)})
    assert [record.value for record in writer.written] == [b"1", b"2"]
    topic.close()
    assert writer.closed


class LoggedTopic:
    """A topic of a log directory, published under a recovery store."""

    def __init__(self, log_dir: Path) -> None:
        self.settings = load_settings(log_dir=log_dir)
        self.transport = LogDirTransport(log_dir)

    def built(
        self, state: Any, store: str = "store", mark: tuple[str, int] | None = None
    ) -> TopicOutboxPartition | TopicWriterPartition:
        begun = Begun(store, dict.fromkeys(self.settings.output_topics, (0,)), mark)
        sink = TopicSink(self.settings, self.transport, RunContext(), recovering=True, begun=begun)
        return sink.build_part("step", "0", state)

    def lived(self, state: Any, *values: bytes, store: str = "store", mark: tuple[str, int] | None = None) -> Any:
        """The newest durable snapshot of a life that wrote records and was killed."""
        partition = self.built(state, store, mark)
        for value in values:
            partition.write_batch([TopicRecords(0, self.settings.risk_topic, [OutRecord("a", value)])])
            state = partition.snapshot()
        partition.write_batch([PULSE])  # which comes once the snapshot is durable
        return state

    def values(self) -> list[bytes]:
        return (self.transport.root / self.settings.risk_topic / "0.jsonl").read_bytes().split(b"\n")[:-1]


def test_a_log_directory_refuses_a_state_that_is_older_than_what_was_published(tmp_path: Path) -> None:
    topic = LoggedTopic(tmp_path)
    older = topic.lived(None, b"1")
    newest = topic.lived(older, b"2", b"3")
    assert topic.lived(newest) == newest, "a crash goes on from the newest"
    for refused in (older, None):
        with pytest.raises(StateError, match="older than what has been published"):
            topic.built(refused)
    assert topic.values() == [b"1", b"2", b"3"], "nothing was cut off"
    with pytest.raises(StateError, match="another recovery directory has published to these topics since"):
        topic.built(None, store="made before these were published, and never used")
    other = topic.lived(None, b"4", store="another", mark=("store", 3))
    with pytest.raises(StateError, match="another recovery directory has published to these topics since"):
        topic.built(newest)
    topic.lived(other, b"5", store="another")


def test_a_note_that_is_damaged_is_named(tmp_path: Path) -> None:
    topic = LoggedTopic(tmp_path)
    state = topic.lived(None, b"1")
    (note,) = tmp_path.glob(".*.snapshot.json")
    for text in ("", "[]", '{"store": "store"}'):
        note.write_text(text)
        with pytest.raises(TransportError, match=r"snapshot\.json is damaged"):
            topic.built(state)


def test_it_is_told_which_records_are_delivered() -> None:
    told: list[OutRecord] = []
    writers = {"t": MemoryWriter(), "other": MemoryWriter("other")}
    topic = TopicWriterPartition(writers, RunContext(), {"t": told.append})
    other = TopicRecords(0, "other", [OutRecord("a", b"2")])
    topic.write_batch([at_once(b"1"), other, PULSE])
    assert told == []
    topic.snapshot()
    assert [record.value for record in told] == [b"1"]


def test_it_is_told_which_records_are_published_at_once_or_from_the_outbox() -> None:
    told: list[OutRecord] = []
    kafka = MemoryOutbox()
    topic = resumed(kafka, on_delivered={"t": told.append})
    topic.write_batch([at_once(b"1"), TopicRecords(0, "other", [OutRecord("a", b"2")]), at_once(b"3"), PULSE])
    topic.snapshot()
    assert [record.value for record in told] == [b"1"]
    publish(topic)
    assert kafka.seen == [b"1", b"2", b"3"], "what goes at once waits too while what is exact does"
    assert [record.value for record in told] == [b"1", b"3"]


def test_a_topic_that_cannot_be_delivered_fails_the_snapshot() -> None:
    writer = MemoryWriter()
    topic = TopicWriterPartition({"t": writer}, RunContext())
    topic.write_batch([exact(b"1")])
    writer.failing = True
    with pytest.raises(TransportError, match="not delivered"):
        topic.snapshot()


def test_exact_records_wait_for_the_snapshot_and_others_do_not() -> None:
    kafka = MemoryOutbox()
    topic = resumed(kafka)
    topic.write_batch([at_once(b"moved")])
    topic.write_batch([exact(b"tick")])
    assert (kafka.seen, kafka.unflushed) == ([], [b"moved"])
    topic.snapshot()
    assert kafka.seen == [b"moved"]
    publish(topic)
    assert kafka.seen == [b"moved", b"tick"]


def test_a_record_that_may_go_at_once_does_not_overtake_an_exact_one() -> None:
    kafka = MemoryOutbox()
    topic = resumed(kafka)
    topic.write_batch([exact(b"tick"), at_once(b"moved after it")])
    topic.snapshot()
    topic.write_batch([at_once(b"moved later")])
    topic.snapshot()
    assert kafka.seen == [b"tick", b"moved after it", b"moved later"]


def test_a_kill_at_any_moment_loses_and_repeats_nothing() -> None:
    kafka = MemoryOutbox()
    state = None
    topic = resumed(kafka, state)
    for number in range(6):
        topic.write_batch([exact(b"%d" % number)])
        if number % 2:
            state = topic.snapshot()
            publish(topic)
        else:  # killed: what no snapshot holds is made again
            topic = resumed(kafka, state)
            topic.write_batch([exact(b"%d" % number)])
    topic = resumed(kafka, state)
    assert kafka.seen == [b"%d" % number for number in range(6)]


def test_a_state_that_is_older_than_what_was_published_is_refused() -> None:
    """What it makes next would have numbers that are taken."""
    kafka = MemoryOutbox()
    topic = resumed(kafka)
    topic.write_batch([exact(b"1")])
    older = topic.snapshot()
    publish(topic)
    resumed(kafka, older)  # it holds what was published since: a crash gives this
    topic.write_batch([exact(b"2")])
    topic.snapshot()
    publish(topic)
    with pytest.raises(StateError, match="older than what has been published"):
        resumed(kafka, older)


def test_large_output_is_cut_into_chunks_that_are_published_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_sink, "CHUNK_RECORDS_MAX", 3)
    kafka = MemoryOutbox()
    topic = resumed(kafka)
    topic.write_batch([exact(*(b"%d" % number for number in range(8)))])
    topic.snapshot()
    publish(topic)
    assert kafka.seen == [b"%d" % number for number in range(8)]
    assert list(kafka.published.values()) == [3]


def test_while_chunks_are_published_other_records_wait_for_the_last_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_sink, "CHUNK_RECORDS_MAX", 1)
    kafka = MemoryOutbox()
    topic = resumed(kafka)
    topic.write_batch([exact(b"0", b"1", b"2")])
    topic.snapshot()
    kafka.free.clear()
    topic.write_batch([at_once(b"moved")])  # which returns, though nothing is published
    topic.write_batch([at_once(b"moved again")])
    assert (kafka.seen, kafka.unflushed) == ([], [])
    kafka.free.set()
    publish(topic)
    assert (kafka.seen, kafka.unflushed) == ([b"0", b"1", b"2"], [b"moved", b"moved again"])


def test_a_snapshot_publishes_what_the_one_before_holds_and_what_waited_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_sink, "CHUNK_RECORDS_MAX", 1)
    kafka = MemoryOutbox()
    topic = resumed(kafka)
    topic.write_batch([exact(b"0", b"1")])
    topic.snapshot()
    topic.write_batch([at_once(b"moved"), exact(b"2"), at_once(b"moved after it")])
    state = topic.snapshot()
    assert kafka.seen == [b"0", b"1", b"moved"]
    resumed(kafka, state)
    assert kafka.seen == [b"0", b"1", b"moved", b"2", b"moved after it"]


def test_at_the_end_of_the_input_the_last_snapshot_is_published() -> None:
    kafka, run = MemoryOutbox(), RunContext()
    topic = resumed(kafka, run=run)
    topic.write_batch([exact(b"last")])
    topic.snapshot()
    topic.close()
    assert (kafka.seen, kafka.closed) == ([], False)
    run.outboxes.finish()
    assert (kafka.seen, kafka.closed) == ([b"last"], True)


def test_after_a_failure_nothing_is_published() -> None:
    kafka, run = MemoryOutbox(), RunContext()
    run.shutdown.failed(RuntimeError("elsewhere"))
    topic = resumed(kafka, run=run)
    topic.write_batch([exact(b"last")])
    topic.snapshot()
    topic.close()
    run.outboxes.finish()
    assert (kafka.seen, kafka.closed) == ([], True)


def test_after_another_steps_failure_nobody_waits_for_a_broker() -> None:
    """The process has to end and say what failed, not wait until the broker is back."""
    shutdown = Shutdown(Health())
    shutdown.waiting("the broker is away")
    shutdown.failed(RuntimeError("elsewhere"))
    with pytest.raises(StopRequested):
        shutdown.waiting("the broker is away")
    assert not shutdown.gave_up_waiting


@pytest.mark.parametrize("key", ["account", b"\xff", None])
@pytest.mark.parametrize("value", [b"", b"{}", b"\xff\n", None])
def test_records_survive_packing(key: str | bytes | None, value: bytes | None) -> None:
    records = [("topic", OutRecord(key, value, (("name", b"\x00"), ("none", None))))]
    assert unpack_records(pack_records(records)) == records
