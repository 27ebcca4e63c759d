"""Clients of librdkafka: their options, and the errors that they report about an outage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from c360_stream.connectors.kafka.error_codes import OUTAGE, REFUSED
from c360_stream.connectors.kafka.options import MESSAGE_BYTES_MAX
from c360_stream.connectors.outages import Outages
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.settings import Settings

START_SECONDS_MAX = 10.0
"""How long a broker may take to answer when something is opened; later outages are waited out."""
REFUSED_SECONDS = 5.0
"""Refusals of the credentials over so long a time are more than a passing effect of a broker's start."""
FORGOTTEN_SECONDS = 30.0
HINT = "check C360_KAFKA_BROKERS, the credentials and the broker: c360 doctor"

Client = TypeVar("Client")


class Connection:
    """The errors that a client reported about its brokers: they distinguish an outage from a final failure.

    Parameters
    ----------
    brokers
        Their addresses.
    outages
        Of all clients that log an outage as one. None: this one's alone.
    """

    def __init__(self, brokers: str, outages: Outages | None = None) -> None:
        self.name = f"Kafka at {brokers}"
        self.outage = False
        """Whether an error came since the broker last answered."""
        self._reported = False
        self._outage = (outages or Outages()).of(self.name)
        self._last: KafkaError | None = None
        self._fatal: KafkaError | None = None
        self._refused: tuple[float, float] | None = None  # first and last time, of a run of them

    def heed(self, error: KafkaError) -> None:
        """Handle an `error_cb` call."""
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
        """Report the outage: there is a sign that it is real."""
        self._outage.seen(self, self.last or "no answer")
        self._reported = True

    def restored(self) -> None:
        """Report the end of the outage: the broker answers."""
        if self._reported:
            self._outage.over(self)
        self.outage = self._reported = False
        self._refused = None

    @property
    def fatal(self) -> KafkaError | None:
        """The error from which the client cannot recover, if there was one."""
        return self._fatal

    @property
    def last_error(self) -> KafkaError | None:
        """The last error that the client reported."""
        return self._last

    @property
    def last(self) -> str:
        """The last reported error in words; empty if there was none."""
        return self._last.str() if self._last is not None else ""

    def raise_fatal(self) -> None:
        """Raise the error from which the client cannot recover."""
        if self._fatal is not None:
            raise TransportError(f"{self.name}: {self._fatal.str()}", HINT)

    def raise_refused(self) -> None:
        """Raise a lasting refusal of the credentials: waiting would not fix it."""
        if self._refused is None or self._last is None:
            return
        first, last = self._refused
        if last - first > REFUSED_SECONDS and time.monotonic() - last < FORGOTTEN_SECONDS:
            raise TransportError(f"{self.name} refuses the connection: {self._last.str()}", HINT)

    def undelivered(self, topic: str, error: KafkaError, size_bytes: int) -> TransportError:
        """The error for a record that could not be written: it names topic, reason and hint."""
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            if size_bytes > MESSAGE_BYTES_MAX:
                hint = f"a record may have {MESSAGE_BYTES_MAX} bytes: read the topic's input with smaller records"
            else:
                hint = f"raise max.message.bytes of topic {topic} (c360 setup makes it {MESSAGE_BYTES_MAX})"
            what = f"cannot write {topic}: a record of {size_bytes} bytes is too large"
            return TransportError(f"{self.name}: {what}: {error.str()}", hint)
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            hint = f"let this user write to topic {topic}, by an ACL of the broker"
            return TransportError(f"{self.name}: cannot write {topic}: {error.str()}", hint)
        return self.error(f"cannot write {topic}", error)

    def error(self, what: str, error: KafkaError) -> TransportError:
        """The error that names the brokers and the best known reason."""
        why = f"; last: {self._last.str()}" if self._last is not None and error.code() in OUTAGE else ""
        return TransportError(f"{self.name}: {what}: {error.str()}{why}", HINT)


def make_client(
    kind: Callable[[dict[str, Any]], Client],
    settings: Settings,
    connection: Connection,
    options: dict[str, Any] | None = None,
) -> Client:
    """Make a client; its error reports go to `connection`, and not to standard error.

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
        raise ConfigurationError(f"{connection.name}: {error.args[0].str()}", "fix C360_KAFKA_*") from error
