"""Benchmark `kafka`: from a real broker's topics to its topics and to ClickHouse, beside a bare consumer."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message
from confluent_kafka import TopicPartition as Partition
from pydantic import SecretStr

from c360_stream.connectors.kafka.connection import Connection, make_client
from c360_stream.connectors.kafka.options import CONSUMER
from c360_stream.connectors.kafka.patience import KafkaPatience
from c360_stream.connectors.kafka.reader import CHUNK_RECORDS, POLL_SECONDS
from c360_stream.connectors.kafka.sender import open_sender
from c360_stream.connectors.ports import OutRecord, wait_patiently
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.errors import C360Error, ConfigurationError
from c360_stream.settings import Settings, load_settings
from c360_stream.tools.bench.replay import against, results
from c360_stream.tools.bench.result import Result, Timed, timed
from c360_stream.tools.bench.runs import Run, c360, run_to_end
from c360_stream.tools.bench.sample import NEXT_TO_NOTHING, Counts, Sample, SampleSpec
from c360_stream.tools.bench.topics import (
    embedded_dsn,
    environment,
    make_inputs,
    own_prefix,
    own_settings,
    removed_at_the_end,
)

PRODUCED_AT_A_TIME = 10_000
FLOOR_SECONDS_MAX = 600.0


def measure(spec: SampleSpec, processes_max: int, brokers: str | None, clickhouse_dsn: str | None) -> Iterator[Result]:
    """Fill topics of its own, read them bare, run the flow on them, read them bare again, and delete them.

    The flow runs with a recovery directory, over 1 to `processes_max` processes, and over one without; each has a copy
    of the topics. The bare consumer makes the calls that the flow's readers make, with their settings. The faster of
    its two passes counts: the broker's caches and the rest of the machine favour one or the other.

    Raises
    ------
    ConfigurationError
        If no broker is named.
    C360Error
        If the run fails.
    """
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        home = Path(folder)
        with _filled(Sample(NEXT_TO_NOTHING), brokers, clickhouse_dsn, home) as (own, counts):
            idle = {number: _run(own, home, number, counts) for number in range(1, processes_max + 1)}
            idle[0] = _run(own, home, 1, counts, recovery=False)
        with _filled(Sample(spec), brokers, clickhouse_dsn, home) as (own, counts):
            bare = [timed(_consume, own, counts.lines, len)]
            looking = [timed(_consume, own, counts.lines, _look)]
            by_call = timed(_consume, own, counts.lines, len, 1)
            runs = {number: _run(own, home, number, counts) for number in range(1, processes_max + 1)}
            runs[0] = _run(own, home, 1, counts, recovery=False)
            bare.append(timed(_consume, own, counts.lines, len))
            looking.append(timed(_consume, own, counts.lines, _look))
    runs = {number: run.started_as(idle[number]) for number, run in runs.items()}
    parameters = {
        **spec.parameters(counts),
        "processes": 1,
        "recovery": True,
        "records_a_call": CHUNK_RECORDS,
        "tables": "ClickHouse" if clickhouse_dsn else "chDB",
        "scores": runs[1].scores,
        "peak_bytes": runs[1].peak_bytes,
    }
    floor_is = "a bare consume() loop over the same topics"
    yield from results("kafka", runs[1], _quickest(bare), floor_is, parameters)
    for name, floor, floor_is in (
        ("kafka_by_message", _quickest(looking), "such a loop that asks each message for its error and its value"),
        ("kafka_by_call", by_call, "such a loop with the default of consume(), one message a call"),
    ):
        yield from results(name, runs[1], floor, floor_is, parameters, suffixes=[""])
    yield against("kafka_without_recovery", runs[0], runs[1], parameters | {"recovery": False})
    for number in range(2, processes_max + 1):
        parameters = parameters | {"processes": number, "peak_bytes": runs[number].peak_bytes}
        floor_is = "the same with one process"
        one = Timed(None, runs[1].flow, runs[1].cpu)
        yield from results(f"kafka_{number}", runs[number], one, floor_is, parameters, suffixes=["", "_cpu"])


@contextmanager
def _filled(
    sample: Sample, brokers: str | None, clickhouse_dsn: str | None, home: Path
) -> Iterator[tuple[Settings, Counts]]:
    """Topics of a sample, to be deleted with all that begin like them."""
    settings = _settings(brokers, clickhouse_dsn, home)
    with removed_at_the_end(settings):
        make_inputs(settings, sample.spec.partitions)
        yield settings, _produce(sample, settings)


def _run(own: Settings, home: Path, processes: int, counts: Counts, *, recovery: bool = True) -> Run:
    """Run the flow on input topics, with output topics, tables and a recovery directory that are new."""
    name = f"{processes}{'' if recovery else '-without'}"
    dsn = embedded_dsn(home / name) if own.embedded_tables else f"{own.dsn}_{name.replace('-', '_')}"
    to = {"topic_prefix": f"{own.topic_prefix}-{name}", "clickhouse_dsn": SecretStr(dsn)}
    settings = own.model_copy(update={"input_prefix": own.topic_prefix, **to})
    (home / name).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder, _database_removed_at_the_end(settings):
        c360(["setup"], environment(settings), home)
        kept = Path(folder) / "recovery" if recovery else None
        return run_to_end(environment(settings), Path(folder), processes, counts.accepted, recovery=kept)


def _quickest(passes: list[Timed[int]]) -> Timed[int]:
    return min(passes, key=lambda one: one.wall)


def _settings(brokers: str | None, clickhouse_dsn: str | None, home: Path) -> Settings:
    """The defaults with this machine's way to the broker, and a prefix and a database that nobody else has."""
    configured = load_settings(kafka_brokers=brokers)
    if not configured.uses_kafka:
        raise ConfigurationError(
            "the benchmark kafka needs a broker", "name it with --brokers or C360_KAFKA_BROKERS, or: make bench-kafka"
        )
    own = own_prefix()
    dsn = embedded_dsn(home)
    if clickhouse_dsn is not None:
        if not clickhouse_dsn.startswith(("clickhouse://", "clickhouses://")):
            raise ConfigurationError("--clickhouse-dsn names no server", "write clickhouse://user:password@host:8123")
        dsn = urlsplit(clickhouse_dsn)._replace(path=f"/{own.replace('-', '_')}").geturl()
    return own_settings(configured, own, dsn)


@contextmanager
def _database_removed_at_the_end(settings: Settings) -> Iterator[None]:
    """Drop a server's database, whatever happens."""
    try:
        yield
    finally:
        if not settings.embedded_tables:
            from c360_stream.connectors.clickhouse.connection import connect

            with closing(connect(settings.dsn)) as tables:
                database = {"database": urlsplit(settings.dsn).path.strip("/")}
                tables.command("DROP DATABASE IF EXISTS {database:Identifier}", database)


def _produce(sample: Sample, settings: Settings) -> Counts:
    """Write the sample, keyed by account as its producers do; give what it came to."""
    connection = Connection(settings.kafka_brokers)
    sender = open_sender(settings, connection)
    patience = KafkaPatience(connection, "writing the sample", settings.outage_seconds_max, wait_patiently)
    counts = Counts()
    for kind in INPUT_KINDS:
        topic = settings.input_topic(kind)
        drawn = sample.drawn(kind)
        for partition, lines in enumerate(drawn.by_partition):
            for start in range(0, len(lines), PRODUCED_AT_A_TIME):
                part = lines[start : start + PRODUCED_AT_A_TIME]
                sender.send([(topic, OutRecord(_account(line), line)) for line in part], patience, partition)
        counts = counts.plus(drawn.counts)
    sender.flush(patience)
    sender.close()
    return counts


def _account(line: bytes) -> bytes:
    return line.split(b'"', 8)[7]


def _consume(
    settings: Settings, events: int, take: Callable[[list[Message]], int], messages_a_call: int = CHUNK_RECORDS
) -> int:
    """Read all partitions of the input topics with one consumer; `take` counts what a call has given."""
    kinds: tuple[InputKind, ...] = INPUT_KINDS
    connection = Connection(settings.kafka_brokers)
    consumer = make_client(Consumer, settings, connection, CONSUMER)
    known = consumer.list_topics(timeout=10).topics
    topics = [settings.input_topic(kind) for kind in kinds]
    consumer.assign([Partition(name, number, OFFSET_BEGINNING) for name in topics for number in known[name].partitions])
    taken = 0
    deadline = time.monotonic() + FLOOR_SECONDS_MAX
    while taken < events:
        taken += take(consumer.consume(messages_a_call, POLL_SECONDS))
        if time.monotonic() > deadline:
            raise C360Error(f"a bare consumer took {taken:,} of {events:,} records", "see to the broker")
    consumer.close()
    return taken


def _look(messages: list[Message]) -> int:
    count = 0
    for message in messages:
        if message.error() is None and message.value() is not None:
            count += 1
    return count
