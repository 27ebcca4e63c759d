"""Benchmark `kafka`: from a real broker's topics to its topics and to ClickHouse, beside a bare consumer."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from c360_stream.commands.bench.replay import results
from c360_stream.commands.bench.result import Result, Timed, timed
from c360_stream.commands.bench.runs import c360, run_to_end
from c360_stream.commands.bench.sample import Sample, SampleSpec
from c360_stream.connectors.kafka import CHUNK_RECORDS, POLL_SECONDS
from c360_stream.connectors.kafka_client import CONSUMER, Connection, Patience, make_client, open_sender
from c360_stream.connectors.ports import OutRecord, wait_patiently
from c360_stream.errors import C360Error, ConfigurationError
from c360_stream.settings import ENV_PREFIX, INPUT_KINDS, InputKind, Settings, load_settings

PRODUCED_AT_A_TIME = 10_000
FLOOR_SECONDS_MAX = 600.0


def measure(spec: SampleSpec, processes: int, brokers: str | None, clickhouse_dsn: str | None) -> Iterator[Result]:
    """Fill topics of its own, read them bare, run the flow on them, read them bare again, and delete them.

    The bare consumer makes the calls that the flow's readers make, with their settings. The faster of its two passes
    counts: the broker's caches and the rest of the machine favour one or the other.

    Raises
    ------
    ConfigurationError
        If no broker is named.
    C360Error
        If the run fails.
    """
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as home:
        settings = _settings(brokers, clickhouse_dsn, Path(home))
        environment = _environment(settings)
        with _removed_at_the_end(settings):
            c360(["setup"], environment, Path(home))
            events, size = _produce(Sample(spec), settings)
            bare = [timed(_consume, settings, events, len)]
            looking = [timed(_consume, settings, events, _look)]
            by_call = timed(_consume, settings, events, len, 1)
            run = run_to_end(environment, Path(home), processes, events)
            bare.append(timed(_consume, settings, events, len))
            looking.append(timed(_consume, settings, events, _look))
    parameters = {
        "accounts": spec.accounts,
        "events": events,
        "product_events": spec.product_events,
        "bytes_per_event": round(size / events),
        "days": spec.days,
        "partitions": spec.partitions,
        "processes": processes,
        "records_a_call": CHUNK_RECORDS,
        "tables": "ClickHouse" if clickhouse_dsn else "chDB",
        "scores": run.scores,
        "seed": spec.seed,
    }
    yield from results("kafka", run, _quickest(bare), "a bare consume() loop over the same topics", parameters)
    for name, floor, floor_is in (
        ("kafka_by_message", _quickest(looking), "such a loop that asks each message for its error and its value"),
        ("kafka_by_call", by_call, "such a loop with the default of consume(), one message a call"),
    ):
        value, least = run.accepted / run.flow, run.accepted / floor.wall
        yield Result(name, "events per second", value, least, floor_is, parameters, run.seconds())


def _quickest(passes: list[Timed[int]]) -> Timed[int]:
    return min(passes, key=lambda one: one.wall)


def _settings(brokers: str | None, clickhouse_dsn: str | None, home: Path) -> Settings:
    """The defaults with this machine's way to the broker, and a prefix and a database that nobody else has."""
    configured = load_settings(kafka_brokers=brokers)
    if not configured.uses_kafka:
        raise ConfigurationError(
            "the benchmark kafka needs a broker", "name it with --brokers or C360_KAFKA_BROKERS, or: make bench-kafka"
        )
    own = f"c360-bench-{uuid4().hex[:12]}"
    dsn = f"chdb://{home}/tables/c360"
    if clickhouse_dsn is not None:
        if not clickhouse_dsn.startswith(("clickhouse://", "clickhouses://")):
            raise ConfigurationError("--clickhouse-dsn names no server", "write clickhouse://user:password@host:8123")
        dsn = urlsplit(clickhouse_dsn)._replace(path=f"/{own.replace('-', '_')}").geturl()
    way = {name: getattr(configured, name) for name in Settings.model_fields if name.startswith("kafka_")}
    return Settings.model_construct(**way, topic_prefix=own, clickhouse_dsn=SecretStr(dsn))


def _environment(settings: Settings) -> dict[str, str]:
    """What makes another process find the same broker, topics and tables."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    plain = {name: v.get_secret_value() if isinstance(v, SecretStr) else v for name, v in given.items()}
    return {f"{ENV_PREFIX}{name.upper()}": value for name, value in plain.items()}


@contextmanager
def _removed_at_the_end(settings: Settings) -> Iterator[None]:
    """Delete the topics, and a server's database, whatever happens."""
    try:
        yield
    except BaseException:
        with suppress(C360Error):  # what has gone wrong comes first
            _delete_topics(settings)
        raise
    else:
        _delete_topics(settings)
    finally:
        if not settings.embedded_tables:
            from c360_stream.connectors.clickhouse import connect

            with closing(connect(settings.dsn)) as tables:
                database = {"database": urlsplit(settings.dsn).path.strip("/")}
                tables.command("DROP DATABASE IF EXISTS {database:Identifier}", database)


def _delete_topics(settings: Settings) -> None:
    connection = Connection(settings.kafka_brokers)
    admin = make_client(AdminClient, settings, connection)
    try:
        names = [name for name in admin.list_topics(timeout=10).topics if name.startswith(f"{settings.topic_prefix}.")]
        for deleted in admin.delete_topics(names).values() if names else ():
            deleted.result()
    except KafkaException as error:
        raise connection.error(f"cannot delete the topics {settings.topic_prefix}.*", error.args[0]) from error


def _produce(sample: Sample, settings: Settings) -> tuple[int, int]:
    """Write the sample, keyed by account as its producers do; give the number of records and bytes."""
    connection = Connection(settings.kafka_brokers)
    sender = open_sender(settings, connection)
    patience = Patience(connection, "writing the sample", settings.outage_seconds_max, wait_patiently)
    count = size = 0
    for kind in INPUT_KINDS:
        topic = settings.input_topic(kind)
        for partition, lines in enumerate(sample.lines(kind)):
            for start in range(0, len(lines), PRODUCED_AT_A_TIME):
                part = lines[start : start + PRODUCED_AT_A_TIME]
                sender.send([(topic, OutRecord(_account(line), line)) for line in part], patience, partition)
            count += len(lines)
            size += sum(map(len, lines))
    sender.flush(patience)
    sender.close()
    return count, size


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
