"""Transactions of one producer: each step retries what may pass; its error tells whether another attempt can help."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import cast

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as Partition

from c360_stream.connectors.kafka.connection import Connection
from c360_stream.connectors.kafka.error_codes import FENCED, FINAL
from c360_stream.connectors.kafka.patience import WAIT_SECONDS, KafkaPatience
from c360_stream.connectors.kafka.sender import ANY_PARTITION, open_sender
from c360_stream.connectors.outages import Outages
from c360_stream.connectors.ports import TopicRecord
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

_ABORT_SECONDS_MAX = 5.0


class TransactionFailedError(Exception):
    """A step of a transaction failed, so that nobody will see what the transaction holds.

    Parameters
    ----------
    cause
        Why.
    error
        The same as an exception with a hint.
    is_final
        Whether a retry cannot help. Else the transaction may succeed if it is begun again.
    needs_new_producer
        Whether this producer is unusable. Else its transaction must be aborted before the next one.
    is_fenced
        Whether a newer producer of the same name has taken over.
    """

    def __init__(
        self, cause: KafkaError, error: TransportError, *, is_final: bool, needs_new_producer: bool, is_fenced: bool
    ) -> None:
        super().__init__(cause.str())
        self.cause = cause
        self.error = error
        self.is_final = is_final
        self.needs_new_producer = needs_new_producer
        self.is_fenced = is_fenced


class Transactions:
    """One life of a transactional producer.

    Parameters
    ----------
    settings
        Brokers, credentials and prefix.
    name
        Of the producer, within the prefix: one process at a time has it, the newest.
    seconds_max
        The broker ends a transaction that takes longer. So long may readers wait for a process that does not come back.
    outages
        As for `Connection`.
    """

    def __init__(self, settings: Settings, name: str, seconds_max: int, outages: Outages | None = None) -> None:
        self.connection = Connection(settings.kafka_brokers, outages)
        self._seconds_max = seconds_max
        self._began = time.monotonic()
        options = {
            "transactional.id": f"{settings.topic_prefix}.{name}",
            "transaction.timeout.ms": seconds_max * 1000,
        }
        self._sender = open_sender(settings, self.connection, options)

    def open(self, patience: KafkaPatience) -> None:
        """Fence older producers of this name, and end the transaction that they left open.

        This and every other step raises `TransactionFailedError`, and `TransportError` if patience runs out.
        """
        self._step(self._sender.producer.init_transactions, patience)

    def begin(self, patience: KafkaPatience) -> None:
        """Begin a transaction."""
        self._sender.begin()
        self._began = time.monotonic()
        self._step(lambda _: self._sender.producer.begin_transaction(), patience)

    def send(self, records: Sequence[TopicRecord], patience: KafkaPatience, partition: int = ANY_PARTITION) -> None:
        """Queue records; waits while the queue is full."""
        with self._delivering():
            self._sender.send(records, patience, partition)

    def flush(self, patience: KafkaPatience) -> None:
        """Return once every record of the transaction is there."""
        with self._delivering():
            self._sender.flush(patience)

    def send_offsets(self, offsets: list[Partition], group: object, patience: KafkaPatience) -> None:
        """Commit offsets of a consumer group with the transaction."""
        self._step(lambda seconds: self._sender.producer.send_offsets_to_transaction(offsets, group, seconds), patience)

    def commit(self, patience: KafkaPatience) -> None:
        """Let readers see the transaction."""
        self._step(self._sender.producer.commit_transaction, patience)

    def abort(self, patience: KafkaPatience) -> None:
        """End the transaction so that another one can be begun."""
        self._step(self._sender.producer.abort_transaction, patience)

    def abort_soon(self) -> None:
        """Release the readers that this transaction holds up; if that fails, the broker does it after the timeout."""
        with suppress(KafkaException):
            self._sender.producer.abort_transaction(_ABORT_SECONDS_MAX)

    def close(self) -> None:
        """End the producer; what was not committed stays so."""
        self._sender.close()

    @contextmanager
    def _delivering(self) -> Iterator[None]:
        try:
            yield
        except TransportError as error:
            cause = self.connection.fatal or self._sender.failed
            if cause is None:
                raise
            raise self._failure(cause, abortable=True) from error

    def _step(self, step: Callable[[float], object], patience: KafkaPatience) -> None:
        """Run one step; one that timed out continues when it is called again."""
        patience.run(lambda: step(WAIT_SECONDS), lambda error: self._refusal(error.args[0]))

    def _refusal(self, error: KafkaError) -> TransactionFailedError | None:
        if error.retriable() and not error.fatal():
            return None
        return self._failure(error, abortable=error.txn_requires_abort())

    def _failure(self, error: KafkaError, *, abortable: bool) -> TransactionFailedError:
        cause = self._fatal() or error
        in_time = time.monotonic() - self._began <= self._seconds_max
        return TransactionFailedError(
            cause,
            self._sender.failure or self.connection.error("cannot publish", cause),
            is_final=cause.code() in FINAL,
            needs_new_producer=cause.fatal() or not abortable,
            is_fenced=cause.fatal() and cause.code() in FENCED and in_time,
        )

    def _fatal(self) -> KafkaError | None:
        """The error from which this producer cannot recover: every call repeats it."""
        if self.connection.fatal is None:
            return None
        try:
            self._sender.producer.begin_transaction()
        except KafkaException as error:
            return cast(KafkaError, error.args[0])
        return self.connection.fatal
