"""Producers: queue records and handle their delivery reports."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from c360_stream.connectors.kafka.connection import Connection, make_client
from c360_stream.connectors.kafka.options import PRODUCER
from c360_stream.connectors.kafka.patience import WAIT_SECONDS, KafkaPatience
from c360_stream.connectors.ports import OnDelivered, OutRecord, TopicRecord
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

ANY_PARTITION = -1
"""The one that the record's key belongs to."""
_FULL_QUEUE_SECONDS = 0.1
DeliveryCallback = Callable[[KafkaError | None, Message], None]
_silent = logging.getLogger(f"{__name__}.librdkafka")
_silent.disabled = True  # despite `log_level` it repeats what `error_cb` reports


class Sender:
    """Queues records in a producer and handles delivery reports. Every call after a failed delivery raises it."""

    def __init__(self, producer: Producer, connection: Connection) -> None:
        self._producer: Producer | None = producer
        self._connection = connection
        self._delivered = 0
        self.failed: KafkaError | None = None
        """The error of the first failed delivery."""
        self.failure: TransportError | None = None
        """The same as an exception with a hint."""

    @property
    def producer(self) -> Producer:
        """The producer."""
        if self._producer is None:
            raise TransportError(f"{self._connection.name}: this writer is closed")
        return self._producer

    def send(
        self,
        records: Sequence[TopicRecord],
        patience: KafkaPatience,
        partition: int = ANY_PARTITION,
        on_delivered: OnDelivered | None = None,
    ) -> None:
        """Queue records; waits while the queue is full.

        Raises
        ------
        TransportError
            If one of these or an earlier record could not be delivered.
        """
        for topic, record in records:
            delivered = self._record_delivery if on_delivered is None else partial(self._notify, on_delivered, record)
            self._produce(topic, record, partition, patience, delivered)
        self._serve(self.producer.poll, 0)
        self.raise_failure()

    def flush(self, patience: KafkaPatience) -> None:
        """Return once every record is acknowledged by all replicas in sync."""
        while self._serve(self.producer.flush, WAIT_SECONDS) > 0:
            self.raise_failure()
            patience.progress(self._delivered)
            patience.wait()
        self.raise_failure()
        patience.progress(self._delivered)  # what follows, such as a commit, has all of the time again

    def begin(self) -> None:
        """Forget what failed, and count deliveries from 0: a transaction begins."""
        self._delivered, self.failed, self.failure = 0, None, None

    def close(self) -> None:
        """Drop the producer and what was not flushed; later calls raise."""
        if self._producer is not None:
            self._producer.purge()
            self._serve(self._producer.poll, 0)  # releases the callbacks
        # Its own `close` would wait for the broker, for as long as it takes, to abort an open transaction.
        self._producer = None

    def raise_failure(self) -> None:
        """Raise the first failed delivery, or that there can be none any more."""
        if self.failure is not None:
            raise self.failure
        self._connection.raise_fatal()

    def _produce(
        self, topic: str, record: OutRecord, partition: int, patience: KafkaPatience, delivered: DeliveryCallback
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
        """Run delivery callbacks.

        A fatal error is raised as an exception. If callbacks run after it, only a `SystemError` is left of it.
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

    def _record_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered += 1
            self._connection.restored()
        elif self.failure is None:
            self._fail(message.topic() or "?", error, len(message))

    def _notify(self, on_delivered: OnDelivered, record: OutRecord, error: KafkaError | None, message: Message) -> None:
        self._record_delivery(error, message)
        if error is None:
            on_delivered(record)

    def _fail(self, topic: str, error: KafkaError, size_bytes: int) -> None:
        self.failed = error
        self.failure = self._connection.undelivered(topic, error, size_bytes)


def open_sender(settings: Settings, connection: Connection, options: dict[str, Any] | None = None) -> Sender:
    """Open a producer that rides out `outage_seconds_max`; a transactional one by its `options`."""
    timeout = {"delivery.timeout.ms": settings.outage_seconds_max * 1000} if options is None else options
    return Sender(make_client(Producer, settings, connection, PRODUCER | timeout | {"logger": _silent}), connection)
