"""The outbox on a real Apache Kafka: crashes at any moment, older processes, a broker that goes away."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from c360_stream.connectors.kafka import outbox as kafka_outbox
from c360_stream.connectors.kafka.outbox import marker_partition
from c360_stream.connectors.kafka.topics import setup_topics
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.ports import TopicRecord
from c360_stream.errors import TransportError
from c360_stream.settings import Settings
from tests.contracts.test_outbox import OutboxContract, batch_of, values
from tests.contracts.test_transports import DEADLINE_SECONDS
from tests.integration.kafka_broker import Broker, required_broker
from tests.integration.outbox_process import batch

pytestmark = pytest.mark.kafka
KILLS = 10
BATCHES = 200
RECORDS = 400
PROCESS_SECONDS_MAX = 120


@pytest.fixture
def settings(kafka_brokers: str) -> Settings:
    settings = Settings(kafka_brokers=kafka_brokers, topic_prefix=f"t-{uuid4().hex}", outage_seconds_max=120)
    setup_topics(settings.model_copy(update={"topic_partitions": 2}))
    return settings


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker that tests of this module may kill."""
    with required_broker("transaction.abort.timed.out.transaction.cleanup.interval.ms=200\n") as broker:
        yield broker


@pytest.fixture
def own(broker: Broker) -> Settings:
    """Settings for topics on that broker."""
    settings = Settings(kafka_brokers=broker.address, topic_prefix=f"t-{uuid4().hex}", outage_seconds_max=120)
    setup_topics(settings.model_copy(update={"topic_partitions": 2}))
    return settings


class TestRealBroker(OutboxContract):
    """Every promise of the contract, on the real broker."""


def leave_open(settings: Settings, part: str, *, marker: bool) -> None:
    """Begin a transaction of a part and never end it, as a process does that dies."""
    name = f"{settings.topic_prefix}.outbox.{part}"
    producer = Producer({"bootstrap.servers": settings.kafka_brokers, "transactional.id": name, "log_level": 2})
    producer.init_transactions(DEADLINE_SECONDS)
    producer.begin_transaction()
    producer.produce(settings.risk_topic, b"open", b"acct")
    if marker:
        value = b'{"store": "store", "sequence": 1}'
        producer.produce(settings.outbox_topic, value, f"{part}/store".encode(), marker_partition(part))
    assert producer.flush(DEADLINE_SECONDS) == 0


@pytest.mark.parametrize("marker", [False, True])
def test_a_batch_that_was_not_committed_is_published_again(settings: Settings, marker: bool) -> None:
    leave_open(settings, "0", marker=marker)
    outbox = KafkaTransport(settings).outbox("0")
    outbox.publish("store", 1, batch_of(settings, 1))
    outbox.close()
    assert values(KafkaTransport(settings), settings.risk_topic) == [b"1"]


def test_an_older_process_is_shut_out_in_the_middle_of_a_batch(settings: Settings) -> None:
    transport = KafkaTransport(settings)
    older = transport.outbox("0")
    newer = transport.outbox("0")
    for _ in range(2):
        with pytest.raises(TransportError, match="another run has taken over: outbox 0"):
            older.publish("store", 1, batch_of(settings, 7))
    newer.publish("store", 1, batch_of(settings, 1))
    assert values(transport, settings.risk_topic) == [b"1"]
    older.close()
    newer.close()


def test_a_part_that_does_not_come_back_does_not_hold_up_the_others(settings: Settings) -> None:
    impatient = settings.model_copy(update={"outage_seconds_max": 10})
    outbox = KafkaTransport(impatient).outbox("0")
    leave_open(settings, "1", marker=True)
    for _ in range(2):
        outbox.publish("store", 1, batch_of(settings, 1))
        outbox.close()
        outbox = KafkaTransport(impatient).outbox("0")
    outbox.close()
    KafkaTransport(settings).outbox("1").close()  # which ends what was left open, so that readers go on
    assert values(KafkaTransport(settings), settings.risk_topic) == [b"1"]


def test_parts_that_share_a_partition_wait_for_each_other(settings: Settings) -> None:
    transport = KafkaTransport(settings)
    leave_open(settings, "16", marker=True)
    # What part 0 committed lies behind what part 16 left open.
    opened: list[KafkaTransport] = []

    def waiting(reason: str) -> None:
        if not opened and f"reading {settings.outbox_topic}[0]" in reason:
            opened.append(transport)
            transport.outbox("16").close()

    first = transport.outbox("1")
    first.close()
    outbox = transport.outbox("0", waiting)
    outbox.publish("store", 1, batch_of(settings, 1))
    outbox.close()
    assert opened
    assert values(transport, settings.risk_topic) == [b"1"]


def test_kills_at_any_moment_lose_nothing_and_double_nothing(settings: Settings, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    sealed = tmp_path / "sealed"
    sealed.write_text("1")
    arguments = [settings.kafka_brokers, settings.topic_prefix, str(sealed), str(BATCHES), str(RECORDS)]
    command = [sys.executable, "-m", "tests.integration.outbox_process", *arguments]
    for _ in range(KILLS):
        killed = subprocess.run([*command, str(rng.uniform(0.05, 1.5))], timeout=PROCESS_SECONDS_MAX, check=False)
        assert killed.returncode in (-signal.SIGKILL, 0)
    subprocess.run([*command, "0"], timeout=PROCESS_SECONDS_MAX, check=True)
    assert_each_once(settings, BATCHES, RECORDS)


def assert_each_once(settings: Settings, batches: int, records: int) -> None:
    transport = KafkaTransport(settings)
    wanted = [record for n in range(1, batches + 1) for record in batch(settings, n, records)]
    for topic in (settings.risk_topic, settings.alarm_topic):
        found = values(transport, topic)
        assert len(found) == len(set(found)), "doubled"
        assert set(found) == {record.value for name, record in wanted if name == topic}


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_a_broker_that_restarts_while_batches_are_published(broker: Broker, own: Settings, way: str) -> None:
    outbox = KafkaTransport(own).outbox("0")
    restart = threading.Thread(target=broker.restart, kwargs={"orderly": way == "stop"})
    batches = 0
    deadline = time.monotonic() + PROCESS_SECONDS_MAX
    after = 0
    while after < 5 and time.monotonic() < deadline:
        batches += 1
        outbox.publish("store", batches, batch(own, batches, RECORDS))
        if batches == 20:
            restart.start()
        after += batches > 20 and not restart.is_alive()
    outbox.close()
    assert after == 5
    assert_each_once(own, batches, RECORDS)


def test_a_broker_that_restarts_in_the_middle_of_a_large_batch(broker: Broker, own: Settings) -> None:
    outbox = KafkaTransport(own).outbox("0")
    records = 300_000
    restart = threading.Thread(target=broker.restart)
    threading.Timer(0.5, restart.start).start()
    outbox.publish("store", 1, batch(own, 1, records))
    restart.join()
    outbox.publish("store", 2, batch(own, 2, 10))
    outbox.close()
    transport = KafkaTransport(own)
    for topic in (own.risk_topic, own.alarm_topic):
        found = values(transport, topic)
        assert len(found) == len(set(found)) == (records + 10) // 2


class StallingBatch(list[TopicRecord]):
    """A batch in the middle of which time passes, once: until nothing is open any more in the risk topic."""

    def __init__(self, records: Sequence[TopicRecord], transport: KafkaTransport, topic: str) -> None:
        super().__init__(records)
        self._transport = transport
        self._topic = topic
        self.stalled = False

    def __iter__(self) -> Iterator[TopicRecord]:
        half = len(self) // 2
        yield from self[:half]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self.stalled and time.monotonic() < deadline:
            readers = [self._transport.reader(self._topic, n, None, live=True) for n in (0, 1)]
            for reader in readers:
                while not reader.at_end:
                    reader.read(1000)
            self.stalled = all(reader.position()[0] > 0 for reader in readers)
        yield from self[half:]


def test_a_transaction_that_the_broker_ended_is_begun_anew(
    broker: Broker, own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_outbox, "TRANSACTION_SECONDS_MAX", 1)
    transport = KafkaTransport(own)
    outbox = transport.outbox("0")
    stalling = StallingBatch(batch(own, 1, 1000), transport, own.risk_topic)
    outbox.publish("store", 1, stalling)
    assert stalling.stalled
    outbox.publish("store", 2, batch(own, 2, 1000))
    outbox.close()
    assert_each_once(own, 2, 1000)


def test_a_broker_that_does_not_answer_for_longer_than_a_transaction_may_take(
    broker: Broker, own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_outbox, "TRANSACTION_SECONDS_MAX", 2)
    waits = 0

    def waiting(reason: str) -> None:
        nonlocal waits
        waits += 1
        if waits == 8:  # of half a second
            broker.go_on()

    outbox = KafkaTransport(own).outbox("0", waiting)
    waits = 0
    broker.pause()
    try:
        outbox.publish("store", 1, batch(own, 1, 1000))
    finally:
        broker.go_on()
    outbox.close()
    assert_each_once(own, 1, 1000)
