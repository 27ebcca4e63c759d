"""Kafka in memory: topics that survive the crashes of their clients, and what the flow uses of librdkafka's clients.

`KafkaTransport` runs over them as it is: they say what librdkafka says, at once and without threads.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import ListOffsetsResultInfo, OffsetSpec  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.outbox import OUTBOX_PARTITIONS
from c360_stream.settings import Settings
from tests.reference.log import read_lines, topic_name
from tests.reference.oracle import TOPICS
from tests.simulation.fate import Fate

BROKERS = "memory:9092"
UNKNOWN = -1001
# A life has hundreds of milliseconds.
SOON = {
    "c360_stream.connectors.kafka.reader._LOOK_EVERY_SECONDS": 0.01,
    "c360_stream.connectors.kafka.reader._PAUSE_SECONDS": 0.005,
    "c360_stream.connectors.kafka.patience.PAUSE_SECONDS": 0.005,
}
Headers = tuple[tuple[str, bytes | None], ...]
Delivered = Callable[[KafkaError | None, Message], None]


class Record(NamedTuple):
    """A record as it stands in a topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Published(NamedTuple):
    """A record, and the recovery store of the run that published it; empty if it had none."""

    store: str
    record: Record


class MemoryTopics:
    """Input partitions and everything published: what committed readers see, in the order in which they see it."""

    def __init__(self, log_dir: Path, settings: Settings) -> None:
        self.partitions: dict[tuple[str, int], list[Record]] = defaultdict(list)
        for topic in TOPICS:
            for number, lines in read_lines(log_dir, topic).items():
                self.partitions[topic_name(topic), number] = [Record(topic_name(topic), None, line) for line in lines]
        self.markers = settings.outbox_topic
        self.numbers = {
            **{name: range(sum(of == name for of, _ in self.partitions)) for name in map(topic_name, TOPICS)},
            **dict.fromkeys(settings.output_topics, range(1)),
            self.markers: range(OUTBOX_PARTITIONS),
        }
        self.seen: list[Published] = []
        self.store = ""
        """Of the run that is alive."""
        self.lock = threading.Lock()
        self.owners: dict[str, object] = {}
        """By transactional id, who has it."""

    def append(self, records: Sequence[tuple[Record, int]], store: str) -> None:
        """Let readers see records, each in its partition; `lock` is held."""
        for record, number in records:
            self.partitions[record.topic, max(number, 0)].append(record)
            if record.topic != self.markers:
                self.seen.append(Published(store, record))


@contextmanager
def serving(topics: MemoryTopics, fate: Fate) -> Iterator[None]:
    """Give every Kafka client that a life makes its topics and its fate."""
    kinds = {
        "reader.Consumer": partial(MemoryConsumer, topics, fate),
        "outbox.Consumer": partial(MemoryConsumer, topics, fate),
        "sender.Producer": partial(MemoryProducer, topics, fate),
        "transport.AdminClient": partial(MemoryAdmin, topics, fate),
        "offsets.AdminClient": partial(MemoryAdmin, topics, fate),
    }
    with ExitStack() as patches:
        for name, value in (
            SOON | {f"c360_stream.connectors.kafka.{name}": kind for name, kind in kinds.items()}
        ).items():
            patches.enter_context(patch(name, value))
        yield


class MemoryAdmin:
    """What the flow uses of `AdminClient`."""

    def __init__(self, topics: MemoryTopics, fate: Fate, config: Mapping[str, Any]) -> None:
        self._topics = topics
        self._fate = fate

    def list_topics(self, timeout: float) -> SimpleNamespace:
        """All topics."""
        topics = {name: SimpleNamespace(partitions=dict.fromkeys(n)) for name, n in self._topics.numbers.items()}
        return SimpleNamespace(topics=topics)

    def list_offsets(
        self, asked: Mapping[TopicPartition, OffsetSpec], **options: Any
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        """Where partitions start or end; brokers that recover do not know."""
        answers = {}
        for place, which in asked.items():
            name = place.topic, place.partition
            latest = isinstance(which, type(OffsetSpec.latest()))  # type: ignore[no-untyped-call]
            known = len(self._topics.partitions[name]) if latest else 0
            answers[place] = answer = Future[ListOffsetsResultInfo]()
            answer.set_result(ListOffsetsResultInfo(UNKNOWN if self._fate.is_offset_unknown(name) else known, -1, -1))
        return answers

    def poll(self, timeout: float) -> None:
        """Nothing is heard but answers."""


class MemoryConsumer:
    """What the flow uses of `Consumer`, of one partition."""

    def __init__(self, topics: MemoryTopics, fate: Fate, config: Mapping[str, Any]) -> None:
        self._topics = topics
        self._fate = fate
        self._heed = config["error_cb"]
        self._place = TopicPartition("", 0)
        self._next = 0
        self._end_told = -1

    def assign(self, places: list[TopicPartition]) -> None:
        """Read on from an offset."""
        (self._place,) = places
        self._next, self._end_told = max(self._place.offset, 0), -1

    def consume(self, records_max: int, timeout: float) -> list[Message]:
        """The next records; behind the last one, once, that it was."""
        topic, number = self._place.topic, self._place.partition
        if not topic:
            return []
        if not self._fate.call("read" if topic != self._topics.markers else "read markers"):
            self._heed(KafkaError(KafkaError._TRANSPORT))
            return []
        records = self._topics.partitions[topic, number]
        first, self._next = self._next, min(self._next + records_max, len(records))
        found = [
            Message(topic=topic, partition=number, offset=offset, key=record.key, value=record.value)
            for offset, record in enumerate(records[first : self._next], first)
        ]
        if len(found) < records_max and self._end_told != self._next:
            self._end_told = self._next
            end = KafkaError(KafkaError._PARTITION_EOF)
            found.append(Message(topic=topic, partition=number, offset=self._next, error=end))
        return found

    def get_watermark_offsets(self, place: TopicPartition, *, cached: bool) -> tuple[int, int]:
        """Start and end."""
        return 0, len(self._topics.partitions[place.topic, place.partition])

    def close(self) -> None:
        """Nothing is held."""


class MemoryProducer:
    """What the flow uses of `Producer`: a transaction's records become visible together, or not at all.

    Others do once they are flushed, or a poll after the one that they came with. What a crash finds queued is gone.
    """

    def __init__(self, topics: MemoryTopics, fate: Fate, config: Mapping[str, Any]) -> None:
        self._topics = topics
        self._fate = fate
        self._store = topics.store
        self._name: str | None = config.get("transactional.id")
        self._queue: list[tuple[Record, int, Delivered]] = []
        self._old = 0  # how many of them were there at the last poll
        self._open: list[tuple[Record, int]] = []
        self._committed = False

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: str | bytes | None,
        partition: int,
        *,
        on_delivery: Delivered,
        headers: list[tuple[str, bytes | None]],
    ) -> None:
        """Queue."""
        self._fate.live_on("produce")
        plain = key.encode() if isinstance(key, str) else key
        self._queue.append((Record(topic, plain, value, tuple(headers)), partition, on_delivery))

    def poll(self, timeout: float) -> int:
        """Deliver what was there before."""
        if self._name is None and self._queue:
            self._fate.call("write")
            self._deliver(self._old)
            self._old = len(self._queue)
        return 0

    def flush(self, timeout: float) -> int:
        """Deliver what is queued, unless the broker is away; how many are left."""
        if self._queue and self._fate.call("flush"):
            self._deliver(len(self._queue))
        return len(self._queue)

    def _deliver(self, number: int) -> None:
        some, self._queue, self._old = self._queue[:number], self._queue[number:], 0
        records = [(record, partition) for record, partition, _ in some]
        if self._name is None:
            with self._topics.lock:
                self._fate.live_on("deliver")
                self._topics.append(records, self._store)
        else:
            self._open += records
        for record, _, delivered in some:
            delivered(None, Message(topic=record.topic, value=record.value))

    def purge(self) -> None:
        """Forget what is queued."""
        self._queue = []

    def init_transactions(self, timeout: float) -> None:
        """Shut out the producer that had the transactional id."""
        if not self._fate.call("shut out older ones"):
            raise _away()
        with self._topics.lock:
            self._topics.owners[str(self._name)] = self

    def begin_transaction(self) -> None:
        """Begin."""
        self._fate.live_on("begin a transaction")
        self._open, self._committed = [], False

    def commit_transaction(self, timeout: float) -> None:
        """Let readers see all of it. An answer that is lost is asked for again."""
        if not self._fate.call("publish, before the commit") and not self._committed:
            raise KafkaException(KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE, "away", txn_requires_abort=True))
        with self._topics.lock:  # a thread of a dead life may be as far as this when the next one begins
            self._fate.live_on("commit")
            if self._topics.owners[str(self._name)] is not self:
                raise KafkaException(KafkaError(KafkaError._FENCED, "shut out", fatal=True))
            if not self._committed:
                self._topics.append(self._open, self._store)
                self._committed = True
        if not self._fate.call("publish, after the commit"):
            raise _away()

    def abort_transaction(self, timeout: float) -> None:
        """Forget all of it."""
        self._fate.live_on("abort a transaction")
        self._open, self._queue = [], []


def _away() -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, "away", retriable=True))
