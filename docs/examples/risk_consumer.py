"""Keeps a table of every account's current risk in SQLite, and acts once on each change of tier.

Needs `pip install confluent-kafka`. Settings come from the environment:

RISK_BROKERS             host:port, several with commas (required)
RISK_TOPIC               c360.risk.scores.v1
RISK_DATABASE            risk.sqlite: the table, what was done, and the positions in the topic
RISK_GROUP               risk-consumer: one group a purpose, one process a group and database
RISK_SECURITY_PROTOCOL   PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
RISK_SASL_MECHANISM, RISK_SASL_USERNAME, RISK_SASL_PASSWORD
RISK_SSL_CA_LOCATION, RISK_SSL_CERTIFICATE_LOCATION, RISK_SSL_KEY_LOCATION, RISK_SSL_KEY_PASSWORD
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

RECORDS_MAX = 500
WAIT_SECONDS = 0.5
TABLES = """
CREATE TABLE IF NOT EXISTS accounts (
    account_id TEXT PRIMARY KEY, risk REAL NOT NULL, tier TEXT NOT NULL, mrr_at_risk_cents INTEGER, reason TEXT,
    mitigation TEXT, as_of TEXT NOT NULL, score_id TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS tasks (
    score_id TEXT PRIMARY KEY, account_id TEXT NOT NULL, before TEXT NOT NULL, tier TEXT NOT NULL, as_of TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS positions (topic TEXT, part INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, part));
"""
log = logging.getLogger("risk_consumer")


def take(database: sqlite3.Connection, message: Message) -> None:
    """Take one record of the topic into the tables."""
    account_id = (message.key() or b"").decode()
    value = message.value()
    if value is None:  # a tombstone: the account is gone, and what we hold of it has to go
        database.execute("DELETE FROM accounts WHERE account_id = ?", (account_id,))
        return
    score = json.loads(value)  # fields that we do not know are simply not looked at
    known = database.execute(
        "SELECT tier, as_of, score_id FROM accounts WHERE account_id = ?", (account_id,)
    ).fetchone()
    if known is not None:
        tier, as_of, score_id = known
        # Times have one form, UTC with milliseconds, so they compare as text. A crash upstream may repeat a score.
        if score["score_id"] == score_id or score["as_of"] < as_of:
            return
        # Against what we hold, not against `previous_tier`: compaction may have removed what came between.
        if score["tier"] != tier:
            act(database, score, tier)
    # What raises the risk most, and what lowers it most; the latter field is absent in records of older releases.
    why = (score[name][0]["text"] if score.get(name) else None for name in ("reasons", "mitigations"))
    database.execute(
        "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (account_id, *(score[name] for name in ("risk", "tier", "mrr_at_risk_cents")), *why, *_which(score)),
    )


def act(database: sqlite3.Connection, score: dict[str, Any], before: str) -> None:
    """React to a change of tier: here a task for somebody, in the transaction that also holds the position.

    To call another system instead, let a second process work the tasks off: call with the `score_id` as the
    idempotency key, then mark the task as done. A call made here would be repeated after a crash.
    """
    as_of, score_id = _which(score)
    task = (score_id, score["account_id"], before, score["tier"], as_of)
    database.execute("INSERT OR IGNORE INTO tasks VALUES (?, ?, ?, ?, ?)", task)


def _which(score: dict[str, Any]) -> tuple[str, str]:
    return score["as_of"], score["score_id"]


def take_all(database: sqlite3.Connection, messages: list[Message]) -> list[tuple[str, int, int]]:
    """Take messages into the tables; topic, partition and next offset of each partition that moved on."""
    next_of: dict[tuple[str, int], int] = {}
    for message in messages:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        if topic is None or partition is None or offset is None:
            continue
        if error is not None:
            log.info("%s[%s]: the table is current", topic, partition)
            continue
        take(database, message)
        next_of[topic, partition] = offset + 1
    return [(*place, following) for place, following in next_of.items()]


def run(consumer: Consumer, database: sqlite3.Connection, topic: str, stopping: list[int]) -> None:
    """Read until asked to stop. Tables and positions change together; Kafka hears of the positions afterwards."""

    def resume(_: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            where = "SELECT next FROM positions WHERE topic = ? AND part = ?"
            known = database.execute(where, (each.topic, each.partition)).fetchone()
            if known is not None:
                each.offset = known[0]
        consumer.assign(partitions)

    consumer.subscribe([topic], on_assign=resume)
    while not stopping:
        messages = consumer.consume(RECORDS_MAX, WAIT_SECONDS)
        with database:  # one transaction
            positions = take_all(database, messages)
            database.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", positions)
        if positions:
            try:
                consumer.commit(offsets=[TopicPartition(*place) for place in positions], asynchronous=False)
            except KafkaException as error:  # it is for those who watch the group's lag: we go by the table
                log.warning("offsets not committed: %s", error)


def configuration(env: dict[str, str]) -> dict[str, Any]:
    """The consumer's configuration."""
    group = env.get("RISK_GROUP", "risk-consumer")
    secured = {
        name.lower().replace("_", "."): value
        for name in (
            *("SECURITY_PROTOCOL", "SASL_MECHANISM", "SASL_USERNAME", "SASL_PASSWORD", "SSL_CA_LOCATION"),
            *("SSL_CERTIFICATE_LOCATION", "SSL_KEY_LOCATION", "SSL_KEY_PASSWORD"),
        )
        if (value := env.get(f"RISK_{name}"))
    }
    return secured | {
        "bootstrap.servers": env["RISK_BROKERS"],
        "group.id": group,
        "group.instance.id": f"{group}-1",  # started again it has its partitions at once; of two the older one ends
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",  # the newest record of every account is there: the whole current view
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }


def main() -> None:
    """Run until SIGTERM or Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda heard, _: stopping.append(heard))
    env = dict(os.environ)
    with closing(sqlite3.connect(env.get("RISK_DATABASE", "risk.sqlite"))) as database:
        database.executescript(TABLES)
        consumer = Consumer(configuration(env))
        try:
            run(consumer, database, env.get("RISK_TOPIC", "c360.risk.scores.v1"), stopping)
        finally:
            consumer.close()


if __name__ == "__main__":
    main()
