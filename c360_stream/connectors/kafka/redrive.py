"""Kafka: records are sent again and the place up to which that was done is kept, in one transaction.

The place is the committed offset of a consumer group that nobody joins. Readers of committed records see either
both or neither, so whoever dies in between and starts again sends nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar, cast

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.connection import Connection, make_client
from c360_stream.connectors.kafka.error_codes import FENCED, PASSING
from c360_stream.connectors.kafka.offsets import OffsetsClient, known_offset
from c360_stream.connectors.kafka.options import CONSUMER
from c360_stream.connectors.kafka.patience import WAIT_SECONDS, Patience
from c360_stream.connectors.kafka.sender import open_sender
from c360_stream.connectors.ports import OutRecord, Waiting, wait_patiently
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

TRANSACTION_SECONDS_MAX = 30
"""The broker ends a transaction that takes longer: for so long may one that was killed hold up the topic's readers."""
_ABORT_SECONDS_MAX = 5.0
_ASK_SECONDS_MAX = 5.0
_AGAIN = "mend that and run it again: it goes on where it was"

Answer = TypeVar("Answer")


class Place:
    """Up to where a topic has been worked off, by the committed offsets of a group.

    Parameters
    ----------
    settings
        Brokers, credentials and the longest outage to ride out.
    topic
        What is read.
    group
        Name of the group.
    waiting
        Called at least once a second during every wait.
    """

    def __init__(self, settings: Settings, topic: str, group: str, waiting: Waiting = wait_patiently) -> None:
        self.topic = topic
        self._settings = settings
        self._waiting = waiting
        self._offsets = OffsetsClient(settings)
        self._connection = Connection(settings.kafka_brokers)
        self._consumer = make_client(Consumer, settings, self._connection, CONSUMER | {"group.id": group})

    def starts(self, partitions: Iterable[int], since: datetime | None) -> dict[int, int]:
        """Where to go on in each partition: the first record that is there, not done yet, and not older than `since`.

        Raises
        ------
        TransportError
            If the broker refuses, or does not answer for `outage_seconds_max`.
        """
        places = [Partition(self.topic, number) for number in sorted(partitions)]
        done = self._patient("reading the group's offsets", lambda: self._consumer.committed(places, WAIT_SECONDS * 10))
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

    def metadata(self) -> Any:
        """The group, for a transaction."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def _ask(self, partition: int, which: OffsetSpec, least: int = 0) -> int:
        place = Partition(self.topic, partition)

        def answer() -> int:
            asked = self._offsets.ask(place, which, IsolationLevel.READ_COMMITTED, _ASK_SECONDS_MAX)
            try:
                return known_offset(asked.result(), least)
            except KafkaException as error:
                self._offsets.refused(error.args[0])
                raise

        return self._patient(f"asking where {self.topic}[{partition}] begins", answer)

    def _patient(self, what: str, ask: Callable[[], Answer]) -> Answer:
        patience = Patience(self._connection, what, self._settings.outage_seconds_max, self._waiting)
        while True:
            try:
                return ask()
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                if reason.code() not in PASSING and not reason.retriable():
                    raise self._connection.error(what, reason) from error
                patience.wait(reason)


class Redriver:
    """Sends records in transactions that move a place on. Opening it shuts out an older one of the same prefix.

    Raises
    ------
    TransportError
        If Kafka does not answer for `outage_seconds_max`, or refuses.
    """

    def __init__(self, settings: Settings, waiting: Waiting = wait_patiently) -> None:
        self._settings = settings
        self._waiting = waiting
        self._connection = Connection(settings.kafka_brokers)
        options = {
            "transactional.id": f"{settings.topic_prefix}.redrive",
            "transaction.timeout.ms": TRANSACTION_SECONDS_MAX * 1000,
        }
        self._sender = open_sender(settings, self._connection, options)
        try:
            self._step("opening a transaction", self._sender.producer.init_transactions)
        except BaseException:
            self._sender.close()
            raise

    def send(self, records: Sequence[tuple[Partition, OutRecord]], place: Place, done: Partition) -> None:
        """Send records and move the place on to `done`: both or neither.

        Parameters
        ----------
        records
            Each with its topic and partition, -1 for the one of its key; those of a partition stay in order.
        done
            The partition that was read, and the offset of its next record.

        Raises
        ------
        TransportError
            If the transaction did not come about; what it held is not there then.
        """
        self._sender.begin()
        try:
            self._step("beginning a transaction", lambda _: self._sender.producer.begin_transaction())
            patience = self._patience("sending records")
            for target, record in records:
                self._sender.send([(target.topic, record)], patience, target.partition)
            self._sender.flush(patience)
            group = place.metadata()
            self._step(
                "keeping the place",
                lambda seconds: self._sender.producer.send_offsets_to_transaction([done], group, seconds),
            )
            self._step("committing", self._sender.producer.commit_transaction)
        except BaseException as error:
            # Else the topic's readers wait until the broker does it.
            with suppress(KafkaException):
                self._sender.producer.abort_transaction(_ABORT_SECONDS_MAX)
            if isinstance(error, TransportError) and self._connection.fatal is not None:
                raise self._refused("sending", self._fatal()) from error
            raise

    def close(self) -> None:
        """End the producer; what was not committed stays so."""
        self._sender.close()

    def _patience(self, what: str) -> Patience:
        return Patience(self._connection, what, self._settings.outage_seconds_max, self._waiting)

    def _step(self, what: str, step: Callable[[float], object]) -> None:
        """Take one step of a transaction; one that timed out goes on when it is called again."""
        patience = self._patience(what)
        while True:
            try:
                step(WAIT_SECONDS)
                return
            except KafkaException as error:
                reason = cast(KafkaError, error.args[0])
                if not reason.retriable() or reason.fatal():
                    raise self._refused(what, reason) from error
                patience.wait(reason)

    def _fatal(self) -> KafkaError:
        """What this producer cannot recover from: it repeats it to whoever asks for anything."""
        try:
            self._sender.producer.begin_transaction()
        except KafkaException as error:
            return cast(KafkaError, error.args[0])
        return KafkaError(KafkaError._FATAL)

    def _refused(self, what: str, reason: KafkaError) -> TransportError:
        if reason.code() in FENCED:
            who = f"another c360 redrive has taken over: prefix {self._settings.topic_prefix}"
            return TransportError(f"{self._connection.name}: {who}", "let one run at a time")
        return TransportError(f"{self._connection.name}: {what}: {reason.str()}", _AGAIN)
