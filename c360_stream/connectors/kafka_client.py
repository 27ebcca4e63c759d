"""librdkafka's clients: how they are configured, and what they say about an outage."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from c360_stream.connectors.ports import VALUE_BYTES_MAX
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.settings import Settings

MESSAGE_BYTES_MAX = 2 * VALUE_BYTES_MAX
"""Room for a dead letter: any value that a reader returns, and its headers."""
MEND = "check C360_KAFKA_BROKERS, the credentials and the broker: c360 doctor"
OUTAGE = frozenset(
    {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE}
    | {KafkaError._MSG_TIMED_OUT, KafkaError._AUTHENTICATION}
)
CONSUMER: dict[str, Any] = {
    "group.id": "c360-stream",  # librdkafka wants one; it is never joined
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 100,  # how long it takes to learn of the end of a partition
    "queued.max.messages.kbytes": 4096,
    "fetch.queue.backoff.ms": 10,  # the default of 1 s starves so small a queue
}
PRODUCER: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "partitioner": "murmur2_random",  # as the Java clients do, so that topics are partitioned alike
    "linger.ms": 20,
    "message.max.bytes": MESSAGE_BYTES_MAX,
    "queue.buffering.max.kbytes": 65_536,
}

Client = TypeVar("Client")
_log = logging.getLogger(__name__)


class Connection:
    """What a client last said about its brokers, to tell an outage from the end."""

    def __init__(self, brokers: str) -> None:
        self.name = f"Kafka at {brokers}"
        self.outage = False
        """Whether an error came since the broker last answered."""
        self._told = False
        self._last: KafkaError | None = None
        self._fatal: KafkaError | None = None

    def heed(self, error: KafkaError) -> None:
        """Take an `error_cb` call."""
        if error.fatal():
            self._fatal = error
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # which hides why
            self._last = error
        self.outage = True

    def missed(self) -> None:
        """Take a sign that the outage is real; say so once."""
        if not self._told:
            _log.warning("%s: waiting for it: %s", self.name, self._last.str() if self._last else "no answer")
        self._told = True

    def restored(self) -> None:
        """Take a sign that the broker answers."""
        if self._told:
            _log.warning("%s: answers again", self.name)
        self.outage = self._told = False

    def raise_fatal(self) -> None:
        """Raise what the client cannot recover from."""
        if self._fatal is not None:
            raise TransportError(f"{self.name}: {self._fatal.str()}", MEND)

    def error(self, what: str, error: KafkaError) -> TransportError:
        """Name the brokers and the best reason that is known."""
        why = f"; last: {self._last.str()}" if self._last is not None and error.code() in OUTAGE else ""
        return TransportError(f"{self.name}: {what}: {error.str()}{why}", MEND)


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
    }
    config: dict[str, Any] = {name: value for name, value in secured.items() if value}
    config |= {"bootstrap.servers": settings.kafka_brokers, "client.id": "c360-stream", "log_level": 2}
    try:
        return kind(config | (options or {}) | {"error_cb": connection.heed})
    except KafkaException as error:
        raise ConfigurationError(f"{connection.name}: {error.args[0].str()}", "mend C360_KAFKA_*") from error


def list_topics(admin: AdminClient, connection: Connection, timeout_seconds: float) -> dict[str, list[int]]:
    """Every topic's partition numbers, ascending.

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
    return {name: sorted(topic.partitions) for name, topic in topics.items() if topic.partitions}
