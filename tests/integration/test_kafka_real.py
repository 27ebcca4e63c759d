"""The transport contract on a real Apache Kafka, and what only a real one does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.reader import KafkaReader
from c360_stream.connectors.kafka.topics import setup_topics
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.ports import VALUE_BYTES_MAX, OutRecord
from c360_stream.errors import TransportError
from c360_stream.settings import Settings
from tests.contracts.test_transports import DEADLINE_SECONDS, KafkaPlace, TransportContract, batches, drain, read_all

pytestmark = pytest.mark.kafka


@pytest.fixture
def admin(kafka_brokers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka_brokers, "log_level": 2})


@pytest.fixture
def place(kafka_brokers: str, admin: AdminClient) -> KafkaPlace:
    def create_topic(name: str) -> None:
        done(admin.create_topics([NewTopic(name, 4, -1)]))

    return KafkaPlace(kafka_brokers, create_topic)


@pytest.fixture
def prefixed(kafka_brokers: str) -> Settings:
    """Settings whose topics no other test shares."""
    return Settings(kafka_brokers=kafka_brokers, topic_prefix=f"t-{uuid4().hex}")


def done(futures: Mapping[Any, Future[Any]]) -> None:
    for future in futures.values():
        future.result(DEADLINE_SECONDS)


def read_on(reader: KafkaReader) -> None:
    """Read until it raises; librdkafka believes in a loss after half a minute."""
    deadline = time.monotonic() + 4 * DEADLINE_SECONDS
    while time.monotonic() < deadline:
        reader.read(100)
        time.sleep(0.001)


class TestContract(TransportContract):
    """Every promise of the contract, on the real broker."""


def test_setup_makes_every_topic_once(prefixed: Settings, admin: AdminClient) -> None:
    *made, outbox = setup_topics(prefixed)
    assert all(line.endswith(": created, 4 partitions") for line in made)
    assert outbox == f"{prefixed.outbox_topic}: created, 16 partitions"
    *again, outbox = setup_topics(prefixed.model_copy(update={"topic_partitions": 6}))
    for line in again:
        topic, _, rest = line.partition(": ")
        command = f"kafka-topics.sh --bootstrap-server {prefixed.kafka_brokers} --alter --topic {topic} --partitions 6"
        left = "" if topic in prefixed.output_topics else f"; it was left so; to change it: {command}"
        assert rest == f"exists, 4 partitions (6 asked for){left}"
    assert outbox == f"{prefixed.outbox_topic}: exists, 16 partitions"
    assert len(again) == 7
    for topic in (prefixed.risk_topic, prefixed.outbox_topic):
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        assert admin.describe_configs([resource])[resource].result()["cleanup.policy"].value == "compact"
    resource = ConfigResource(ConfigResource.Type.TOPIC, prefixed.heartbeat_topic)
    assert admin.describe_configs([resource])[resource].result()["retention.ms"].value == "86400000"
    assert KafkaTransport(prefixed).partitions(prefixed.dead_letter_topic) == [0, 1, 2, 3]


def test_setup_says_what_is_wrong_with_a_topic_that_somebody_else_made(prefixed: Settings, admin: AdminClient) -> None:
    done(admin.create_topics([NewTopic(prefixed.risk_topic, 1, -1)]))
    (line,) = [line for line in setup_topics(prefixed) if prefixed.risk_topic in line]
    found, left = "exists, 1 partitions (4 asked for)", "it was left so; to change it"
    tool = f"--bootstrap-server {prefixed.kafka_brokers} --alter --topic {prefixed.risk_topic}"
    command = f"kafka-configs.sh {tool} --add-config cleanup.policy=compact"
    assert line.endswith(f"{found}; cleanup.policy is delete, should be compact; {left}: {command}")


def test_setup_says_why_it_is_refused(prefixed: Settings) -> None:
    with pytest.raises(TransportError, match=r"cannot create .*[Rr]eplication"):
        setup_topics(prefixed.model_copy(update={"topic_replication": 99}))


def test_asking_about_a_topic_does_not_make_it(place: KafkaPlace) -> None:
    name = f"t-{uuid4().hex}"
    assert place.transport.partitions(name) == []
    with pytest.raises(TransportError, match="c360 setup"):
        place.transport.writer(name, None)
    assert place.transport.partitions(name) == []


def test_records_deleted_since_the_snapshot_are_an_error(place: KafkaPlace, admin: AdminClient) -> None:
    topic = place.topic()
    place.put(topic, [b"1"] * 10)
    reader = place.transport.reader(topic, 0, None, live=True)
    drain(reader)
    position = reader.position()
    place.put(topic, [b"2"] * 10)
    done(admin.delete_records([Partition(topic, 0, 15)]))
    with pytest.raises(TransportError, match=r"starts at offset 15 now: 10\.\.14 were deleted"):
        place.transport.reader(topic, 0, position, live=True)


def test_a_reader_that_falls_behind_the_log_start_stops(place: KafkaPlace, admin: AdminClient) -> None:
    topic = place.topic()
    reader = place.transport.reader(topic, 0, (0,), live=True)  # fetches nothing: there is nothing yet
    place.put(topic, [b"1" * 100_000] * 200)
    while not reader.read(1).values:
        pass
    # Its queue holds a few megabytes; what lies behind is deleted before it is fetched.
    done(admin.delete_records([Partition(topic, 0, 199)]))
    with pytest.raises(TransportError, match=r"starts at offset 199 now: \d+\.\.198 were deleted"):
        read_on(reader)  # past what the broker told of with the records before


def test_aborted_transactions_are_not_read(place: KafkaPlace, kafka_brokers: str) -> None:
    topic = place.topic()
    producer = Producer({"bootstrap.servers": kafka_brokers, "transactional.id": uuid4().hex, "log_level": 2})
    producer.init_transactions(DEADLINE_SECONDS)
    for value, end in ((b"1", producer.commit_transaction), (b"x", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush()
        end(DEADLINE_SECONDS)
    reader = place.transport.reader(topic, 0, None, live=True)
    assert drain(reader) == [b"1"]
    assert (reader.position(), reader.lag()) == ((4,), 0)  # past the markers too
    place.put(topic, [b"2"])
    assert drain(place.transport.reader(topic, 0, reader.position(), live=True)) == [b"2"]


def test_the_largest_value_fits_as_a_dead_letter(prefixed: Settings) -> None:
    setup_topics(prefixed.model_copy(update={"topic_partitions": 1}))
    transport = KafkaTransport(prefixed)
    writer = transport.writer(prefixed.dead_letter_topic, None)
    writer.write([OutRecord(None, b"x" * VALUE_BYTES_MAX, [("__connect.errors.stage", b"decode")])])
    writer.flush()
    writer.close()
    (batch,) = read_all(transport, prefixed.dead_letter_topic, 0)
    assert (len(batch.values[0]), batch.keys) == (VALUE_BYTES_MAX, [None])


def test_a_record_larger_than_the_topic_takes_names_what_to_mend(place: KafkaPlace) -> None:
    topic = place.topic()
    writer = place.transport.writer(topic, None)
    writer.write([OutRecord("a", b"x" * 2_000_000)])
    with pytest.raises(
        TransportError, match=rf"{topic}: a record of 2000000 bytes.*raise max\.message\.bytes of topic"
    ):
        writer.flush()
    writer.close()


def test_a_topic_that_is_deleted_under_a_reader_is_an_error(place: KafkaPlace, admin: AdminClient) -> None:
    topic = place.topic()
    place.put(topic, [b"1"])
    reader = place.transport.reader(topic, 0, None, live=True)
    assert drain(reader) == [b"1"]
    done(admin.delete_topics([topic]))
    with pytest.raises(TransportError, match=rf"no {topic}\[0\] any more"):
        read_on(reader)
    reader.close()


def test_large_records_come_in_batches_of_bounded_size(place: KafkaPlace) -> None:
    topic = place.topic()
    place.put(topic, [b"x" * 900_000] * 60)
    reader = place.transport.reader(topic, 0, None, live=True)
    found = batches(reader, 8192)
    assert sum(len(batch.values) for batch in found) == 60
    reader.close()
