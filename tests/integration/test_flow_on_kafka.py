"""The same flow on a real Kafka: what it scores, publishes and refuses is what it does from a log directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.kafka.transport import KafkaTransport
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
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    for topic in TOPICS:
        for file in (world.path / topic_name(topic)).glob("*.jsonl"):
            for line in file.read_bytes().split(b"\n")[:-1]:
                producer.produce(f"{prefix}.{topic}.events.v1", line, key=b"original", partition=int(file.stem))
                producer.poll(0)
    assert producer.flush(DEADLINE_SECONDS) == 0


def tombstone(brokers: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    producer.produce(topic, None, b"gone", partition=0, headers=[("kind", b"x")])
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
    tombstone(kafka_brokers, f"{prefix}.product.events.v1")
    c360("run", "--until-end", env=env, cwd=tmp_path)

    expected, found = from_log.tables(), read_tables(dsn)
    assert ticks(found) == ticks(expected)
    for table in ("account_features", "outcomes"):
        assert by_account(found[table]) == by_account(expected[table])
    refused = {(row["topic"].removeprefix(prefix), row["partition"], row["offset"]) for row in found["dead_letters"]}
    (gone,) = refused - {
        (row["topic"].removeprefix("c360"), row["partition"], row["offset"]) for row in expected["dead_letters"]
    }
    assert len(refused) == len(expected["dead_letters"]) + 1
    with closing(connect(dsn)) as store:
        asked = "SELECT value IS NULL AS empty, key, headers FROM dead_letters WHERE key = 'gone'"
        assert store.query(asked) == [{"empty": 1, "key": "gone", "headers": {"kind": "x"}}]
    assert gone[:2] == (".product.events.v1", 0)
    settings = Settings(kafka_brokers=kafka_brokers, topic_prefix=prefix)
    scores = [json.loads(value) for value, _ in records(settings, settings.risk_topic) if value]
    assert {score["score_id"] for score in scores} >= ticks(found).keys()
    letters = records(settings, settings.dead_letter_topic)
    assert len(letters) == len(refused)
    assert {header["__connect.errors.stage"] for _, header in letters} <= {b"decode", b"size"}
    (own,) = [header for value, header in letters if "kind" in header]
    assert own["c360.tombstone"] == b"true", "a reader's mark: the dead letter is a tombstone itself"
    lines = {line for file in world.path.rglob("*.jsonl") for line in file.read_bytes().split(b"\n")}
    assert {value for value, _ in letters} <= lines, "a dead letter is the original, unchanged"


def records(settings: Settings, topic: str) -> list[tuple[bytes, dict[str, bytes | None]]]:
    """Values and headers of a topic, all partitions."""
    transport = KafkaTransport(settings)
    found: list[tuple[bytes, dict[str, bytes | None]]] = []
    for partition in transport.partitions(topic):
        reader = transport.reader(topic, partition, None, live=False)
        while True:
            batch = reader.read(1000)
            headers = batch.headers or [()] * len(batch.values)
            found += [(value, dict(of or ())) for value, of in zip(batch.values, headers, strict=True)]
            if not batch.values and reader.at_end:
                break
        reader.close()
    transport.close()
    return found
