"""What an outbox promises behind `connectors/ports.py`; on the mock cluster, also how it takes each failure."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError

from c360_stream.connectors.kafka.outbox import OUTBOX_PARTITIONS, KafkaOutbox
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.ports import OutRecord, TopicRecord
from c360_stream.errors import TransportError
from c360_stream.settings import Settings
from tests.contracts.mock_cluster import MockCluster, RecoveringOffsets, Request, mock_cluster
from tests.contracts.test_transports import DEADLINE_SECONDS, read_topic

pytestmark = pytest.mark.slow


class StopError(Exception):
    """The run is asked to stop."""


class OutboxContract:
    """Subclasses provide the fixture `settings`, whose topics are there and empty."""

    @pytest.fixture
    def transport(self, settings: Settings) -> KafkaTransport:
        return KafkaTransport(settings)

    def test_a_batch_comes_whole_and_in_order(self, settings: Settings, transport: KafkaTransport) -> None:
        outbox = transport.outbox("0")
        risks = [OutRecord(f"acct-{n % 7}", b'{"n":%d}' % n, (("h", b"\xff"),)) for n in range(500)]
        outbox.publish("store", 1, [*topical(settings.risk_topic, risks), (settings.alarm_topic, OutRecord("m", b"!"))])
        outbox.close()
        assert values(transport, settings.alarm_topic) == [b"!"]
        found = read_topic(transport, settings.risk_topic)
        for key in {record.key for record in risks}:
            name = str(key).encode()
            mine = [
                value
                for batch in found
                for found_key, value in zip(batch.keys or (), batch.values, strict=True)
                if found_key == name
            ]
            assert mine == [record.value for record in risks if record.key == key]
        assert all(headers == [("h", b"\xff")] for batch in found for headers in batch.headers or ())

    def test_a_batch_is_published_once_however_often_it_is_repeated(
        self, settings: Settings, transport: KafkaTransport
    ) -> None:
        outbox = transport.outbox("0")
        for sequence in (1, 1, 2, 1, 2):
            outbox.publish("store", sequence, batch_of(settings, sequence))
        outbox.close()
        again = transport.outbox("0")
        assert (again.newest("store"), again.newest("other")) == (2, 0)
        for sequence in (1, 2, 3):
            again.publish("store", sequence, batch_of(settings, sequence))
        again.close()
        assert values(transport, settings.risk_topic) == [b"1", b"2", b"3"]

    def test_stores_are_numbered_independently(self, settings: Settings, transport: KafkaTransport) -> None:
        for store, sequence in (("a", 5), ("b", 1), ("a", 5), ("b", 1), ("a", 6)):
            outbox = transport.outbox("0")
            outbox.publish(store, sequence, [(settings.risk_topic, OutRecord("acct", f"{store}{sequence}".encode()))])
            outbox.close()
        assert values(transport, settings.risk_topic) == [b"a5", b"b1", b"a6"]

    def test_parts_are_numbered_independently(self, settings: Settings, transport: KafkaTransport) -> None:
        outboxes = {part: transport.outbox(part) for part in ("0", "1", "16", "risk")}  # 0 and 16 share a partition
        for _ in range(2):
            for part, outbox in outboxes.items():
                outbox.publish("store", 1, [(settings.risk_topic, OutRecord("acct", part.encode()))])
        for part, outbox in outboxes.items():
            outbox.close()
            transport.outbox(part).publish("store", 1, [(settings.risk_topic, OutRecord("acct", b"again"))])
        assert values(transport, settings.risk_topic) == [b"0", b"1", b"16", b"risk"]

    def test_an_empty_batch_needs_no_transaction(self, settings: Settings, transport: KafkaTransport) -> None:
        outbox = transport.outbox("0")
        outbox.publish("store", 1, [])
        outbox.publish("store", 2, batch_of(settings, 2))
        outbox.publish("store", 3, [])
        outbox.close()
        markers = [json.loads(value) for value in values(transport, settings.outbox_topic)]
        assert [marker for marker in markers if "store" in marker] == [{"store": "store", "sequence": 2}]

    def test_records_outside_of_batches_go_out_at_once(self, settings: Settings, transport: KafkaTransport) -> None:
        outbox = transport.outbox("0")
        outbox.write([(settings.risk_topic, OutRecord("acct", b"now")), (settings.alarm_topic, OutRecord("m", b"!"))])
        outbox.flush()
        assert values(transport, settings.risk_topic) == [b"now"]
        assert values(transport, settings.alarm_topic) == [b"!"]
        outbox.publish("store", 1, batch_of(settings, 1))
        assert values(transport, settings.risk_topic) == [b"now", b"1"]
        outbox.close()

    def test_it_is_heard_when_a_record_is_acknowledged(self, settings: Settings, transport: KafkaTransport) -> None:
        outbox, heard = transport.outbox("0"), list[OutRecord]()
        records = [OutRecord("m", b"1"), OutRecord("m", b"2")]
        outbox.write(topical(settings.heartbeat_topic, records), heard.append)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(heard) < len(records) and time.monotonic() < deadline:
            outbox.write([])
        assert heard == records
        outbox.write([(settings.risk_topic, OutRecord("acct", b"3"))])
        outbox.flush()
        outbox.close()
        assert heard == records
        assert values(transport, settings.heartbeat_topic) == [b"1", b"2"]

    def test_a_batch_larger_than_the_queue(self, settings: Settings, transport: KafkaTransport) -> None:
        count = 150_000
        outbox = transport.outbox("0")
        outbox.publish("store", 1, topical(settings.risk_topic, [OutRecord(str(n), b"%d" % n) for n in range(count)]))
        outbox.close()
        assert sorted(map(int, values(transport, settings.risk_topic))) == list(range(count))

    def test_closing_twice_is_done_once(self, transport: KafkaTransport) -> None:
        outbox = transport.outbox("0")
        outbox.close()
        outbox.close()
        with pytest.raises(TransportError, match="is closed"):
            outbox.write([("t", OutRecord("a", b"1"))])


def topical(topic: str, records: Sequence[OutRecord]) -> list[TopicRecord]:
    return [(topic, record) for record in records]


def batch_of(settings: Settings, sequence: int) -> list[TopicRecord]:
    """One record, whose value is the sequence."""
    return [(settings.risk_topic, OutRecord("acct", b"%d" % sequence))]


def values(transport: KafkaTransport, topic: str) -> list[bytes]:
    """What readers of committed records see."""
    return [value for batch in read_topic(transport, topic) for value in batch.values]


def test_brokers_that_recover_do_not_make_it_forget_what_was_published(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(kafka_brokers=cluster.brokers, topic_prefix=f"t-{uuid4().hex}")
    make_topics(cluster, settings)
    transport = KafkaTransport(settings)
    outbox = transport.outbox("0")
    outbox.publish("store", 1, batch_of(settings, 1))
    outbox.close()
    offsets = RecoveringOffsets(settings)
    offsets.unknown = 2
    monkeypatch.setattr(transport, "_offsets", offsets)
    again = transport.outbox("0")
    assert (again.newest("store"), offsets.unknown) == (1, 0)
    again.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as cluster:
        yield cluster


def make_topics(cluster: MockCluster, settings: Settings) -> None:
    """What `setup_topics` does on a real broker."""
    for topic in settings.output_topics:
        cluster.create_topic(topic)
    cluster.create_topic(settings.outbox_topic, OUTBOX_PARTITIONS)


@pytest.fixture
def settings(cluster: MockCluster) -> Settings:
    settings = Settings(kafka_brokers=cluster.brokers, topic_prefix=f"t-{uuid4().hex}", outage_seconds_max=60)
    make_topics(cluster, settings)
    return settings


class TestMockCluster(OutboxContract):
    """Every promise that needs no shutting out, which the mock cluster does not know."""


@pytest.fixture
def outbox(settings: Settings) -> Iterator[KafkaOutbox]:
    outbox = KafkaTransport(settings).outbox("0")
    yield outbox
    outbox.close()


@pytest.mark.parametrize("request_kind", [Request.PRODUCE, Request.ADD_PARTITIONS_TO_TXN, Request.END_TXN])
@pytest.mark.parametrize("code", [KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.COORDINATOR_NOT_AVAILABLE])
def test_what_passes_is_waited_out(
    cluster: MockCluster, settings: Settings, outbox: KafkaOutbox, request_kind: Request, code: int
) -> None:
    cluster.fail(request_kind, code, code)
    try:
        outbox.publish("store", 1, batch_of(settings, 1))
    finally:
        cluster.fail_no_more(request_kind)
    assert KafkaTransport(settings).outbox("0")._published == {"store": 1}


def test_an_aborted_transaction_is_repeated_whole(cluster: MockCluster, settings: Settings) -> None:
    reasons: list[str] = []
    outbox = KafkaTransport(settings).outbox("0", reasons.append)
    cluster.fail(Request.END_TXN, KafkaError.INVALID_PRODUCER_ID_MAPPING)
    outbox.publish("store", 1, batch_of(settings, 1))
    outbox.close()
    # The mock cluster shows what was aborted: both attempts.
    assert values(KafkaTransport(settings), settings.risk_topic) == [b"1", b"1"]
    assert any("publishing 1 records" in reason for reason in reasons)


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.MSG_SIZE_TOO_LARGE])
def test_what_does_not_pass_is_not_waited_for(
    cluster: MockCluster, settings: Settings, outbox: KafkaOutbox, code: int
) -> None:
    cluster.fail(Request.PRODUCE, code)
    with pytest.raises(TransportError, match=f"cannot write {settings.risk_topic}.*{settings.risk_topic}"):
        outbox.publish("store", 1, batch_of(settings, 1))
    outbox.publish("store", 1, batch_of(settings, 1))
    assert KafkaTransport(settings).outbox("0")._published == {"store": 1}


def test_a_process_that_was_shut_out_says_so_ever_after(
    cluster: MockCluster, settings: Settings, outbox: KafkaOutbox
) -> None:
    cluster.fail(Request.ADD_PARTITIONS_TO_TXN, KafkaError.PRODUCER_FENCED)
    for _ in range(2):
        with pytest.raises(TransportError, match="another run has taken over: outbox 0 on Kafka at"):
            outbox.publish("store", 1, batch_of(settings, 1))


def test_an_outage_is_waited_out_and_said(cluster: MockCluster, settings: Settings) -> None:
    reasons: list[str] = []

    def waiting(reason: str) -> None:
        reasons.append(reason)
        if len(reasons) == 3:
            cluster.set_up()

    outbox = KafkaTransport(settings).outbox("0", waiting)
    reasons.clear()
    cluster.set_down()
    outbox.publish("store", 1, batch_of(settings, 1))
    assert len(reasons) >= 3
    assert all(reason.startswith(f"Kafka at {cluster.brokers}: publishing 1 records") for reason in reasons)
    outbox.close()


def test_an_outage_past_the_bound_is_an_error(cluster: MockCluster, settings: Settings) -> None:
    outbox = KafkaTransport(settings).outbox("0")
    assert isinstance(outbox, KafkaOutbox)
    # Only now: on a busy machine it may take longer than this to open.
    outbox._settings = settings.model_copy(update={"outage_seconds_max": 2})
    cluster.set_down()
    try:
        with pytest.raises(TransportError, match=r"publishing 1 records: no progress for 2 s.*refused"):
            outbox.publish("store", 1, batch_of(settings, 1))
    finally:
        cluster.set_up()
    outbox.close()


def test_a_stop_ends_the_wait_and_the_batch_can_be_published_later(cluster: MockCluster, settings: Settings) -> None:
    stopping = False

    def waiting(reason: str) -> None:
        if stopping:
            raise StopError

    outbox = KafkaTransport(settings).outbox("0", waiting)
    stopping = True
    cluster.set_down()
    try:
        with pytest.raises(StopError):
            outbox.publish("store", 1, batch_of(settings, 1))
    finally:
        cluster.set_up()
    stopping = False
    outbox.publish("store", 1, batch_of(settings, 1))
    assert values(KafkaTransport(settings), settings.risk_topic) == [b"1"]
    outbox.close()


def test_an_outbox_needs_its_topics(cluster: MockCluster) -> None:
    settings = Settings(kafka_brokers=cluster.brokers, topic_prefix=f"t-{uuid4().hex}")
    cluster.create_topic(settings.risk_topic)
    with pytest.raises(TransportError, match=rf"no topic {settings.alarm_topic}; create it: c360 setup"):
        KafkaTransport(settings).outbox("0")
    for topic in (*settings.output_topics[1:], settings.outbox_topic):
        cluster.create_topic(topic)
    with pytest.raises(TransportError, match=rf"{settings.outbox_topic} on Kafka at .* has 4 partitions, not 16"):
        KafkaTransport(settings).outbox("0")
