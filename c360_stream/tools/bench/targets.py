"""Where a benchmark's live run has its topics: a log directory, or a real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.settings import Settings, load_settings
from c360_stream.tools.bench.live import Event
from c360_stream.tools.bench.runs import c360
from c360_stream.tools.bench.sample import Sample

RECORDS_A_CALL = 500
WAIT_SECONDS = 0.001


class BenchTarget(Protocol):
    """Where the topics are."""

    environment: dict[str, str]
    """Settings that lead a run there."""
    name: str
    """What results call it."""

    def fill(self, sample: Sample) -> int:
        """Write a sample; the number of its events."""

    def send(self, events: Sequence[Event]) -> None:
        """Write events, for readers to have at once."""

    def scores(self) -> list[bytes]:
        """Values of the risk topic that have become readable since the last call; waits a millisecond or so."""

    def echo(self) -> list[bytes]:
        """The same for the product events that were sent: what there is of latency without the flow."""


@contextmanager
def place(
    brokers: str | None, home: Path, settings: dict[str, str], partitions: int | None = None
) -> Iterator[BenchTarget]:
    """Topics of its own at the broker that is named or else configured, if any is; else a log directory in `home`.

    `partitions` is the number of those of an input topic at the broker, if not that of `c360 setup`.

    Raises
    ------
    TransportError
        If the broker does not answer or refuses.
    """
    configured = load_settings(kafka_brokers=brokers)
    if configured.uses_kafka:
        with _topics(configured, home, settings, partitions) as topics:
            yield topics
    else:
        yield _LogDirectory(home, settings)


class _LogDirectory:
    name = "log directory"

    def __init__(self, home: Path, settings: dict[str, str]) -> None:
        self._settings = Settings.model_construct(log_dir=home / "log")
        self.environment = {"C360_LOG_DIR": str(self._settings.log_dir), **settings}
        self._files: dict[Path, BinaryIO] = {}
        self._scores = _Tail([self._settings.log_dir / self._settings.risk_topic / "0.jsonl"])
        self._echo: _Tail | None = None

    def fill(self, sample: Sample) -> int:
        return sample.write(self._settings).lines

    def send(self, events: Sequence[Event]) -> None:
        by_path: dict[Path, list[bytes]] = {}
        for event in events:
            folder = self._settings.log_dir / self._settings.input_topic(event.kind)
            by_path.setdefault(folder / f"{event.partition}.jsonl", []).append(event.line + b"\n")
        for path, lines in by_path.items():
            if path not in self._files:
                self._files[path] = path.open("ab", buffering=0)
            self._files[path].write(b"".join(lines))

    def scores(self) -> list[bytes]:
        return self._scores.lines()

    def echo(self) -> list[bytes]:
        if self._echo is None:
            folder = self._settings.log_dir / self._settings.input_topic("product")
            self._echo = _Tail(list(folder.iterdir()), at_end=True)
        return self._echo.lines()


class _Tail:
    """Whole lines that files have got since the last look."""

    def __init__(self, paths: Sequence[Path], *, at_end: bool = False) -> None:
        self._paths = paths
        self._read = {path: path.stat().st_size if at_end else 0 for path in paths}
        self._rest = dict.fromkeys(paths, b"")
        self._open: dict[Path, BinaryIO] = {}

    def lines(self) -> list[bytes]:
        found: list[bytes] = []
        for path in self._paths:
            if path not in self._open:
                if not path.exists():
                    continue
                self._open[path] = path.open("rb", buffering=0)
                self._open[path].seek(self._read[path])
            *lines, self._rest[path] = (self._rest[path] + self._open[path].read()).split(b"\n")
            found += lines
        if not found:
            time.sleep(WAIT_SECONDS)
        return found


@contextmanager
def _topics(
    configured: Settings, home: Path, settings: dict[str, str], partitions: int | None
) -> Iterator[BenchTarget]:
    """Topics that are deleted in the end."""
    from c360_stream.tools.bench.topics import (
        embedded_dsn,
        make_inputs,
        own_prefix,
        own_settings,
        removed_at_the_end,
    )

    own = own_settings(configured, own_prefix(), embedded_dsn(home))
    topics = _Kafka(own, settings)
    with removed_at_the_end(own):
        if partitions is not None:
            make_inputs(own, partitions)
        c360(["setup"], topics.environment, home)
        yield topics


class _Kafka:
    name = "Kafka"

    def __init__(self, own: Settings, settings: dict[str, str]) -> None:
        from confluent_kafka import Producer

        from c360_stream.connectors.kafka.connection import Connection, make_client
        from c360_stream.connectors.kafka.options import PRODUCER
        from c360_stream.tools.bench.topics import environment

        self._own = own
        self.environment = environment(own) | settings
        self._producer = make_client(Producer, own, Connection(own.kafka_brokers), PRODUCER | {"linger.ms": 0})
        self._scores: _Records | None = None
        self._echo: _Records | None = None

    def fill(self, sample: Sample) -> int:
        count = 0
        for kind in INPUT_KINDS:
            for partition, lines in enumerate(sample.lines(kind)):
                count += len(lines)
                for line in lines:
                    self._produce(kind, partition, None, line)
        self._producer.flush()
        return count

    def send(self, events: Sequence[Event]) -> None:
        for event in events:
            self._produce(event.kind, event.partition, event.account, event.line)
        self._producer.poll(0)

    def _produce(self, kind: InputKind, partition: int, key: str | None, line: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._own.input_topic(kind), line, key, partition)
                return
            except BufferError:
                self._producer.poll(0.1)

    def scores(self) -> list[bytes]:
        if self._scores is None:
            self._scores = _Records(self._own, self._own.risk_topic)
        return self._scores.values()

    def echo(self) -> list[bytes]:
        if self._echo is None:
            self._echo = _Records(self._own, self._own.input_topic("product"), at_end=True)
        return self._echo.values()


class _Records:
    """Values of a topic, of committed transactions alone, from its start or from now on."""

    def __init__(self, own: Settings, topic: str, *, at_end: bool = False) -> None:
        from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, TopicPartition

        from c360_stream.connectors.kafka.connection import Connection, make_client
        from c360_stream.connectors.kafka.options import CONSUMER

        options = CONSUMER | {"auto.offset.reset": "earliest", "enable.partition.eof": False}
        self._consumer = make_client(Consumer, own, Connection(own.kafka_brokers), options)
        known = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        start = OFFSET_END if at_end else OFFSET_BEGINNING
        self._consumer.assign([TopicPartition(topic, partition, start) for partition in known])

    def values(self) -> list[bytes]:
        messages = self._consumer.consume(RECORDS_A_CALL, WAIT_SECONDS)
        return [cast(bytes, message.value()) for message in messages if message.error() is None and message.value()]
