"""librdkafka's clients: how they are configured, and what they say about an outage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar, cast

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
    TopicMetadata,
)

from c360_stream.connectors.outages import outage_of
from c360_stream.connectors.ports import VALUE_BYTES_MAX, Heard, OutRecord, TopicRecord, Waiting
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.settings import Settings

MESSAGE_BYTES_MAX = 2 * VALUE_BYTES_MAX
"""Room for a dead letter: any value that a reader returns, and its headers."""
START_SECONDS_MAX = 10.0
"""How long a broker may take to answer when something is opened; later outages are waited out."""
WAIT_SECONDS = 0.5
"""The longest call into a client, so that signals are heard and heartbeats go on."""
REFUSED_SECONDS = 5.0
"""A refusal of the credentials that is repeated for so long is no passing trouble of a broker's start."""
FORGOTTEN_SECONDS = 30.0
ANY_PARTITION = -1
"""The one that the record's key belongs to."""
_FULL_QUEUE_SECONDS = 0.1
_SAY_EVERY_SECONDS = 0.2
_PAUSE_SECONDS = 0.1
MEND = "check C360_KAFKA_BROKERS, the credentials and the broker: c360 doctor"
OUTAGE = frozenset(
    {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE}
    | {KafkaError._MSG_TIMED_OUT, KafkaError._AUTHENTICATION}
)
REFUSED = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED})
"""The broker, or we, do not accept who the other is."""
CONSUMER: dict[str, Any] = {
    "group.id": "c360-stream",  # librdkafka wants one; it is never joined
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "topic.metadata.propagation.max.ms": 5_000,  # how long it takes to learn that a topic is gone
    "fetch.wait.max.ms": 100,  # how long it takes to learn of the end of a partition; `TAILING` has another
    "queued.max.messages.kbytes": 4096,  # see `queue_options`
    "fetch.queue.backoff.ms": 10,  # the default of 1 s starves so small a queue
}
TAILING: dict[str, Any] = {
    "fetch.wait.max.ms": 500,  # records come at once all the same; to ask ten times a second took 0.05% of a core
}
QUEUES_BYTES_MAX = 128 * 1024 * 1024
"""Of the consumers of all input partitions together, before what a fetch brings beyond it."""
_QUEUE_BYTES_MIN = 256 * 1024
_QUEUE_BYTES_MAX = 4 * 1024 * 1024
_FETCH_BYTES_MAX = 1024 * 1024
PRODUCER: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "partitioner": "murmur2_random",  # as the Java clients do, so that topics are partitioned alike
    "linger.ms": 5,  # scores between ticks wait for it; the 20 ms of before were two fifths of their latency
    "message.max.bytes": MESSAGE_BYTES_MAX,
    "queue.buffering.max.kbytes": 65_536,
}

Client = TypeVar("Client")
DeliveryCallback = Callable[[KafkaError | None, Message], None]
_silent = logging.getLogger(f"{__name__}.librdkafka")
_silent.disabled = True  # it repeats, past `log_level`, what reaches us as errors


def queue_options(partitions: int) -> dict[str, Any]:
    """What a consumer may have in its queue, one of so many: their number costs memory only beyond a few hundred.

    A record that is larger than a fetch still comes, alone.

    >>> [queue_options(partitions)["queued.max.messages.kbytes"] for partitions in (12, 32, 128, 1_000)]
    [4096, 4096, 1024, 256]
    """
    size = min(_QUEUE_BYTES_MAX, max(_QUEUE_BYTES_MIN, QUEUES_BYTES_MAX // max(1, partitions)))
    return {
        "queued.max.messages.kbytes": size // 1024,
        "fetch.message.max.bytes": min(_FETCH_BYTES_MAX, size),
    }


class Connection:
    """What a client last said about its brokers, to tell an outage from the end."""

    def __init__(self, brokers: str) -> None:
        self.name = f"Kafka at {brokers}"
        self.outage = False
        """Whether an error came since the broker last answered."""
        self._told = False
        self._outage = outage_of(self.name)
        self._last: KafkaError | None = None
        self._fatal: KafkaError | None = None
        self._refused: tuple[float, float] | None = None  # first and last time, of a run of them

    def heed(self, error: KafkaError) -> None:
        """Take an `error_cb` call."""
        if error.fatal():
            self._fatal = error
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # which hides why
            self._last = error
        if error.code() in REFUSED:
            now = time.monotonic()
            fresh = self._refused is None or now - self._refused[1] > FORGOTTEN_SECONDS
            self._refused = (now if fresh or self._refused is None else self._refused[0], now)
        self.outage = True

    def missed(self) -> None:
        """Take a sign that the outage is real, and say so."""
        self._outage.seen(self, self.last or "no answer")
        self._told = True

    def restored(self) -> None:
        """Take a sign that the broker answers."""
        if self._told:
            self._outage.over(self)
        self.outage = self._told = False
        self._refused = None

    @property
    def fatal(self) -> KafkaError | None:
        """What the client cannot recover from, if that has come."""
        return self._fatal

    @property
    def last_error(self) -> KafkaError | None:
        """The last thing that was heard."""
        return self._last

    @property
    def last(self) -> str:
        """The last thing that was heard, in words; empty if nothing was."""
        return self._last.str() if self._last is not None else ""

    def raise_fatal(self) -> None:
        """Raise what the client cannot recover from."""
        if self._fatal is not None:
            raise TransportError(f"{self.name}: {self._fatal.str()}", MEND)

    def raise_refused(self) -> None:
        """Raise a refusal of the credentials that is no passing trouble: waiting would not mend it."""
        if self._refused is None or self._last is None:
            return
        first, last = self._refused
        if last - first > REFUSED_SECONDS and time.monotonic() - last < FORGOTTEN_SECONDS:
            raise TransportError(f"{self.name} refuses the connection: {self._last.str()}", MEND)

    def undelivered(self, topic: str, error: KafkaError, size_bytes: int) -> TransportError:
        """Name the topic to which a record could not be written, the reason, and what to mend."""
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            if size_bytes > MESSAGE_BYTES_MAX:
                mend = f"a record may have {MESSAGE_BYTES_MAX} bytes: read the topic's input with smaller records"
            else:
                mend = f"raise max.message.bytes of topic {topic} (c360 setup makes it {MESSAGE_BYTES_MAX})"
            what = f"cannot write {topic}: a record of {size_bytes} bytes is too large"
            return TransportError(f"{self.name}: {what}: {error.str()}", mend)
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            mend = f"let this user write to topic {topic}, by an ACL of the broker"
            return TransportError(f"{self.name}: cannot write {topic}: {error.str()}", mend)
        return self.error(f"cannot write {topic}", error)

    def error(self, what: str, error: KafkaError) -> TransportError:
        """Name the brokers and the best reason that is known."""
        why = f"; last: {self._last.str()}" if self._last is not None and error.code() in OUTAGE else ""
        return TransportError(f"{self.name}: {what}: {error.str()}{why}", MEND)


class Patience:
    """Waiting for a broker, within a bound on the time without progress.

    Parameters
    ----------
    connection
        What the client in question heard.
    what
        What is waited for, in words.
    seconds_max
        The longest outage to ride out.
    waiting
        Called at every wait.
    """

    def __init__(self, connection: Connection, what: str, seconds_max: float, waiting: Waiting) -> None:
        self._connection = connection
        self._what = what
        self._seconds_max = seconds_max
        self._waiting = waiting
        self._most = 0
        self._until = time.monotonic() + seconds_max
        self._said_at = 0.0

    def progress(self, count: int) -> None:
        """Take how much is done. More than ever before is progress; the same again after a failure is not."""
        if count > self._most:
            self._most = count
            self._until = time.monotonic() + self._seconds_max

    def wait(self, error: KafkaError | None = None) -> None:
        """Say that there is a wait, on account of `error`.

        Raises
        ------
        TransportError
            If there was no progress for too long, or there can be none.
        """
        self._connection.raise_refused()
        if error is not None:
            time.sleep(_PAUSE_SECONDS)  # what failed may fail at once again
        now = time.monotonic()
        if now < min(self._until, self._said_at + _SAY_EVERY_SECONDS):
            return
        self._said_at = now
        why = error.str() if error is not None else ""
        if (error is None or error.code() in OUTAGE) and self._connection.last:
            why = self._connection.last
        if self._connection.outage:
            self._connection.missed()
        if now >= self._until:
            waited = f"{self._what}: no progress for {self._seconds_max:g} s"
            raise TransportError(f"{self._connection.name}: {waited}{why and f'; last: {why}'}", MEND)
        self._waiting(f"{self._connection.name}: {self._what}{why and f': {why}'}")


class Sender:
    """Hands records to a producer and hears what became of them. The first failed delivery is raised ever after."""

    def __init__(self, producer: Producer, connection: Connection) -> None:
        self._producer: Producer | None = producer
        self._connection = connection
        self._delivered = 0
        self.failed: KafkaError | None = None
        """Why the first record that could not be delivered could not."""
        self.failure: TransportError | None = None
        """The same in words."""

    @property
    def producer(self) -> Producer:
        """The producer."""
        if self._producer is None:
            raise TransportError(f"{self._connection.name}: this writer is closed")
        return self._producer

    def send(
        self,
        records: Sequence[TopicRecord],
        patience: Patience,
        partition: int = ANY_PARTITION,
        heard: Heard | None = None,
    ) -> None:
        """Queue records; waits while the queue is full.

        Raises
        ------
        TransportError
            If one of these or an earlier record could not be delivered.
        """
        for topic, record in records:
            delivered = self._heed if heard is None else partial(self._tell, heard, record)
            self._produce(topic, record, partition, patience, delivered)
        self._serve(self.producer.poll, 0)
        self.raise_failure()

    def flush(self, patience: Patience) -> None:
        """Return once every record is acknowledged by all replicas in sync."""
        while self._serve(self.producer.flush, WAIT_SECONDS) > 0:
            self.raise_failure()
            patience.progress(self._delivered)
            patience.wait()
        self.raise_failure()

    def begin(self) -> None:
        """Forget what failed, and count deliveries from 0: a transaction begins."""
        self._delivered, self.failed, self.failure = 0, None, None

    def close(self) -> None:
        """Drop the producer and what was not flushed; nothing can be sent any more."""
        if self._producer is not None:
            self._producer.purge()
            self._serve(self._producer.poll, 0)  # which lets go of the callbacks
        # Its own `close` would wait for the broker, for as long as it takes, to abort an open transaction.
        self._producer = None

    def raise_failure(self) -> None:
        """Raise the first failed delivery, or that there can be none any more."""
        if self.failure is not None:
            raise self.failure
        self._connection.raise_fatal()

    def _produce(
        self, topic: str, record: OutRecord, partition: int, patience: Patience, delivered: DeliveryCallback
    ) -> None:
        headers = cast("list[tuple[str, str | bytes | None]]", list(record.headers))
        while True:
            self.raise_failure()
            try:
                self.producer.produce(
                    topic, record.value, record.key, partition, on_delivery=delivered, headers=headers
                )
                return
            except BufferError:
                self._serve(self.producer.poll, _FULL_QUEUE_SECONDS)
                patience.progress(self._delivered)
                patience.wait()
            except KafkaException as error:
                self._fail(topic, error.args[0], len(record.value or b""))

    def _serve(self, serve: Callable[[float], int], seconds: float) -> int:
        """Hear what became of records.

        A fatal error comes as an exception. If callbacks run after it, all that is left of it is a `SystemError`.
        """
        try:
            return serve(seconds)
        except KafkaException as error:
            self._connection.heed(error.args[0])
        except SystemError as error:
            cause = error.__cause__
            self._connection.heed(
                cause.args[0] if isinstance(cause, KafkaException) else KafkaError(KafkaError._FATAL, fatal=True)
            )
        return 0

    def _heed(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered += 1
            self._connection.restored()
        elif self.failure is None:
            self._fail(message.topic() or "?", error, len(message))

    def _tell(self, heard: Heard, record: OutRecord, error: KafkaError | None, message: Message) -> None:
        self._heed(error, message)
        if error is None:
            heard(record)

    def _fail(self, topic: str, error: KafkaError, size_bytes: int) -> None:
        self.failed = error
        self.failure = self._connection.undelivered(topic, error, size_bytes)


def make_client(
    kind: Callable[[dict[str, Any]], Client],
    settings: Settings,
    connection: Connection,
    options: dict[str, Any] | None = None,
) -> Client:
    """Make a client; what it reports goes to `connection`, and not to standard error.

    Raises
    ------
    ConfigurationError
        If librdkafka refuses the settings.
    """
    secured = {
        "security.protocol": settings.kafka_security_protocol,
        "sasl.mechanism": settings.kafka_sasl_mechanism,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": settings.kafka_sasl_password.get_secret_value(),
        "ssl.ca.location": settings.kafka_ssl_ca_location,
        "ssl.certificate.location": settings.kafka_ssl_certificate_location,
        "ssl.key.location": settings.kafka_ssl_key_location,
        "ssl.key.password": settings.kafka_ssl_key_password.get_secret_value(),
    }
    config: dict[str, Any] = {name: value for name, value in secured.items() if value}
    config |= {"bootstrap.servers": settings.kafka_brokers, "client.id": "c360-stream", "log_level": 2}
    try:
        return kind(config | (options or {}) | {"error_cb": connection.heed})
    except KafkaException as error:
        raise ConfigurationError(f"{connection.name}: {error.args[0].str()}", "mend C360_KAFKA_*") from error


def open_sender(settings: Settings, connection: Connection, options: dict[str, Any] | None = None) -> Sender:
    """Open a producer that rides out `outage_seconds_max`; a transactional one by its `options`."""
    timeout = {"delivery.timeout.ms": settings.outage_seconds_max * 1000} if options is None else options
    return Sender(make_client(Producer, settings, connection, PRODUCER | timeout | {"logger": _silent}), connection)


class OffsetsClient:
    """Asks where partitions start and end, without waiting for the answer.

    librdkafka's admin client keeps the leaders' epochs that it knew first: after a leader has changed, every such
    request is refused as outdated, for as long as the client lives (seen with a broker that was restarted). So a
    refusal that is no outage makes the next request with a new client.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: AdminClient | None = None

    def ask(
        self, partition: TopicPartition, which: OffsetSpec, isolation: IsolationLevel, seconds_max: float
    ) -> Future[ListOffsetsResultInfo]:
        """Ask for one offset; the future raises `KafkaException` if there is no answer in time."""
        client = self._client()
        asked = client.list_offsets({partition: which}, isolation_level=isolation, request_timeout=seconds_max)
        (answer,) = asked.values()
        return answer

    def knows(self, partition: TopicPartition, seconds_max: float) -> bool:
        """Whether there is such a partition, with a leader or without; true if nobody answers in time."""
        try:
            known = list_topics(self._client(), Connection(self._settings.kafka_brokers), seconds_max)
        except TransportError:
            return True
        return partition.partition in known.get(partition.topic, [])

    def refused(self, error: KafkaError) -> None:
        """Hear that a request was refused."""
        if error.code() not in OUTAGE and error.code() != KafkaError.OFFSET_NOT_AVAILABLE:
            self._admin = None

    def _client(self) -> AdminClient:
        if self._admin is None:
            self._admin = make_client(AdminClient, self._settings, Connection(self._settings.kafka_brokers))
        return self._admin


def known_offset(answer: ListOffsetsResultInfo, least: int = 0) -> int:
    """The offset of an answer.

    Parameters
    ----------
    least
        The least that means something: -1, where it says that there is no such offset.

    Raises
    ------
    KafkaException
        If it is less: the answer of a broker that recovers, and does not know yet.
    """
    if answer.offset < least:
        raise KafkaException(KafkaError(KafkaError.OFFSET_NOT_AVAILABLE, "the broker does not know it yet"))
    return int(answer.offset)


def list_topics(admin: AdminClient, connection: Connection, timeout_seconds: float) -> dict[str, list[int]]:
    """Every topic's partition numbers, ascending; raises as `fetch_topics`."""
    topics = fetch_topics(admin, connection, timeout_seconds)
    return {name: sorted(topic.partitions) for name, topic in topics.items()}


def fetch_topics(admin: AdminClient, connection: Connection, timeout_seconds: float) -> dict[str, TopicMetadata]:
    """Every topic that has partitions.

    Raises
    ------
    TransportError
        If no broker answers in time.
    """
    # All topics, since asking for one by name may create it.
    try:
        topics = admin.list_topics(timeout=timeout_seconds).topics
    except KafkaException as error:
        admin.poll(0)  # hear why
        raise connection.error("no answer", error.args[0]) from error
    return {name: topic for name, topic in topics.items() if topic.partitions}
