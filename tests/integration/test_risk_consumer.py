"""The example of `docs/consumers.md`: its table is the current view, and it acts once on each change of tier."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from confluent_kafka import Message, Producer

from c360_stream.connectors.kafka.topics import setup_topics
from c360_stream.contracts.records import rfc3339_ms, score_id
from c360_stream.settings import Settings
from tests.contracts.test_transports import DEADLINE_SECONDS
from tests.integration.test_flow_on_kafka import c360
from tests.integration.test_redrive_real import content

pytestmark = pytest.mark.kafka
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "risk_consumer.py"
TIERS = ("low", "medium", "high", "critical")
HOUR_US = 3_600_000_000
SEED = 5


class View(NamedTuple):
    """What the consumer should hold: account -> (score, tier), and its tasks: (score, account, before, tier)."""

    accounts: dict[str, tuple[str, str]]
    tasks: set[tuple[str, str, str, str]]


def expected(messages: list[Message]) -> View:
    """By the topic alone: the first of each score counts; changes are between neighbours of an account."""
    accounts: dict[str, tuple[str, str]] = {}
    tasks = set()
    seen = set()
    for message in sorted(messages, key=lambda each: (each.partition() or 0, each.offset() or 0)):
        account, value = (message.key() or b"").decode(), message.value()
        if value is None:
            accounts.pop(account, None)
            continue
        score = json.loads(value)
        if score["score_id"] in seen:
            continue
        seen.add(score["score_id"])
        before = accounts.get(account, ("", score["tier"]))[1]
        accounts[account] = (score["score_id"], score["tier"])
        if before != score["tier"]:
            tasks.add((score["score_id"], account, before, score["tier"]))
    return View(accounts, tasks)


def held(database: Path) -> View:
    """What the consumer holds."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            accounts = {
                row[0]: row[1:] for row in connection.execute("SELECT account_id, score_id, tier FROM accounts")
            }
            tasks = connection.execute("SELECT score_id, account_id, before, tier FROM tasks").fetchall()
        except sqlite3.OperationalError:  # there is no table yet
            return View({}, set())
    assert len(tasks) == len(set(tasks))
    return View(accounts, set(tasks))


@contextmanager
def consumer(settings: Settings, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the example; nothing of it is left afterwards."""
    env = {
        "RISK_BROKERS": settings.kafka_brokers,
        "RISK_TOPIC": settings.risk_topic,
        "RISK_GROUP": settings.topic_prefix,
    }
    with (folder / "out.txt").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLE)], env={**os.environ, **env}, cwd=folder, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def follow_to_the_end(settings: Settings, folder: Path) -> View:
    """Run the consumer until it holds what the topic says; it must end when asked to."""
    wanted = expected(content(settings, settings.risk_topic))
    deadline = time.monotonic() + 3 * DEADLINE_SECONDS
    with consumer(settings, folder) as process:
        while not (folder / "risk.sqlite").is_file() or held(folder / "risk.sqlite") != wanted:
            assert time.monotonic() < deadline, (folder / "out.txt").read_text()
            assert process.poll() is None, (folder / "out.txt").read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0, (folder / "out.txt").read_text()
    assert held(folder / "risk.sqlite") == wanted
    return wanted


def score(account: str, hour: int, tier: str) -> dict[str, Any]:
    """As much of a score as readers may rely on, and a field of tomorrow."""
    us = hour * HOUR_US
    return {
        "score_id": score_id(account, us, "event"),
        "account_id": account,
        "as_of": rfc3339_ms(us),
        "risk": 0.1 + TIERS.index(tier) / 5,
        "tier": tier,
        "previous_tier": None,
        "mrr_at_risk_cents": None if tier == "low" else 100,
        "reasons": [{"feature": "nps_score", "value": 3.0, "contribution": 0.2, "text": "NPS of 3"}],
        "of_tomorrow": {"a": [1]},
    }


class History:
    """Writes a random history: scores, tombstones, and what a crash repeats."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.risk_topic
        self._random = random.Random(SEED)
        options = {"enable.idempotence": True, "linger.ms": 1, "log_level": 2}
        self._producer = Producer({"bootstrap.servers": settings.kafka_brokers, **options})
        self._hour = 0
        self._since_snapshot: list[tuple[str, bytes]] = []

    def go_on(self, records: int) -> None:
        """Write some more."""
        for _ in range(records):
            self._hour += 1
            account = f"acct-{self._random.randrange(25)}"
            draw = self._random.random()
            if draw < 0.05:  # exact: what came before it is never repeated
                self._since_snapshot = []
                self._write(account, None)
            elif draw < 0.1:
                for key, value in self._since_snapshot:
                    self._write(key, value)
            else:
                value = json.dumps(score(account, self._hour, self._random.choice(TIERS))).encode()
                self._since_snapshot.append((account, value))
                self._write(account, value)
        assert self._producer.flush(DEADLINE_SECONDS) == 0

    def _write(self, key: str, value: bytes | None) -> None:
        self._producer.produce(self._topic, value, key)
        self._producer.poll(0)


@pytest.fixture
def settings(kafka_brokers: str) -> Settings:
    """Settings whose topics are there, and no other test's."""
    made = Settings(kafka_brokers=kafka_brokers, topic_prefix=f"t-{uuid4().hex}")
    setup_topics(made)
    return made


def test_kills_and_repetitions_change_nothing(settings: Settings, tmp_path: Path) -> None:
    history = History(settings)
    chance = random.Random(SEED)
    for _ in range(4):
        before = held(tmp_path / "risk.sqlite") if (tmp_path / "risk.sqlite").is_file() else None
        with consumer(settings, tmp_path) as process:
            deadline = time.monotonic() + 3 * DEADLINE_SECONDS
            while not (tmp_path / "risk.sqlite").is_file() or held(tmp_path / "risk.sqlite") == before:
                assert time.monotonic() < deadline, (tmp_path / "out.txt").read_text()
                history.go_on(chance.randrange(1, 60))
            history.go_on(chance.randrange(400))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    found = follow_to_the_end(settings, tmp_path)
    assert len(found.tasks) > 100, f"seed {SEED}"
    history.go_on(50)
    assert follow_to_the_end(settings, tmp_path).tasks > found.tasks


@pytest.mark.slow
def test_it_follows_a_real_flow(settings: Settings, tmp_path: Path) -> None:
    env = {
        "C360_KAFKA_BROKERS": settings.kafka_brokers,
        "C360_TOPIC_PREFIX": settings.topic_prefix,
        "C360_CLICKHOUSE_DSN": f"chdb://{tmp_path}/tables/c360",
    }
    simulated = ("--accounts", "30", "--days", "60", "--seed", str(SEED), "--kafka", settings.kafka_brokers)
    c360("setup", env=env, cwd=tmp_path)
    c360("simulate", *simulated, env=env, cwd=tmp_path)
    c360("run", "--until-end", env=env, cwd=tmp_path)
    found = follow_to_the_end(settings, tmp_path)
    assert found.accounts
    assert found.tasks
    assert any(message.value() is None for message in content(settings, settings.risk_topic)), "nobody cancelled"
