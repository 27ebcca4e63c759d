"""The same flow on a real Kafka: what it scores, publishes and refuses is what it does from a log directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from c360_stream.connectors.kafka import KafkaTransport
from c360_stream.settings import Settings
from tests.contracts.test_transports import DEADLINE_SECONDS
from tests.reference.check import Tables, read_tables
from tests.reference.flow_run import SETTINGS, FlowRun
from tests.reference.log import Mess, WrittenLog, topic_name
from tests.reference.oracle import TOPICS
from tests.reference.tables import TableRow
from tests.reference.worlds import WorldSpec, write_world

pytestmark = pytest.mark.kafka
SEED = 11
PARTITIONS = 4


def c360(*arguments: str, env: dict[str, str], cwd: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
    done = subprocess.run(
        [sys.executable, "-m", "c360_stream", *arguments],
        env={**inherited, **SETTINGS, **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS * 10,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def produce(world: WrittenLog, brokers: str, prefix: str) -> None:
    """Every line of the log, rubbish included, to the partition of its file."""
    producer = Producer({"bootstrap.servers": brokers, "acks": "all"})
    for topic in TOPICS:
        for file in (world.path / topic_name(topic)).glob("*.jsonl"):
            for line in file.read_bytes().split(b"\n")[:-1]:
                producer.produce(f"{prefix}.{topic}.events.v1", line, key=b"original", partition=int(file.stem))
                producer.poll(0)
    assert producer.flush(DEADLINE_SECONDS) == 0


def ticks(tables: Tables) -> dict[str, TableRow]:
    return {row["score_id"]: row for row in tables["risk_scores"] if row["trigger"] == "tick"}


def by_account(rows: list[TableRow]) -> dict[tuple[str, str], TableRow]:
    return {(row["account_id"], row["as_of"]): row for row in rows}


def test_kafka_and_a_log_directory_give_the_same_scores(kafka_brokers: str, tmp_path: Path) -> None:
    mess = Mess(seed=SEED, partitions=dict.fromkeys(TOPICS, PARTITIONS), gzip=())
    world = write_world(WorldSpec(seed=SEED, accounts=16, days=90), tmp_path / "world", mess)
    (tmp_path / "from-log").mkdir()
    from_log = FlowRun(world.path, tmp_path / "from-log")
    from_log.finish()
    prefix = f"t-{uuid4().hex}"
    dsn = f"chdb://{tmp_path / 'tables' / 'c360'}"
    env = {"C360_KAFKA_BROKERS": kafka_brokers, "C360_TOPIC_PREFIX": prefix, "C360_CLICKHOUSE_DSN": dsn}

    c360("setup", env=env, cwd=tmp_path)
    produce(world, kafka_brokers, prefix)
    c360("run", "--until-end", env=env, cwd=tmp_path)

    expected, found = from_log.tables(), read_tables(dsn)
    assert ticks(found) == ticks(expected)
    for table in ("account_features", "outcomes"):
        assert by_account(found[table]) == by_account(expected[table])
    refused = {(row["topic"].removeprefix(prefix), row["partition"], row["offset"]) for row in found["dead_letters"]}
    assert refused == {
        (row["topic"].removeprefix("c360"), row["partition"], row["offset"]) for row in expected["dead_letters"]
    }
    settings = Settings(kafka_brokers=kafka_brokers, topic_prefix=prefix)
    assert published(settings, settings.risk_topic) >= ticks(found).keys()
    letters = KafkaTransport(settings).reader(settings.dead_letter_topic, 0, None, live=False)
    letter = next(headers for headers in (letters.read(1).headers or ()) if headers)
    assert dict(letter)["__connect.errors.stage"] in (b"decode", b"size")


def published(settings: Settings, topic: str) -> set[str]:
    """Ids of the scores on the risk topic, all partitions."""
    transport = KafkaTransport(settings)
    ids = set()
    for partition in transport.partitions(topic):
        reader = transport.reader(topic, partition, None, live=False)
        while True:
            values = reader.read(1000).values
            if not values and reader.at_end:
                break
            ids |= {json.loads(value)["score_id"] for value in values if value}
        reader.close()
    transport.close()
    return ids
