"""Kafka: reads a partition from a position that the caller keeps."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import ListOffsetsResultInfo, OffsetSpec  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.connection import Connection, make_client
from c360_stream.connectors.kafka.error_codes import DENIED, GONE, OUTAGE
from c360_stream.connectors.kafka.offsets import OffsetsClient, known_offset
from c360_stream.connectors.kafka.options import CONSUMER, TAILING, queue_options
from c360_stream.connectors.kafka.records import RecordCollector, offset_of
from c360_stream.connectors.outages import Outages
from c360_stream.connectors.ports import BATCH_BYTES_MAX, RawBatch
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

CHUNK_RECORDS = 256
"""Per call. librdkafka ends one at a count of records or at a pause, never at a number of bytes."""
POLL_SECONDS = 0.001
"""The pause that ends a call. A partition without news holds up the others of its process for so long."""
_PAUSE_SECONDS = 0.05
_ANSWER_SECONDS_MAX = 15.0
_QUIET_SECONDS = 1.0
_STUCK_SECONDS = 10.0
_LOOK_EVERY_SECONDS = 1.0
_LOOK_SECONDS = 5.0
_KNOWN_SECONDS = 1.0
_GONE_SECONDS = 10.0  # a broker that has just started may not know every topic
_START_OVER = "to go on without them, start with an empty recovery directory and --republish"


class KafkaReader:
    """Reads one partition with a consumer of its own, which joins no group and commits nothing."""

    def __init__(
        self,
        settings: Settings,
        partition: Partition,
        resume: tuple[int, ...] | None,
        ends: PartitionEnds,
        start_seconds_max: float,
        *,
        outages: Outages,
        siblings: int,
        live: bool,
    ) -> None:
        self.topic = partition.topic
        self.partition = partition.partition
        self._partition = partition
        self._connection = Connection(settings.kafka_brokers, outages)
        self._live = live
        options = CONSUMER | queue_options(siblings) | (TAILING if live else {})
        self._consumer = make_client(Consumer, settings, self._connection, options)
        self._ends = ends
        found = self._first_watermarks(start_seconds_max, wait=resume is None)
        start, self._high = found or (cast("tuple[int, ...]", resume)[0],) * 2
        self._next = resume[0] if resume else start
        self._end = -1  # the offset at which the broker last reported the end
        self._gone_at: float | None = None  # since when the broker has reported that there is no such partition
        self._lost = found is None  # whether the broker has no record at the position, or does not know yet
        self._quiet_since = time.monotonic()  # since when there was neither a record nor the end
        if not start <= self._next <= self._high:
            raise self._out_of_range(start, self._high)
        if not self._lost:
            self._consumer.assign([Partition(self.topic, self.partition, self._next if resume else OFFSET_BEGINNING)])

    def read(self, records_max: int) -> RawBatch:
        """Up to `records_max` records, and no more than a bound of bytes; none during an outage."""
        taken = RecordCollector()
        # A live source asks again soon, so it need not wait here: 12 quiet partitions took 12 ms per round.
        timeout = 0.0 if self.at_end or (self._live and not self._connection.outage) else POLL_SECONDS
        while len(taken) < records_max and taken.bytes < BATCH_BYTES_MAX:
            asked = min(CHUNK_RECORDS, records_max - len(taken))
            messages = self._consume(asked, timeout)
            ended = len(messages) < asked
            if any(map(Message.error, messages)):
                messages = self._handle_errors(messages)
            if messages:
                taken.add(messages)
                self._next = max(self._next, offset_of(messages[-1]) + 1)
            if ended:
                break
            timeout = 0
        self._connection.raise_refused()
        error = self._connection.last_error
        if error is not None and error.code() in DENIED:
            raise self._unreadable(error)
        if len(taken) or self.at_end:
            self._quiet_since = time.monotonic()
        quiet_seconds = time.monotonic() - self._quiet_since
        if self._connection.outage or self._lost or quiet_seconds > _QUIET_SECONDS:
            self._look()
        if quiet_seconds > _STUCK_SECONDS and not self._connection.outage and not self._lost:
            self._fetch_anew()
        return taken.batch()

    def _fetch_anew(self) -> None:
        """Assign the partition once more: a consumer may come out of an outage with neither records nor the end."""
        self._quiet_since = time.monotonic()
        self._consumer.assign([Partition(self.topic, self.partition, self._next)])

    @property
    def knows_end(self) -> bool:
        """Whether the end of the partition is known: a broker that recovers may not know it yet."""
        return not self._lost

    @property
    def at_end(self) -> bool:
        """Whether the last `read` reached the end, as far as a broker that answers knows it."""
        if self._connection.outage or self._lost:
            return False
        return self._next == self._end or (self._live and self._next == self._cached_end())

    def _cached_end(self) -> int | None:
        """The end that came with the last records: it is known before the consumer reports the end."""
        cached = self._consumer.get_watermark_offsets(self._partition, cached=True)
        return cached[1] if cached else None

    def position(self) -> tuple[int, ...]:
        """(next offset,)."""
        return (self._next,)

    def lag(self) -> int:
        """Offsets between the position and the end of the partition, as far as it is known."""
        return max(0, max(self._cached_end() or 0, self._high) - self._next)

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _consume(self, records_max: int, timeout_seconds: float) -> list[Message]:
        try:
            return self._consumer.consume(records_max, timeout_seconds)
        except KafkaException as error:  # fatal
            raise self._unreadable(error.args[0]) from error

    def _handle_errors(self, messages: list[Message]) -> list[Message]:
        """Handle the errors among messages; return the records."""
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            else:
                self._handle_error(error, offset_of(message))
        return records

    def _handle_error(self, error: KafkaError, offset: int) -> None:
        """Handle what the consumer reports between records."""
        if error.code() == KafkaError._PARTITION_EOF:
            # Ahead of the last record, where the log ends in transaction markers or compacted records.
            self._next = self._end = self._high = offset
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._lost = True
        elif error.code() not in OUTAGE and not error.retriable():
            raise self._unreadable(error)

    def _look(self) -> None:
        """Check whether an outage is over, which a quiet partition does not show, and whether the position is valid."""
        self._ends.ask()
        try:
            found = self._ends.answer()
        except KafkaException as error:
            self._connection.missed()
            self._raise_lasting(error.args[0])
            return
        if found is None:
            return
        self._gone_at = None
        start, self._high = found
        self._connection.restored()
        self._end = -1 if self._high > self._next else self._next
        if self._lost:
            if not start <= self._next <= self._high:
                raise self._out_of_range(start, self._high)
            self._lost = False
            self._consumer.assign([Partition(self.topic, self.partition, self._next)])

    def _raise_lasting(self, error: KafkaError) -> None:
        """Raise the reason why the end of the partition is unknown, if waiting does not fix it."""
        now = time.monotonic()
        gone = error.code() in GONE or (error.code() == KafkaError._NOENT and not self._ends.known())
        self._gone_at = (self._gone_at or now) if gone else None
        if error.code() in DENIED:
            raise self._unreadable(error)
        if self._gone_at is not None and now - self._gone_at > _GONE_SECONDS:
            where = f"{self.topic}[{self.partition}]"
            raise TransportError(f"{self._connection.name} has no {where} any more: {error.str()}", _START_OVER)

    def _first_watermarks(self, seconds_max: float, *, wait: bool) -> tuple[int, int] | None:
        """Ask until a leader answers: a partition has none for a moment after its topic is made.

        None if the broker recovers and does not know them yet, and `wait` is false: a reader with a position can wait
        for that as for the end of any outage.
        """
        deadline = time.monotonic() + seconds_max
        while True:
            try:
                return self._ends.now(max(_PAUSE_SECONDS, deadline - time.monotonic()))
            except KafkaException as error:
                if not wait and error.args[0].code() == KafkaError.OFFSET_NOT_AVAILABLE:
                    return None
                if time.monotonic() > deadline or error.args[0].code() in DENIED:
                    raise self._unreadable(error.args[0]) from error
                time.sleep(_PAUSE_SECONDS)

    def _unreadable(self, error: KafkaError) -> TransportError:
        where = f"{self.topic}[{self.partition}]"
        if error.code() in DENIED:
            hint = f"let this user read topic {self.topic}, by an ACL of the broker"
            return TransportError(f"{self._connection.name}: cannot read {where}: {error.str()}", hint)
        if error.code() in GONE:
            return TransportError(f"{self._connection.name} has no {where} any more: {error.str()}", _START_OVER)
        return self._connection.error(f"cannot read {where}", error)

    def _out_of_range(self, start: int, end: int) -> TransportError:
        where = f"{self.topic}[{self.partition}] on {self._connection.name}"
        if self._next > end:
            return TransportError(
                f"{where} ends at offset {end}, but was read up to {self._next}: it was made anew",
                "start with an empty recovery directory and --republish",
            )
        return TransportError(
            f"{where} starts at offset {start} now: {self._next}..{start - 1} were deleted before they were read",
            f"raise the topic's retention; {_START_OVER}",
        )


class PartitionEnds:
    """Looks up the first and last offset of a partition, about once per second, without waiting for the answer."""

    def __init__(self, offsets: OffsetsClient, partition: Partition) -> None:
        self._offsets = offsets
        self._partition = partition
        self._answers: list[Future[ListOffsetsResultInfo]] = []
        self._ask_at = 0.0

    def ask(self) -> None:
        """Ask, unless a request is in flight or was just answered."""
        now = time.monotonic()
        if now < self._ask_at or (self._answers and now < self._ask_at + _ANSWER_SECONDS_MAX):
            return
        self._ask_at = now + _LOOK_EVERY_SECONDS
        self._send(_LOOK_SECONDS)

    def _send(self, seconds_max: float) -> None:
        self._answers = []  # after so long there will be no answer
        for which in (OffsetSpec.earliest(), OffsetSpec.latest()):  # type: ignore[no-untyped-call]
            self._answers.append(self._offsets.ask(self._partition, which, IsolationLevel.READ_COMMITTED, seconds_max))

    def now(self, seconds_max: float) -> tuple[int, int]:
        """Ask, and wait for the answer: one client does for all partitions, where each consumer would first connect."""
        self._send(seconds_max)
        return self._results()

    def known(self) -> bool:
        """Whether there is such a partition, as far as a broker knows; one without a leader still exists."""
        return self._offsets.knows(self._partition, _KNOWN_SECONDS)

    def answer(self) -> tuple[int, int] | None:
        """Start and end, once they are there. Raises `KafkaException` if there will be no answer."""
        if not self._answers or not all(answer.done() for answer in self._answers):
            return None
        return self._results()

    def _results(self) -> tuple[int, int]:
        answers, self._answers = self._answers, []
        try:
            start, end = (known_offset(answer.result()) for answer in answers)
        except KafkaException as error:
            self._offsets.refused(error.args[0])
            raise
        return start, end
