"""Kafka outbox: a batch for several topics in one transaction, with a marker that says which batch it was.

The topic of markers holds two kinds of records, compacted: under the key `PART/STORE` the newest batch of a store,
and under the key `PART` who opened the part last. The latter tells a process that is shut out from one whose
transaction the broker ended since it took too long; to a client both are the same error.

A process that died while it published left one of two things: a transaction that was not committed, which
nobody who reads committed records sees, or one that was, and then its marker is there. Opening the outbox settles
which of the two before anything is published again.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn, cast
from uuid import uuid4

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.connection import Connection, make_client
from c360_stream.connectors.kafka.error_codes import FENCED, FINAL, OUTAGE
from c360_stream.connectors.kafka.offsets import OffsetsClient, known_offset
from c360_stream.connectors.kafka.options import CONSUMER
from c360_stream.connectors.kafka.patience import WAIT_SECONDS, Patience
from c360_stream.connectors.kafka.sender import open_sender
from c360_stream.connectors.ports import Heard, OutRecord, TopicRecord, Waiting
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

OUTBOX_PARTITIONS = 16
"""Of the topic of markers. Never to change: it says in which partition a part's marker is.

A reader of committed records gets no further than the first transaction that is open, anybody's. If all parts
shared a partition, one that comes back after a crash would have to wait until the others are back too.
"""
TRANSACTION_SECONDS_MAX = 300
"""The broker ends a transaction that takes longer. So long may readers wait for a process that does not come back."""
_ABORT_SECONDS_MAX = 5.0
_MARKERS_READ = 500
_ASK_SECONDS_MAX = 5.0
_READ_SECONDS = 0.05


class _RepeatError(Exception):
    """The transaction did not come about, and may if it is begun again."""

    def __init__(self, error: KafkaError, *, anew: bool = False) -> None:
        super().__init__(error.str())
        self.error = error
        self.anew = anew  # this producer can do no more


class KafkaOutbox:
    """Publishes for one partition of the sink. Opening it shuts out an older one of the same name.

    Parameters
    ----------
    settings
        Brokers, credentials, prefix and the longest outage to ride out.
    part
        Names the partition of the sink.
    offsets
        To ask where a partition ends.
    waiting
        Called at least once a second during every wait.

    Raises
    ------
    TransportError
        If Kafka does not answer for `outage_seconds_max`, or refuses.
    """

    def __init__(self, settings: Settings, part: str, offsets: OffsetsClient, waiting: Waiting) -> None:
        self.part = part
        self._settings = settings
        self._offsets = offsets
        self._waiting = waiting
        self._marker = Partition(settings.outbox_topic, marker_partition(part))
        self._published: dict[str, int] = {}
        self._transaction: _Transactions | None = None
        self._shut_out = False
        self._owner = uuid4().hex
        self._opened = False
        connection = Connection(settings.kafka_brokers)
        self._sender = open_sender(settings, connection)
        self._connection = connection
        try:
            self._open()
        except BaseException:
            self._sender.close()
            raise

    def newest(self, store: str) -> int:
        """The last published number, by the marker."""
        return self._published.get(store, 0)

    def publish(self, store: str, sequence: int, records: Sequence[TopicRecord]) -> None:
        """Publish a batch in one transaction, unless the marker says that it has been; see `OutboxWriter.publish`."""
        if not records or sequence <= self._published.get(store, 0):
            return
        try:
            self._publish(store, sequence, records)
        except BaseException:
            self._drop()  # where the transaction stands is not known: the next one begins by finding out
            raise
        self._published[store] = sequence

    def write(self, records: Sequence[TopicRecord], heard: Heard | None = None) -> None:
        """Queue records outside of any transaction; waits while the queue is full."""
        self._sender.send(records, self._patience(self._connection, "writing records"), heard=heard)

    def flush(self) -> None:
        """Return once everything written is acknowledged by all replicas in sync."""
        self._sender.flush(self._patience(self._connection, "writing records"))

    def close(self) -> None:
        """Close both producers. An open transaction is not committed; what was not flushed is dropped."""
        self._drop()
        self._sender.close()

    def _publish(self, store: str, sequence: int, records: Sequence[TopicRecord]) -> None:
        value = json.dumps({"store": store, "sequence": sequence}).encode()
        marker = OutRecord(_marker_key(self.part, store), value)
        patience: Patience | None = None
        while True:
            transaction = self._transaction or self._open()
            if sequence <= self._published.get(store, 0):
                return  # the commit of an attempt before this one had come through
            # One for all attempts: those that get no further than the last one are no progress.
            patience = patience or self._patience(transaction.connection, f"publishing {len(records)} records")
            try:
                transaction.run(records, marker, self._marker.partition, patience)
                return
            except _RepeatError as error:
                if error.anew:
                    self._drop()
                patience.wait(error.error)

    def _open(self) -> _Transactions:
        """Shut out older processes, which settles what they left, and then find out what was published."""
        if self._shut_out or (self._opened and self._read_markers()[1] != self._owner):
            self._taken_over()
        patience: Patience | None = None
        while True:
            transaction = _Transactions(self._settings, self.part, self._taken_over)
            patience = patience or self._patience(transaction.connection, "opening the outbox")
            try:
                transaction.begin_life(patience)
                self._published, _ = self._read_markers()
                value = json.dumps({"owner": self._owner}).encode()
                transaction.run([], OutRecord(self.part, value), self._marker.partition, patience)
            except _RepeatError as error:
                transaction.close()
                patience.wait(error.error)
                continue
            except BaseException:
                transaction.close()
                raise
            self._opened, self._transaction = True, transaction
            return transaction

    def _taken_over(self) -> NoReturn:
        self._shut_out = True
        raise TransportError(
            f"another run has taken over: outbox {self.part} on Kafka at {self._settings.kafka_brokers}",
            "let only one run at a time write to the topics of a prefix",
        )

    def _drop(self) -> None:
        if self._transaction is not None:
            self._transaction.close()
        self._transaction = None

    def _patience(self, connection: Connection, what: str) -> Patience:
        return Patience(connection, what, self._settings.outage_seconds_max, self._waiting)

    def _read_markers(self) -> tuple[dict[str, int], str]:
        """The greatest sequence of each store whose transaction was committed, and who opened the part last."""
        connection = Connection(self._settings.kafka_brokers)
        patience = self._patience(connection, f"reading {self._marker.topic}[{self._marker.partition}]")
        end = self._end_of_markers(patience)
        consumer = make_client(Consumer, self._settings, connection, CONSUMER | {"auto.offset.reset": "earliest"})
        found = _Markers(self.part)
        try:
            # From 0, whatever was deleted: to ask where it begins took half a second, before the leader was known.
            consumer.assign([Partition(self._marker.topic, self._marker.partition, 0)])
            reached = 0
            while reached < end:  # which waits for other parts' open transactions, too
                messages = consumer.consume(_MARKERS_READ, _READ_SECONDS)
                for message in messages:
                    error = message.error()
                    if error is None:
                        found.take(message.key(), message.value())
                        reached = cast(int, message.offset()) + 1
                    elif error.code() == KafkaError._PARTITION_EOF:
                        reached = max(reached, cast(int, message.offset()))
                    elif error.code() not in OUTAGE and not error.retriable():
                        raise connection.error(f"cannot read {self._marker.topic}", error)
                patience.progress(reached)
                if reached < end:
                    patience.wait()
        finally:
            consumer.close()
        return found.published, found.owner

    def _end_of_markers(self, patience: Patience) -> int:
        """Where the partition of markers ends, records of open transactions included."""
        while True:
            latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
            future = self._offsets.ask(self._marker, latest, IsolationLevel.READ_UNCOMMITTED, _ASK_SECONDS_MAX)
            while True:
                try:
                    return known_offset(future.result(WAIT_SECONDS))
                except TimeoutError:
                    patience.wait()
                except KafkaException as error:
                    self._offsets.refused(error.args[0])
                    if error.args[0].code() in FINAL:
                        raise self._unreadable(error.args[0]) from error
                    patience.wait(error.args[0])
                    break

    def _unreadable(self, error: KafkaError) -> TransportError:
        return Connection(self._settings.kafka_brokers).error(f"cannot read {self._marker.topic}", error)


class _Transactions:
    """One life of the transactional producer."""

    def __init__(self, settings: Settings, part: str, taken_over: Callable[[], NoReturn]) -> None:
        self.connection = Connection(settings.kafka_brokers)
        self._began = time.monotonic()
        self._topic = settings.outbox_topic
        self._taken_over = taken_over
        options = {
            "transactional.id": f"{settings.topic_prefix}.outbox.{part}",
            "transaction.timeout.ms": TRANSACTION_SECONDS_MAX * 1000,
            "linger.ms": 5,  # what there is to send is all there
        }
        self._sender = open_sender(settings, self.connection, options)

    def begin_life(self, patience: Patience) -> None:
        """Shut out older producers of this name, and end the transaction that they left open."""
        self._call(self._sender.producer.init_transactions, patience)

    def run(self, records: Sequence[TopicRecord], marker: OutRecord, partition: int, patience: Patience) -> None:
        """Run one transaction.

        Raises
        ------
        _RepeatError
            If it was aborted, for a reason that may pass, or nobody knows what became of it.
        """
        self._sender.begin()
        self._began = time.monotonic()
        try:
            self._begin()
            self._send(records, -1, patience)
            # Last, and when all else is there: until the end of the transaction it holds up readers of markers.
            self._send([(self._topic, marker)], partition, patience)
            self._call(self._sender.producer.commit_transaction, patience)
        except _RepeatError as error:
            if not error.anew:
                self._call(self._sender.producer.abort_transaction, patience)
            raise

    def close(self) -> None:
        """End the producer; what was not committed stays so."""
        self._sender.close()

    def _begin(self) -> None:
        try:
            self._sender.producer.begin_transaction()
        except KafkaException as error:
            raise self._verdict(error.args[0]) from error

    def _send(self, records: Sequence[TopicRecord], partition: int, patience: Patience) -> None:
        try:
            self._sender.send(records, patience, partition)
            self._sender.flush(patience)
        except TransportError as error:
            reason = self.connection.fatal or self._sender.failed
            if reason is None:
                raise
            if self.connection.fatal is None and reason.code() in FINAL:
                self._abort_soon()
                raise
            if self.connection.fatal is None:
                raise _RepeatError(reason) from error
            raise self._verdict(reason) from error

    def _call(self, step: Callable[[float], None], patience: Patience) -> None:
        """Take one step of a transaction; one that timed out goes on when it is called again."""
        while True:
            try:
                step(WAIT_SECONDS)
                return
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if not reason.retriable() or reason.fatal():
                    raise self._verdict(reason) from error
                patience.wait(reason)

    def _verdict(self, error: KafkaError) -> Exception:
        """What follows from an error: trying again, with this producer or a new one, or giving up."""
        cause = self._fatal() or error
        if cause.code() in FENCED and cause.fatal():
            if time.monotonic() - self._began > TRANSACTION_SECONDS_MAX:
                return _RepeatError(cause, anew=True)  # maybe the broker did it, for which it has no other word
            self._taken_over()
        if cause.code() in FINAL:
            if error.txn_requires_abort():
                self._abort_soon()
            return self._sender.failure or self.connection.error("cannot publish", cause)
        return _RepeatError(cause, anew=cause.fatal() or not error.txn_requires_abort())

    def _fatal(self) -> KafkaError | None:
        """What this producer cannot recover from: it repeats it to whoever asks for anything."""
        if self.connection.fatal is None:
            return None
        try:
            self._sender.producer.begin_transaction()
        except KafkaException as error:
            return cast(KafkaError, error.args[0])
        return self.connection.fatal

    def _abort_soon(self) -> None:
        """Let readers go on that this transaction holds up; if that cannot be, the broker does it in time."""
        with suppress(KafkaException):
            self._sender.producer.abort_transaction(_ABORT_SECONDS_MAX)


def marker_partition(part: str) -> int:
    """Partition of the topic of markers that holds those of a part: its own, if parts are small numbers.

    >>> marker_partition("3"), marker_partition("risk")
    (3, 1)
    """
    number = int(part) if part.isascii() and part.isdigit() else zlib.crc32(part.encode())
    return number % OUTBOX_PARTITIONS


def _marker_key(part: str, store: str) -> str:
    return f"{part}/{store}"


class _Markers:
    """What the records of a part say, among those of others."""

    def __init__(self, part: str) -> None:
        self._part = part
        self.published: dict[str, int] = {}
        self.owner = ""

    def take(self, key: bytes | None, value: bytes | None) -> None:
        if value is None:
            return
        marker = json.loads(value)
        if "owner" in marker and key == self._part.encode():
            self.owner = marker["owner"]
        elif "store" in marker and key == _marker_key(self._part, marker["store"]).encode():
            known = self.published.get(marker["store"], 0)
            self.published[marker["store"]] = max(known, marker["sequence"])
