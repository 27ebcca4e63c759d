"""Kafka: readers that we place and resume ourselves, and writers that know what was delivered."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]

from c360_stream.connectors.kafka_client import (
    CONSUMER,
    MEND,
    MESSAGE_BYTES_MAX,
    OUTAGE,
    PRODUCER,
    Connection,
    list_topics,
    make_client,
)
from c360_stream.connectors.ports import TOMBSTONE, TRUNCATED, VALUE_BYTES_MAX, Headers, OutRecord, RawBatch
from c360_stream.errors import TransportError
from c360_stream.settings import INPUT_KINDS, Settings

START_SECONDS_MAX = 10.0
"""How long a broker may take to answer when something is opened; later outages are waited out."""
DELIVERY_SECONDS_MAX = 120.0
"""The longest outage that a writer rides out."""
BATCH_BYTES_MAX = 16 * 1024 * 1024
_CHUNK_RECORDS = 64  # librdkafka ends a call at a count of records or at a pause, never at a number of bytes
_POLL_SECONDS = 0.005
_PROBE_SECONDS = 0.05
_PROBE_EVERY_SECONDS = 1.0
_SETUP = "create it: c360 setup"
_START_OVER = "to go on without them, start with an empty recovery directory"


class KafkaTransport:
    """A Kafka cluster.

    Parameters
    ----------
    settings
        Brokers and credentials.
    start_seconds_max
        How long a broker may take to answer when something is opened.
    delivery_seconds_max
        How long a writer tries to deliver a record.

    Raises
    ------
    ConfigurationError
        If librdkafka refuses the settings.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        start_seconds_max: float = START_SECONDS_MAX,
        delivery_seconds_max: float = DELIVERY_SECONDS_MAX,
    ) -> None:
        self._settings = settings
        self._start_seconds_max = start_seconds_max
        self._delivery_seconds_max = delivery_seconds_max
        self._connection = Connection(settings.kafka_brokers)
        self._admin = make_client(AdminClient, settings, self._connection)

    def partitions(self, topic: str) -> list[int]:
        """The topic's partition numbers, ascending; empty if there is no such topic."""
        return list_topics(self._admin, self._connection, self._start_seconds_max).get(topic, [])

    def reader(self, topic: str, partition: int, resume: tuple[int, ...] | None, *, live: bool) -> KafkaReader:
        """Open a partition. Its position is (next offset,); a live reader is like any other."""
        if partition not in self.partitions(topic):
            raise TransportError(f"{self._connection.name} has no {topic}[{partition}]", _SETUP)
        connection = Connection(self._settings.kafka_brokers)
        consumer = make_client(Consumer, self._settings, connection, CONSUMER)
        return KafkaReader(consumer, connection, Partition(topic, partition), resume, self._start_seconds_max)

    def writer(self, topic: str, resume: tuple[int, ...] | None) -> KafkaWriter:
        """Open a topic for appending; nothing can be taken back, so the position is empty."""
        if not self.partitions(topic):
            raise TransportError(f"{self._connection.name} has no topic {topic}", _SETUP)
        connection = Connection(self._settings.kafka_brokers)
        timeout = {"delivery.timeout.ms": int(self._delivery_seconds_max * 1000)}
        producer = make_client(Producer, self._settings, connection, PRODUCER | timeout)
        return KafkaWriter(producer, connection, topic, self._delivery_seconds_max)

    def close(self) -> None:
        """Nothing is held: librdkafka's clients end with their objects."""


class KafkaReader:
    """Reads one partition with a consumer of its own, which joins no group and commits nothing."""

    def __init__(
        self,
        consumer: Consumer,
        connection: Connection,
        partition: Partition,
        resume: tuple[int, ...] | None,
        start_seconds_max: float,
    ) -> None:
        self.topic = partition.topic
        self.partition = partition.partition
        self._partition = partition
        self._consumer = consumer
        self._connection = connection
        start, end = self._first_watermarks(start_seconds_max)
        self._next = resume[0] if resume else start
        self._end = -1  # where the broker last said that there was no more
        self._high = end
        self._probe_at = 0.0
        if not start <= self._next <= end:
            raise self._out_of_range(start, end)
        consumer.assign([Partition(self.topic, self.partition, self._next if resume else OFFSET_BEGINNING)])

    def read(self, records_max: int) -> RawBatch:
        """Up to `records_max` records, and no more than a bound of bytes; none during an outage."""
        taken: list[Message] = []
        taken_bytes = 0
        timeout = _POLL_SECONDS
        while len(taken) < records_max and taken_bytes < BATCH_BYTES_MAX:
            asked = min(_CHUNK_RECORDS, records_max - len(taken))
            messages = self._consumer.consume(asked, timeout)
            for message in messages:
                error = message.error()
                if error is not None:
                    self._heed(error, cast(int, message.offset()))
                    continue
                taken.append(message)
                taken_bytes += len(message)
            if len(messages) < asked:
                break
            timeout = 0
        if taken:
            self._next = max(self._next, cast(int, taken[-1].offset()) + 1)
        self._connection.raise_fatal()
        if self._connection.outage:
            self._probe()
        return _batch(taken)

    @property
    def at_end(self) -> bool:
        """Whether the last `read` reached the end, and the broker is there to say so."""
        return self._next == self._end and not self._connection.outage

    def position(self) -> tuple[int, ...]:
        """(next offset,)."""
        return (self._next,)

    def lag(self) -> int:
        """Offsets between the position and the end of the partition, as far as it is known."""
        cached = self._consumer.get_watermark_offsets(self._partition, cached=True)
        return max(0, max(cached[1] if cached else 0, self._high) - self._next)

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _heed(self, error: KafkaError, offset: int) -> None:
        """Act on what the consumer says between records."""
        if error.code() == KafkaError._PARTITION_EOF:
            # Ahead of the last record, where the log ends in transaction markers or compacted records.
            self._next = self._end = self._high = offset
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise self._out_of_range(*self._watermarks(START_SECONDS_MAX))
        elif error.code() not in OUTAGE:
            raise self._unreadable(error)

    def _probe(self) -> None:
        """See whether an outage is over: a quiet partition would not tell."""
        if time.monotonic() < self._probe_at:
            return
        try:
            _, self._high = self._watermarks(_PROBE_SECONDS)
            self._connection.restored()
            if self._high > self._next:
                self._end = -1
        except TransportError:
            self._connection.missed()
            self._probe_at = time.monotonic() + _PROBE_EVERY_SECONDS

    def _first_watermarks(self, seconds_max: float) -> tuple[int, int]:
        """Ask until a leader answers: a partition has none for a moment after its topic is made."""
        deadline = time.monotonic() + seconds_max
        while True:
            try:
                return self._watermarks(max(_PROBE_SECONDS, deadline - time.monotonic()))
            except TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PROBE_SECONDS)

    def _watermarks(self, timeout_seconds: float) -> tuple[int, int]:
        try:
            return self._consumer.get_watermark_offsets(self._partition, timeout=timeout_seconds)
        except KafkaException as error:
            raise self._unreadable(error.args[0]) from error

    def _unreadable(self, error: KafkaError) -> TransportError:
        return self._connection.error(f"cannot read {self.topic}[{self.partition}]", error)

    def _out_of_range(self, start: int, end: int) -> TransportError:
        where = f"{self.topic}[{self.partition}] on {self._connection.name}"
        if self._next > end:
            return TransportError(
                f"{where} ends at offset {end}, but was read up to {self._next}: it was made anew",
                "start with an empty recovery directory",
            )
        return TransportError(
            f"{where} starts at offset {start} now: {self._next}..{start - 1} were deleted before they were read",
            f"raise the topic's retention; {_START_OVER}",
        )


class KafkaWriter:
    """Appends records with an idempotent producer. The first failed delivery is final: it is raised ever after."""

    def __init__(self, producer: Producer, connection: Connection, topic: str, delivery_seconds_max: float) -> None:
        self.topic = topic
        self._producer = producer
        self._connection = connection
        self._delivery_seconds_max = delivery_seconds_max
        self._failure: TransportError | None = None

    def write(self, records: Sequence[OutRecord]) -> None:
        """Queue records; waits while the queue is full.

        Raises
        ------
        TransportError
            If this or an earlier record could not be delivered.
        """
        for record in records:
            self._produce(record)
        self._producer.poll(0)
        self._raise_failure()

    def flush(self) -> None:
        """Return once every record is acknowledged by all replicas in sync."""
        deadline = time.monotonic() + self._delivery_seconds_max + START_SECONDS_MAX
        while (left := self._producer.flush(0.5)) > 0:  # short, so that signals are heard meanwhile
            self._raise_failure()
            if time.monotonic() > deadline:
                raise TransportError(f"{left} records for {self.topic} wait for {self._connection.name}", MEND)
        self._raise_failure()

    def position(self) -> tuple[int, ...]:
        """Nothing: Kafka keeps what it acknowledged."""
        return ()

    def close(self) -> None:
        """Close the producer. What was not flushed is dropped."""
        self._producer.purge()
        self._producer.close()

    def _produce(self, record: OutRecord) -> None:
        headers = cast("list[tuple[str, str | bytes | None]]", list(record.headers))
        while True:
            self._raise_failure()
            try:
                self._producer.produce(
                    self.topic, record.value, record.key, on_delivery=self._delivered, headers=headers
                )
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise self._undelivered(error.args[0]) from error

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._connection.restored()
        elif self._failure is None:
            self._failure = self._undelivered(error)

    def _undelivered(self, error: KafkaError) -> TransportError:
        return self._connection.error(f"cannot write {self.topic}", error)

    def _raise_failure(self) -> None:
        self._connection.raise_fatal()
        if self._failure is not None:
            raise self._failure


def setup_topics(settings: Settings, *, partitions: int = 4, replication: int = -1) -> list[str]:
    """Create the topics that are missing; safe to repeat.

    Parameters
    ----------
    settings
        Brokers, credentials and the prefix of the topics.
    partitions
        Of each topic that is created.
    replication
        Replicas of each partition; -1 takes the cluster's default.

    Returns
    -------
    A line a topic: what was done, or in what an existing topic differs.

    Raises
    ------
    TransportError
        If the cluster cannot be reached or refuses.
    """
    connection = Connection(settings.kafka_brokers)
    admin = make_client(AdminClient, settings, connection)
    wanted = _wanted_topics(settings)
    known = list_topics(admin, connection, START_SECONDS_MAX)
    missing = [NewTopic(name, partitions, replication, config=wanted[name]) for name in wanted if name not in known]
    made: set[str] = set()
    for name, created in (admin.create_topics(missing) if missing else {}).items():
        try:
            created.result()
            made.add(name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise connection.error(f"cannot create {name}", error.args[0]) from error
    deadline = time.monotonic() + START_SECONDS_MAX
    while not wanted.keys() <= (known := known | list_topics(admin, connection, START_SECONDS_MAX)).keys():
        if time.monotonic() > deadline:
            raise TransportError(f"{connection.name} created topics but does not list them", "repeat c360 setup")
        time.sleep(0.1)
    return [
        f"{name}: {'created' if name in made else 'exists'}, {len(known[name])} partitions"
        + (f" ({partitions} asked for)" if len(known[name]) != partitions else "")
        + _differences(admin, connection, name, config)
        for name, config in wanted.items()
    ]


def _wanted_topics(settings: Settings) -> dict[str, dict[str, str]]:
    return {
        **{settings.input_topic(kind): {} for kind in INPUT_KINDS},
        settings.risk_topic: {"cleanup.policy": "compact"},
        settings.alarm_topic: {},
        settings.dead_letter_topic: {"max.message.bytes": str(MESSAGE_BYTES_MAX)},
    }


def _differences(admin: AdminClient, connection: Connection, topic: str, wanted: dict[str, str]) -> str:
    """What differs in the configuration of an existing topic, for a person to mend."""
    if not wanted:
        return ""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        described = admin.describe_configs([resource])[resource].result()
    except KafkaException as error:
        raise connection.error(f"cannot describe {topic}", error.args[0]) from error
    found = {name: described[name].value for name in wanted}
    return "".join(
        f"; {name} is {found[name]}, should be {wanted[name]}" for name in wanted if found[name] != wanted[name]
    )


def _batch(messages: list[Message]) -> RawBatch:
    values: list[bytes] = []
    headers: list[Headers | None] = []
    for message in messages:
        value = message.value()
        found = cast("Headers | None", message.headers())
        if value is None:
            value, found = b"", [*(found or ()), TOMBSTONE]
        elif len(value) > VALUE_BYTES_MAX:
            value, found = value[:VALUE_BYTES_MAX], [*(found or ()), TRUNCATED]
        values.append(value)
        headers.append(found)
    return RawBatch(
        values,
        [cast(int, message.offset()) for message in messages],
        [message.key() for message in messages],
        headers if any(headers) else None,
    )
