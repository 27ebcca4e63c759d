"""What every transport promises behind `connectors/ports.py`, run on each implementation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.logdir import LogDirTransport
from c360_stream.connectors.ports import OutRecord, RawBatch, RecordReader, Transport
from c360_stream.errors import TransportError
from c360_stream.settings import Settings
from tests.contracts.mock_cluster import MockCluster, mock_cluster

DEADLINE_SECONDS = 20.0


class Place(Protocol):
    """A transport, and a way into it that does not go through the transport."""

    has_keys: bool

    @property
    def transport(self) -> Transport:
        """The transport under test."""

    def topic(self) -> str:
        """Make an empty topic whose partition 0 is there."""

    def put(self, topic: str, values: Sequence[bytes]) -> None:
        """Add records to the topic's partition 0."""


def drain(reader: RecordReader, records_max: int = 100) -> list[bytes]:
    """Read to the end."""
    return [value for batch in batches(reader, records_max) for value in batch.values]


def batches(reader: RecordReader, records_max: int = 100) -> list[RawBatch]:
    """The batches up to the end, which must come in time."""
    found = [reader.read(records_max)]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reader.at_end:
        assert time.monotonic() < deadline, "the reader never came to the end"
        found.append(reader.read(records_max))
        assert len(found[-1].values) == len(found[-1].offsets) <= records_max
    return [batch for batch in found if batch.values]


class TransportContract:
    """Subclasses provide the fixture `place`."""

    def test_records_come_in_order_with_ascending_offsets(self, place: Place) -> None:
        topic, values = place.topic(), [b'{"n":%d}' % n for n in range(1000)]
        place.put(topic, values)
        reader = place.transport.reader(topic, 0, None, live=True)
        found = batches(reader, 64)
        assert [value for batch in found for value in batch.values] == values
        assert [offset for batch in found for offset in batch.offsets] == list(range(1000))
        assert (reader.topic, reader.partition) == (topic, 0)
        reader.close()

    def test_resuming_from_a_position_gives_the_rest_exactly(self, place: Place) -> None:
        topic, values = place.topic(), [b"%d" % n * (n % 5) for n in range(40)]
        place.put(topic, values)
        reader = place.transport.reader(topic, 0, None, live=False)
        positions = [(reader.position(), 0)]
        seen = 0
        while seen < len(values):
            seen += len(reader.read(7).values)
            positions.append((reader.position(), seen))
        reader.close()
        # On Kafka each takes seconds, since a reader is told of the end late, and gets as few at a time as it likes.
        for position, taken in [*positions[:: max(1, len(positions) // 8)], positions[-1]]:
            resumed = place.transport.reader(topic, 0, position, live=False)
            found = batches(resumed)
            assert [value for batch in found for value in batch.values] == values[taken:]
            assert [offset for batch in found for offset in batch.offsets] == list(range(taken, len(values)))
            resumed.close()

    def test_a_tailing_reader_sees_what_is_added_later(self, place: Place) -> None:
        topic = place.topic()
        place.put(topic, [b"1", b"2"])
        reader = place.transport.reader(topic, 0, None, live=True)
        assert drain(reader) == [b"1", b"2"]
        assert reader.lag() == 0
        assert list(reader.read(100).values) == []
        assert reader.at_end
        place.put(topic, [b"3"])
        deadline = time.monotonic() + DEADLINE_SECONDS
        found: list[bytes] = []
        while not found and time.monotonic() < deadline:
            found = list(reader.read(100).values)
        assert found == [b"3"]
        assert drain(reader) == []
        reader.close()

    def test_an_empty_partition_is_at_its_end_and_can_be_resumed(self, place: Place) -> None:
        topic = place.topic()
        reader = place.transport.reader(topic, 0, None, live=True)
        assert drain(reader) == []
        assert reader.lag() == 0
        position = reader.position()
        reader.close()
        place.put(topic, [b"1"])
        resumed = place.transport.reader(topic, 0, position, live=True)
        assert drain(resumed) == [b"1"]
        resumed.close()

    def test_lag_falls_to_zero(self, place: Place) -> None:
        topic = place.topic()
        place.put(topic, [b"x" * 10] * 100)
        reader = place.transport.reader(topic, 0, None, live=True)
        at_start = reader.lag()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not len(reader.read(50).values) and time.monotonic() < deadline:
            pass
        assert 0 < reader.lag() < at_start
        drain(reader)
        assert reader.lag() == 0
        reader.close()

    def test_values_are_bytes_unchanged(self, place: Place) -> None:
        topic = place.topic()
        values = [b"", b" ", b"a\r", b"\r", b"\xff\xfe", b"{}" * 100_000]
        values += [bytes([byte]) * 3 for byte in range(256) if byte != ord("\n")]
        place.put(topic, values)
        reader = place.transport.reader(topic, 0, None, live=False)
        assert drain(reader) == values
        reader.close()

    def test_what_a_writer_flushed_can_be_read(self, place: Place) -> None:
        topic, transport = place.topic(), place.transport
        records = [OutRecord(f"acct-{n}", b'{"n":%d}' % n, (("kind", b"\xff"),)) for n in range(200)]
        writer = transport.writer(topic, None)
        writer.write(records[:150])
        writer.write(records[150:])
        writer.flush()
        found = read_topic(transport, topic)
        assert sorted(value for batch in found for value in batch.values) == sorted(
            record.value for record in records if record.value is not None
        )
        if place.has_keys:
            keys = [key for batch in found for key in batch.keys or ()]
            assert sorted(str(key, "utf-8") for key in keys if key) == sorted(str(record.key) for record in records)
            assert all(header == [("kind", b"\xff")] for batch in found for header in batch.headers or ())
        writer.close()

    def test_a_tombstone_says_which_account_is_gone(self, place: Place) -> None:
        topic, transport = place.topic(), place.transport
        writer = transport.writer(topic, None)
        writer.write([OutRecord("acct-1", None)])
        writer.flush()
        writer.close()
        (batch,) = read_topic(transport, topic)
        if place.has_keys:
            assert (list(batch.values), batch.keys) == ([b""], [b"acct-1"])
            assert batch.headers == [[("c360.tombstone", b"true")]]
        else:
            assert list(batch.values) == [b'{"account_id": "acct-1", "tombstone": true}']

    def test_a_resumed_writer_repeats_nothing_that_it_can_take_back(self, place: Place) -> None:
        topic, transport = place.topic(), place.transport
        writer = transport.writer(topic, None)
        writer.write([OutRecord("a", b"1")])
        writer.flush()
        position = writer.position()
        writer.write([OutRecord("a", b"2")])
        writer.flush()
        writer.close()
        resumed = transport.writer(topic, position)
        resumed.write([OutRecord("a", b"2"), OutRecord("a", b"3")])
        resumed.flush()
        resumed.close()
        found = [value for batch in read_topic(transport, topic) for value in batch.values]
        assert found == ([b"1", b"2", b"2", b"3"] if place.has_keys else [b"1", b"2", b"3"])

    def test_it_is_heard_once_when_a_record_is_safe(self, place: Place) -> None:
        writer, heard = place.transport.writer(place.topic(), None), list[OutRecord]()
        records = [OutRecord("a", b"%d" % n) for n in range(3)]
        writer.write(records[:2], heard.append)
        writer.write(records[2:])
        writer.flush()
        assert heard == records[:2]
        writer.flush()
        assert heard == records[:2]
        writer.close()

    def test_flushing_nothing_is_done_at_once(self, place: Place) -> None:
        writer = place.transport.writer(place.topic(), None)
        writer.flush()
        writer.write([])
        writer.flush()
        writer.close()

    def test_a_topic_that_is_not_there_has_no_partitions(self, place: Place) -> None:
        place.put(place.topic(), [b"1"])
        assert place.transport.partitions("never-made") == []

    def test_a_partition_that_is_not_there_cannot_be_read(self, place: Place) -> None:
        topic = place.topic()
        with pytest.raises(TransportError, match=topic):
            place.transport.reader(topic, 99, None, live=True)

    def test_a_position_past_the_end_is_refused(self, place: Place) -> None:
        topic = place.topic()
        place.put(topic, [b"1"])
        with pytest.raises(TransportError, match=topic):
            place.transport.reader(topic, 0, (1000, 1000) if not place.has_keys else (1000,), live=True)


def read_all(transport: Transport, topic: str, partition: int) -> list[RawBatch]:
    """Every batch of a partition."""
    (found,) = read_side_by_side(transport, [(topic, partition)])
    return found


def read_topic(transport: Transport, topic: str) -> list[RawBatch]:
    """Every batch of a topic, partition by partition."""
    places = [(topic, number) for number in transport.partitions(topic)]
    return [batch for found in read_side_by_side(transport, places) for batch in found]


def read_side_by_side(transport: Transport, places: Sequence[tuple[str, int]]) -> list[list[RawBatch]]:
    """Every batch of each of some partitions: a broker tells of an end late, and so of all ends at once."""
    readers = [transport.reader(topic, partition, None, live=False) for topic, partition in places]
    found: list[list[RawBatch]] = [[] for _ in places]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while unread := [number for number, reader in enumerate(readers) if not reader.at_end]:
        assert time.monotonic() < deadline, "the readers never came to the end"
        for number in unread:
            found[number].append(readers[number].read(100))
    for reader in readers:
        reader.close()
    return [[batch for batch in of_one if batch.values] for of_one in found]


class LogDirPlace:
    """A log directory, written past the transport."""

    has_keys = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.transport = LogDirTransport(root)

    def topic(self) -> str:
        name = f"t-{uuid4().hex}"
        (self.root / name).mkdir()
        (self.root / name / "0.jsonl").touch()
        return name

    def put(self, topic: str, values: Sequence[bytes]) -> None:
        with (self.root / topic / "0.jsonl").open("ab") as file:
            file.writelines(value + b"\n" for value in values)


class KafkaPlace:
    """A broker, written by a plain producer."""

    has_keys = True

    def __init__(self, brokers: str, create_topic: Callable[[str], object]) -> None:
        self.transport = KafkaTransport(Settings(kafka_brokers=brokers))
        self.create_topic = create_topic
        # Idempotent: else what follows overtakes a record that the leader of a topic just made refuses at first.
        options = {"linger.ms": 0, "enable.idempotence": True, "log_level": 2}
        self.producer = Producer({"bootstrap.servers": brokers, **options})

    def topic(self) -> str:
        name = f"t-{uuid4().hex}"
        self.create_topic(name)
        return name

    def put(self, topic: str, values: Sequence[bytes]) -> None:
        for value in values:
            self.producer.produce(topic, value, partition=0)
        assert self.producer.flush(DEADLINE_SECONDS) == 0


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as cluster:
        yield cluster


class TestLogDir(TransportContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return LogDirPlace(tmp_path)


class TestKafkaMockCluster(TransportContract):
    @pytest.fixture
    def place(self, cluster: MockCluster) -> Place:
        return KafkaPlace(cluster.brokers, cluster.create_topic)
