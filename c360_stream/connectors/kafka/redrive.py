"""Kafka: sends records again and commits the position in the same transaction.

The position is the committed offset of a consumer group without members. Readers of committed records see both or
neither, so a process that dies in between and starts again sends nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

from confluent_kafka import Consumer, IsolationLevel, KafkaError
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.connection import Connection, make_client
from c360_stream.connectors.kafka.error_codes import PASSING
from c360_stream.connectors.kafka.offsets import OffsetsClient
from c360_stream.connectors.kafka.options import CONSUMER
from c360_stream.connectors.kafka.patience import WAIT_SECONDS, KafkaPatience
from c360_stream.connectors.kafka.transactions import TransactionFailedError, Transactions
from c360_stream.connectors.outages import Outages
from c360_stream.connectors.ports import OutRecord, Waiting, wait_patiently
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

TRANSACTION_SECONDS_MAX = 30
"""The broker ends a transaction that takes longer: a killed process holds up the topic's readers for so long."""
_AGAIN = "then run it again: it goes on where it was"


class RedriveOffset:
    """The position up to which a topic was redriven: the committed offsets of a group.

    Parameters
    ----------
    settings
        Brokers, credentials and the longest outage to ride out.
    topic
        The topic to read.
    group
        Name of the group.
    waiting
        Called at least once a second during every wait.
    outages
        As for `Connection`.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        group: str,
        waiting: Waiting = wait_patiently,
        outages: Outages | None = None,
    ) -> None:
        self.topic = topic
        self._settings = settings
        self._waiting = waiting
        outages = outages or Outages()
        self._offsets = OffsetsClient(settings, outages)
        self._connection = Connection(settings.kafka_brokers, outages)
        self._consumer = make_client(Consumer, settings, self._connection, CONSUMER | {"group.id": group})

    def starts(self, partitions: Iterable[int], since: datetime | None) -> dict[int, int]:
        """The next offset of each partition: the first record that exists, is not done, and is not older than `since`.

        Raises
        ------
        TransportError
            If the broker refuses, or does not answer for `outage_seconds_max`.
        """
        places = [Partition(self.topic, number) for number in sorted(partitions)]
        what = "reading the group's offsets"
        done = self._patience(what).run(
            lambda: self._consumer.committed(places, WAIT_SECONDS * 10),
            lambda error: self._refusal(what, error.args[0]),
        )
        return {place.partition: self._start(place, since) for place in done}

    def _start(self, done: Partition, since: datetime | None) -> int:
        first = self._ask(done.partition, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        end = self._ask(done.partition, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        # Past the end: the topic was made anew.
        start = done.offset if first <= done.offset <= end else first
        if since is None:
            return start
        at = self._ask(done.partition, OffsetSpec.for_timestamp(int(since.timestamp() * 1000)), least=-1)
        return max(start, at if at >= 0 else end)

    def metadata(self) -> object:
        """The group, for a transaction."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def _ask(self, partition: int, which: OffsetSpec, least: int = 0) -> int:
        place, what = Partition(self.topic, partition), f"asking where {self.topic}[{partition}] begins"
        return self._offsets.find(
            place,
            which,
            IsolationLevel.READ_COMMITTED,
            self._patience(what),
            refusal=lambda error: self._refusal(what, error),
            least=least,
        )

    def _refusal(self, what: str, error: KafkaError) -> TransportError | None:
        return None if error.code() in PASSING or error.retriable() else self._connection.error(what, error)

    def _patience(self, what: str) -> KafkaPatience:
        return KafkaPatience(self._connection, what, self._settings.outage_seconds_max, self._waiting)


class Redriver:
    """Sends records in transactions that advance a position. Opening it fences an older one of the same prefix.

    Raises
    ------
    TransportError
        If Kafka does not answer for `outage_seconds_max`, or refuses.
    """

    def __init__(self, settings: Settings, waiting: Waiting = wait_patiently, outages: Outages | None = None) -> None:
        self._settings = settings
        self._waiting = waiting
        self._transactions = Transactions(settings, "redrive", TRANSACTION_SECONDS_MAX, outages)
        try:
            self._transactions.open(self._patience("opening a transaction"))
        except BaseException as error:
            self._transactions.close()
            if isinstance(error, TransactionFailedError):
                raise self._error(error) from error
            raise

    def send(self, records: Sequence[tuple[Partition, OutRecord]], place: RedriveOffset, done: Partition) -> None:
        """Send records and advance the position to `done`: both or neither.

        Parameters
        ----------
        records
            Each with its topic and partition, -1 for the partition of its key; records of a partition stay in order.
        done
            The partition that was read, and the offset of its next record.

        Raises
        ------
        TransportError
            If the transaction failed; then none of its records are visible.
        """
        transactions, patience = self._transactions, self._patience(f"sending {len(records)} records")
        try:
            transactions.begin(patience)
            for partition, some in groupby(records, lambda each: each[0].partition):
                transactions.send([(target.topic, record) for target, record in some], patience, partition)
            transactions.flush(patience)
            transactions.send_offsets([done], place.metadata(), patience)
            transactions.commit(patience)
        except BaseException as error:
            transactions.abort_soon()  # else the topic's readers wait for the broker's timeout
            if isinstance(error, TransactionFailedError):
                raise self._error(error) from error
            raise

    def close(self) -> None:
        """End the producer; what was not committed stays so."""
        self._transactions.close()

    def _patience(self, what: str) -> KafkaPatience:
        seconds_max = self._settings.outage_seconds_max
        return KafkaPatience(self._transactions.connection, what, seconds_max, self._waiting)

    def _error(self, failed: TransactionFailedError) -> TransportError:
        if failed.is_fenced:
            who = f"another c360 redrive has taken over: prefix {self._settings.topic_prefix}"
            return TransportError(f"{self._transactions.connection.name}: {who}", "let one run at a time")
        return TransportError(failed.error.what, f"{failed.error.hint}; {_AGAIN}")
