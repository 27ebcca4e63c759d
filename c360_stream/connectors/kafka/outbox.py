"""Kafka outbox: a batch for several topics in one transaction, with a marker that names the batch.

The topic of markers holds two kinds of records, compacted: under the key `PART/STORE` the newest batch of a store,
and under the key `PART` the last process that opened the part. The latter distinguishes a fenced process from one
whose transaction timed out at the broker; to a client both are the same error.

A process that died while publishing left a transaction that either was committed, and then its marker is there, or
was not, and then no reader of committed records sees it. Opening the outbox settles which before it publishes again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from contextlib import closing
from typing import NoReturn
from uuid import uuid4

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.connection import Connection, make_client
from c360_stream.connectors.kafka.error_codes import FINAL, OUTAGE
from c360_stream.connectors.kafka.offsets import OffsetsClient
from c360_stream.connectors.kafka.options import CONSUMER
from c360_stream.connectors.kafka.patience import KafkaPatience
from c360_stream.connectors.kafka.records import offset_of
from c360_stream.connectors.kafka.sender import open_sender
from c360_stream.connectors.kafka.transactions import TransactionFailedError, Transactions
from c360_stream.connectors.outages import Outages
from c360_stream.connectors.ports import OnDelivered, OutRecord, TopicRecord, Waiting
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

OUTBOX_PARTITIONS = 16
"""Of the topic of markers. Never change it: it determines the partition of a part's marker.

A reader of committed records stops at the first open transaction, whichever process has it. If all parts shared a
partition, one that comes back after a crash would have to wait for the others.
"""
TRANSACTION_SECONDS_MAX = 300
"""The broker ends a transaction that takes longer. So long may readers wait for a process that does not come back."""
_MARKERS_READ = 500
_READ_SECONDS = 0.05


class KafkaOutbox:
    """Publishes for one partition of the sink. Opening it fences an older one of the same name.

    Parameters
    ----------
    settings
        Brokers, credentials, prefix and the longest outage to ride out.
    part
        Names the partition of the sink.
    offsets
        Looks up the end of a partition.
    waiting
        Called at least once a second during every wait.
    outages
        Of all clients of the run.

    Raises
    ------
    TransportError
        If Kafka does not answer for `outage_seconds_max`, or refuses.
    """

    def __init__(
        self, settings: Settings, part: str, offsets: OffsetsClient, waiting: Waiting, outages: Outages
    ) -> None:
        self.part = part
        self._settings = settings
        self._offsets = offsets
        self._waiting = waiting
        self._outages = outages
        self._marker = Partition(settings.outbox_topic, marker_partition(part))
        self._published: dict[str, int] = {}
        self._transactions: Transactions | None = None
        self._fenced = False
        self._owner = uuid4().hex
        self._opened = False
        connection = Connection(settings.kafka_brokers, outages)
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
        """Publish a batch in one transaction, unless its marker is there already; see `OutboxWriter.publish`."""
        if not records or sequence <= self._published.get(store, 0):
            return
        try:
            self._publish(store, sequence, records)
        except BaseException:
            self._drop()  # the state of the transaction is unknown: the next attempt begins by looking it up
            raise
        self._published[store] = sequence

    def write(self, records: Sequence[TopicRecord], on_delivered: OnDelivered | None = None) -> None:
        """Queue records outside of any transaction; waits while the queue is full."""
        self._sender.send(records, self._patience(self._connection, "writing records"), on_delivered=on_delivered)

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
        patience: KafkaPatience | None = None
        while True:
            transactions = self._transactions or self._open()
            if sequence <= self._published.get(store, 0):
                return  # an earlier attempt was committed after all
            # One for all attempts: an attempt that gets no further than the last one is no progress.
            patience = patience or self._patience(transactions.connection, f"publishing {len(records)} records")
            try:
                self._transact(transactions, records, marker, patience)
                return
            except TransactionFailedError as failed:
                self._give_up_if_final(transactions, failed)
                if failed.needs_new_producer:
                    self._drop()
                patience.failed(KafkaException(failed.cause))

    def _transact(
        self, transactions: Transactions, records: Sequence[TopicRecord], marker: OutRecord, patience: KafkaPatience
    ) -> None:
        """Run one transaction. If it fails, and may be begun again with this producer, it is aborted."""
        try:
            transactions.begin(patience)
            transactions.send(records, patience)
            transactions.flush(patience)
            # Last, since until the end of the transaction it holds up readers of markers.
            transactions.send([(self._marker.topic, marker)], patience, self._marker.partition)
            transactions.flush(patience)
            transactions.commit(patience)
        except TransactionFailedError as failed:
            if not failed.is_final and not failed.needs_new_producer:
                transactions.abort(patience)
            raise

    def _give_up_if_final(self, transactions: Transactions, failed: TransactionFailedError) -> None:
        if failed.is_fenced:
            self._raise_fenced()
        if failed.is_final:
            transactions.abort_soon()
            raise failed.error

    def _open(self) -> Transactions:
        """Fence older processes, which settles their transactions, and then look up what was published."""
        if self._fenced or (self._opened and self._read_markers()[1] != self._owner):
            self._raise_fenced()
        patience: KafkaPatience | None = None
        while True:
            transactions = Transactions(self._settings, f"outbox.{self.part}", TRANSACTION_SECONDS_MAX, self._outages)
            patience = patience or self._patience(transactions.connection, "opening the outbox")
            try:
                transactions.open(patience)
                self._published, _ = self._read_markers()
                value = json.dumps({"owner": self._owner}).encode()
                self._transact(transactions, [], OutRecord(self.part, value), patience)
            except TransactionFailedError as failed:
                with closing(transactions):
                    self._give_up_if_final(transactions, failed)
                patience.failed(KafkaException(failed.cause))
            except BaseException:
                transactions.close()
                raise
            else:
                self._opened, self._transactions = True, transactions
                return transactions

    def _raise_fenced(self) -> NoReturn:
        self._fenced = True
        raise TransportError(
            f"another run has taken over: outbox {self.part} on Kafka at {self._settings.kafka_brokers}",
            "let only one run at a time write to the topics of a prefix",
        )

    def _drop(self) -> None:
        if self._transactions is not None:
            self._transactions.close()
        self._transactions = None

    def _patience(self, connection: Connection, what: str) -> KafkaPatience:
        return KafkaPatience(connection, what, self._settings.outage_seconds_max, self._waiting)

    def _read_markers(self) -> tuple[dict[str, int], str]:
        """The greatest committed sequence of each store, and the last process that opened the part."""
        connection = Connection(self._settings.kafka_brokers, self._outages)
        patience = self._patience(connection, f"reading {self._marker.topic}[{self._marker.partition}]")
        end = self._end_of_markers(connection, patience)
        consumer = make_client(Consumer, self._settings, connection, CONSUMER | {"auto.offset.reset": "earliest"})
        found = _Markers(self.part)
        try:
            # From 0, whatever was deleted: looking up the first offset took half a second, before the leader was known.
            consumer.assign([Partition(self._marker.topic, self._marker.partition, 0)])
            reached = 0
            while reached < end:  # which waits for other parts' open transactions, too
                messages = consumer.consume(_MARKERS_READ, _READ_SECONDS)
                for message in messages:
                    error = message.error()
                    if error is None:
                        found.take(message.key(), message.value())
                        reached = offset_of(message) + 1
                    elif error.code() == KafkaError._PARTITION_EOF:
                        reached = max(reached, offset_of(message))
                    elif error.code() not in OUTAGE and not error.retriable():
                        raise connection.error(f"cannot read {self._marker.topic}", error)
                patience.progress(reached)
                if reached < end:
                    patience.wait()
        finally:
            consumer.close()
        return found.published, found.owner

    def _end_of_markers(self, connection: Connection, patience: KafkaPatience) -> int:
        """Where the partition of markers ends, records of open transactions included."""

        def refusal(error: KafkaError) -> TransportError | None:
            return connection.error(f"cannot read {self._marker.topic}", error) if error.code() in FINAL else None

        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        return self._offsets.find(self._marker, latest, IsolationLevel.READ_UNCOMMITTED, patience, refusal=refusal)


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
    """Reads the markers of one part from the records of all parts."""

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
