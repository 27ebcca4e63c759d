"""What Kafka adds to the contract: outages, lost records, deliveries that fail, keys and headers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, Producer

from c360_stream.connectors.factory import open_transport
from c360_stream.connectors.kafka import reader as kafka_reader
from c360_stream.connectors.kafka import records as kafka_records
from c360_stream.connectors.kafka.connection import Connection
from c360_stream.connectors.kafka.patience import KafkaPatience
from c360_stream.connectors.kafka.reader import KafkaReader
from c360_stream.connectors.kafka.sender import open_sender
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.ports import VALUE_BYTES_MAX, OutRecord, RawBatch, wait_patiently
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.settings import Settings
from tests.contracts.mock_cluster import MockCluster, RecoveringOffsets, Request, mock_cluster
from tests.contracts.test_transports import DEADLINE_SECONDS, batches, drain, read_all, read_topic

NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as cluster:
        yield cluster


@pytest.fixture
def topic(cluster: MockCluster) -> str:
    name = f"t-{uuid4().hex}"
    cluster.create_topic(name)
    return name


@pytest.fixture
def transport(cluster: MockCluster) -> KafkaTransport:
    return KafkaTransport(Settings(kafka_brokers=cluster.brokers), start_seconds_max=5.0)


@pytest.fixture
def producer(cluster: MockCluster) -> Producer:
    options = {"enable.idempotence": True, "message.max.bytes": 100_000_000, "log_level": 2}
    return Producer({"bootstrap.servers": cluster.brokers, **options})


def read_until(reader: KafkaReader, condition: Callable[[], bool]) -> list[RawBatch]:
    deadline = time.monotonic() + DEADLINE_SECONDS
    found: list[RawBatch] = []
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        found.append(reader.read(100))
    return [batch for batch in found if batch.values]


def test_keys_and_headers_come_unchanged(transport: KafkaTransport, producer: Producer, topic: str) -> None:
    producer.produce(topic, b"1", b"\xff\x00", partition=0, headers=[("a", b"\xfe"), ("a", None), ("b", b"")])
    producer.produce(topic, b"2", None, partition=0)
    producer.flush()
    (batch,) = read_all(transport, topic, 0)
    assert batch.keys == [b"\xff\x00", None]
    assert batch.headers == [[("a", b"\xfe"), ("a", None), ("b", b"")], None]


def test_what_follows_a_delivery_has_all_of_the_time_again(cluster: MockCluster, topic: str) -> None:
    settings, connection = Settings(kafka_brokers=cluster.brokers), Connection(cluster.brokers)
    patience = KafkaPatience(connection, "sending", 60.0, wait_patiently)
    with closing(open_sender(settings, connection)) as sender:
        sender.send([(topic, OutRecord(None, b"1"))], patience)
        patience.left_seconds()  # which begins to count
        left_seconds = patience.left_seconds()
        sender.flush(patience)
    assert patience.left_seconds() > left_seconds


def test_a_dead_letter_keeps_its_key_of_any_bytes(transport: KafkaTransport, topic: str) -> None:
    writer = transport.writer(topic, None)
    writer.write([OutRecord(b"\xff\x00", b"rubbish\n", [("a", None), ("__connect.errors.stage", b"decode")])])
    writer.write([OutRecord(None, b"no key")])
    writer.flush()
    writer.close()
    found = read_topic(transport, topic)
    records = {
        value: (key, headers)
        for batch in found
        for value, key, headers in zip(batch.values, batch.keys or (), batch.headers or [None] * 9, strict=False)
    }
    assert records == {
        b"rubbish\n": (b"\xff\x00", [("a", None), ("__connect.errors.stage", b"decode")]),
        b"no key": (None, None),
    }


def test_a_value_over_the_bound_is_cut_and_marked(
    transport: KafkaTransport, producer: Producer, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_records, "VALUE_BYTES_MAX", 9)
    producer.produce(topic, b"x" * 10, partition=0, headers=[("a", b"1")])
    producer.produce(topic, b"y" * 9, partition=0)
    producer.flush()
    (batch,) = read_all(transport, topic, 0)
    assert list(batch.values) == [b"x" * 9, b"y" * 9]
    assert batch.headers == [[("a", b"1"), ("c360.truncated", b"true")], None]


def test_a_batch_is_bounded_in_bytes_too(
    transport: KafkaTransport, producer: Producer, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "BATCH_BYTES_MAX", 10_000)
    for _ in range(1000):
        producer.produce(topic, b"x" * 1000, partition=0)
    producer.flush()
    sizes = [len(batch.values) for batch in batches(transport.reader(topic, 0, None, live=True), 1000)]
    assert (sum(sizes), max(sizes)) == (1000, kafka_reader.CHUNK_RECORDS)  # whole calls of the consumer


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [("21", -973932308), ("foobar", -790332482), ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)],
)
def test_records_are_partitioned_as_the_java_clients_do(
    transport: KafkaTransport, topic: str, key: str, murmur2: int
) -> None:
    # The hashes are those of the test of Kafka's own `Utils.murmur2`.
    writer = transport.writer(topic, None)
    writer.write([OutRecord(key, b"1")])
    writer.flush()
    writer.close()
    partition = (murmur2 & 0x7FFFFFFF) % len(transport.partitions(topic))
    assert [batch.keys for batch in read_all(transport, topic, partition)] == [[key.encode()]]


def test_a_full_queue_is_back_pressure(transport: KafkaTransport, topic: str) -> None:
    records = [OutRecord("acct", b"1")] * 120_000  # more than librdkafka's queue takes
    writer = transport.writer(topic, None)
    writer.write(records)
    writer.flush()
    writer.close()
    ends = [transport.reader(topic, n, None, live=True).lag() for n in transport.partitions(topic)]
    assert sum(ends) == len(records)


def test_records_deleted_before_they_were_read_are_an_error(
    cluster: MockCluster, transport: KafkaTransport, producer: Producer, topic: str
) -> None:
    for _ in range(10):
        producer.produce(topic, b"1", partition=0)
    producer.flush()
    reader = transport.reader(topic, 0, None, live=True)
    read_until(reader, lambda: reader.position() == (10,))
    cluster.delete_records(topic, 0, 6)
    with pytest.raises(TransportError, match=r"starts at offset 6 now: 2\.\.5 were deleted before they were read"):
        transport.reader(topic, 0, (2,), live=True)
    fresh = transport.reader(topic, 0, None, live=True)
    assert fresh.position() == (6,)
    assert len(drain(fresh)) == 4
    with pytest.raises(TransportError, match="ends at offset 10, but was read up to 11"):
        transport.reader(topic, 0, (11,), live=True)


@pytest.mark.parametrize("answers", [1, 2, 3, 6])
def test_brokers_that_recover_while_a_run_resumes_are_waited_for(
    transport: KafkaTransport, producer: Producer, topic: str, monkeypatch: pytest.MonkeyPatch, answers: int
) -> None:
    for number in range(10):
        producer.produce(topic, b"%d" % number, partition=0)
    producer.flush()
    offsets = RecoveringOffsets(transport._settings)
    monkeypatch.setattr(transport, "_offsets", offsets)
    monkeypatch.setattr(kafka_reader, "_LOOK_EVERY_SECONDS", 0.01)
    for resume, values in ((7,), [b"7", b"8", b"9"]), ((10,), []), (None, [b"%d" % number for number in range(10)]):
        offsets.unknown = answers
        reader = transport.reader(topic, 0, resume, live=True)
        assert drain(reader) == values
        assert (offsets.unknown, reader.lag()) == (0, 0)
        reader.close()
    offsets.unknown = answers
    reader = transport.reader(topic, 0, (11,), live=True)  # this one was made anew indeed
    with pytest.raises(TransportError, match="ends at offset 10, but was read up to 11"):
        drain(reader)
    reader.close()


def test_a_live_reader_is_at_the_end_when_it_has_all_that_the_broker_told_of(
    transport: KafkaTransport, producer: Producer, topic: str
) -> None:
    """The broker says half a second later that there are no more: so long it would look as if there were."""
    for number in range(10):
        producer.produce(topic, b"%d" % number, partition=0)
    producer.flush()
    reader = transport.reader(topic, 0, None, live=True)
    ends = []
    values: list[bytes] = []
    while len(values) < 10:
        values += (found := reader.read(3).values)
        ends += [reader.at_end] if found else []
    assert ends == [False] * (len(ends) - 1) + [True]
    reader.close()


def test_no_broker_at_the_start_is_an_error_that_names_it() -> None:
    transport = KafkaTransport(Settings(kafka_brokers=NOBODY), start_seconds_max=0.5)
    for use in (
        lambda: transport.partitions("t"),
        lambda: transport.reader("t", 0, None, live=True),
        lambda: transport.writer("t", None),
    ):
        with pytest.raises(TransportError, match=rf"Kafka at {NOBODY}.*refused.*C360_KAFKA_BROKERS"):
            use()


def test_a_reader_waits_an_outage_out(
    cluster: MockCluster, transport: KafkaTransport, producer: Producer, topic: str
) -> None:
    producer.produce(topic, b"1", partition=0)
    producer.flush()
    reader = transport.reader(topic, 0, None, live=True)
    read_until(reader, lambda: reader.at_end)
    cluster.set_down()
    assert read_until(reader, lambda: not reader.at_end) == []
    cluster.set_up()
    assert read_until(reader, lambda: reader.at_end) == []
    assert reader.position() == (1,)


def test_a_reader_goes_on_after_an_outage(
    cluster: MockCluster, transport: KafkaTransport, producer: Producer, topic: str
) -> None:
    reader = transport.reader(topic, 0, None, live=True)
    cluster.set_down()
    read_until(reader, lambda: reader._connection.outage)
    producer.produce(topic, b"1", partition=0)
    cluster.set_up()
    producer.flush()
    found = read_until(reader, lambda: reader.position() == (1,))
    assert [list(batch.values) for batch in found] == [[b"1"]]


def test_a_writer_waits_an_outage_out_and_says_so(cluster: MockCluster, transport: KafkaTransport, topic: str) -> None:
    reasons: list[str] = []

    def waiting(reason: str) -> None:
        reasons.append(reason)
        if len(reasons) == 3:
            cluster.set_up()

    writer = transport.writer(topic, None, waiting)
    cluster.set_down()
    writer.write([OutRecord("a", b"1")])
    writer.flush()
    writer.close()
    assert len(reasons) >= 3
    assert all(reason.startswith(f"Kafka at {cluster.brokers}: writing {topic}") for reason in reasons)
    found = read_topic(transport, topic)
    assert [list(batch.values) for batch in found] == [[b"1"]]


def test_a_leader_that_changes_is_followed() -> None:
    with mock_cluster(brokers=2) as cluster:
        cluster.create_topic("t", 1)
        cluster.set_leader("t", 0, 1)
        transport = KafkaTransport(Settings(kafka_brokers=cluster.brokers))
        writer, reader = transport.writer("t", None), transport.reader("t", 0, None, live=True)
        found = []
        for n, leader in enumerate((1, 2, 1)):
            cluster.set_leader("t", 0, leader)
            writer.write([OutRecord("a", b"%d" % n)])
            writer.flush()
            found += read_until(reader, lambda n=n: reader.position() == (n + 1,))  # type: ignore[misc]
        assert [value for batch in found for value in batch.values] == [b"0", b"1", b"2"]
        writer.close()
        reader.close()


def test_a_topic_that_may_not_be_read_is_an_error(cluster: MockCluster, transport: KafkaTransport, topic: str) -> None:
    denied = rf"cannot read {topic}\[0\].*[Aa]uthorization.*let this user read topic {topic}"
    reader = transport.reader(topic, 0, None, live=True)
    read_until(reader, lambda: reader.at_end)
    cluster.set_topic_error(topic, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    cluster.set_down()  # so that it asks again
    cluster.set_up()
    with pytest.raises(TransportError, match=denied):
        read_until(reader, lambda: False)
    reader.close()
    cluster.set_topic_error(topic, 0)
    # More than the new reader asks: questions of the old one may still be on their way.
    cluster.fail(Request.LIST_OFFSETS, *[KafkaError.TOPIC_AUTHORIZATION_FAILED] * 20)
    try:
        with pytest.raises(TransportError, match=denied):
            transport.reader(topic, 0, None, live=True)
    finally:
        cluster.fail_no_more(Request.LIST_OFFSETS)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "[Aa]uthorization.*let this user write to topic {topic}"),
        (KafkaError.MSG_SIZE_TOO_LARGE, "a record of 1 bytes is too large.*raise max.message.bytes of topic {topic}"),
    ],
)
def test_a_record_that_the_broker_refuses_is_an_error_at_once(
    cluster: MockCluster, transport: KafkaTransport, topic: str, code: int, said: str
) -> None:
    writer = transport.writer(topic, None)
    cluster.fail(Request.PRODUCE, code)
    writer.write([OutRecord(None, b"1")])
    with pytest.raises(TransportError, match=f"cannot write {topic}.*{said.format(topic=topic)}"):
        writer.flush()
    writer.close()


def test_what_passes_is_tried_again(cluster: MockCluster, transport: KafkaTransport, topic: str) -> None:
    writer, reader = transport.writer(topic, None), transport.reader(topic, 0, None, live=True)
    cluster.fail(Request.PRODUCE, KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.REQUEST_TIMED_OUT)
    cluster.fail(Request.FETCH, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.KAFKA_STORAGE_ERROR)
    writer.write([OutRecord(None, b"%d" % n) for n in range(100)])
    writer.flush()
    assert sum(len(batch.values) for batch in read_until(reader, lambda: reader.at_end)) == reader.position()[0]
    writer.close()


def test_a_log_start_that_moves_past_a_reader_is_an_error(
    cluster: MockCluster, transport: KafkaTransport, producer: Producer, topic: str
) -> None:
    for _ in range(10):
        producer.produce(topic, b"1", partition=0)
    producer.flush()
    cluster.fail(Request.FETCH, KafkaError.KAFKA_STORAGE_ERROR)  # so that nothing is fetched before
    reader = transport.reader(topic, 0, (2,), live=True)
    cluster.delete_records(topic, 0, 6)
    with pytest.raises(TransportError, match=r"starts at offset 6 now: 2\.\.5 were deleted before they were read"):
        read_until(reader, lambda: False)
    reader.close()


def test_a_delivery_that_failed_is_raised_ever_after(cluster: MockCluster, topic: str) -> None:
    transport = KafkaTransport(Settings(kafka_brokers=cluster.brokers, outage_seconds_max=1))
    writer = transport.writer(topic, None)
    cluster.set_down()
    try:
        writer.write([OutRecord("a", b"secret-content")])
        for use in (writer.flush, writer.flush, lambda: writer.write([OutRecord("a", b"2")])):
            with pytest.raises(TransportError, match=f"{topic}.*(timed out|no progress for 1 s)") as error:
                use()
            assert "secret-content" not in str(error.value)
    finally:
        cluster.set_up()
    writer.close()


def test_a_record_too_large_to_send_is_an_error(transport: KafkaTransport, topic: str) -> None:
    writer = transport.writer(topic, None)
    with pytest.raises(TransportError, match=f"cannot write {topic}.*too large"):
        writer.write([OutRecord("a", b"x" * (3 * VALUE_BYTES_MAX))])
    writer.close()


def test_a_topic_must_exist_to_be_written(transport: KafkaTransport) -> None:
    with pytest.raises(TransportError, match="no topic never-made; create it: c360 setup"):
        transport.writer("never-made", None)


def test_wrong_settings_are_refused_and_the_password_is_not_shown() -> None:
    settings = Settings(
        kafka_brokers=NOBODY,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="NOPE",
        kafka_sasl_username="bob",
        kafka_sasl_password="hunter2",
    )
    with pytest.raises(ConfigurationError, match="Unsupported SASL mechanism") as error:
        open_transport(settings)
    assert "hunter2" not in str(error.value)
    with pytest.raises(ConfigurationError, match=r"ssl\.ca\.location"):
        open_transport(Settings(kafka_brokers=NOBODY, kafka_security_protocol="SSL", kafka_ssl_ca_location="/none"))
