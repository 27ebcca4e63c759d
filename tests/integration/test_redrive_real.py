"""`c360 redrive` on a real broker: each dead letter once, unchanged, to where it came from, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
from click.testing import CliRunner
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer
from confluent_kafka import TopicPartition as Partition
from msgspec.structs import replace

from c360_stream.cli.main import cli
from c360_stream.connectors.kafka.redrive import RedriveOffset, Redriver
from c360_stream.connectors.kafka.topics import setup_topics
from c360_stream.connectors.ports import TRUNCATED, Headers, OutRecord
from c360_stream.contracts.records import DeadLetter
from c360_stream.errors import TransportError
from c360_stream.operators.rows import TopicRecords, dead_letter_outputs
from c360_stream.settings import Settings
from tests.contracts.test_transports import DEADLINE_SECONDS

pytestmark = pytest.mark.kafka
MANY = 6_000
ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(kafka_brokers: str) -> Settings:
    """Settings whose topics are there, and no other test's."""
    made = Settings(kafka_brokers=kafka_brokers, topic_prefix=f"t-{uuid4().hex}")
    setup_topics(made)
    return made


def letter(topic: str, number: int, *, stage: str = "decode", partition: int = 2, headers: Headers = ()) -> DeadLetter:
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=number,
        stage=stage,
        exception_class="Refused",
        exception_message="Object missing required field `occurred_at`",
        key=b"acct-%d" % (number % 7),
        value=b'{"n":%d}' % number,
        headers=list(headers),
        refused_us=1_741_132_800_000_000,
    )


def post(settings: Settings, letters: Sequence[DeadLetter]) -> None:
    """Write dead letters as the flow does."""
    producer = Producer({"bootstrap.servers": settings.kafka_brokers, "enable.idempotence": True})
    for each in letters:
        (records,) = [out for out in dead_letter_outputs(settings, [each]) if isinstance(out, TopicRecords)]
        (record,) = records.records
        headers = cast("list[tuple[str, str | bytes | None]]", list(record.headers))
        producer.produce(records.topic, record.value, record.key, headers=headers)
        producer.poll(0)
    assert producer.flush(DEADLINE_SECONDS) == 0


def content(settings: Settings, topic: str) -> list[Message]:
    """All committed records of a topic."""
    options = {"group.id": "reader", "enable.partition.eof": True, "isolation.level": "read_committed"}
    consumer = Consumer({"bootstrap.servers": settings.kafka_brokers, **options})
    consumer.assign([Partition(topic, number, OFFSET_BEGINNING) for number in range(4)])
    found: list[Message] = []
    ended: set[int | None] = set()
    deadline = time.monotonic() + 3 * DEADLINE_SECONDS
    while len(ended) < 4:
        assert time.monotonic() < deadline, "the end of the topic never came"
        for message in consumer.consume(1000, 0.1):
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
    consumer.close()
    return found


def environment(settings: Settings) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
    return {
        **inherited,
        "C360_KAFKA_BROKERS": settings.kafka_brokers,
        "C360_TOPIC_PREFIX": settings.topic_prefix,
    }


def redrive(settings: Settings, *options: str, code: int = 0) -> str:
    """Call it; what it says."""
    done = CliRunner().invoke(cli, ["redrive", *options], env=environment(settings))
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def values(settings: Settings, topic: str) -> list[bytes]:
    return sorted(cast(bytes, message.value()) for message in content(settings, topic))


def test_a_letter_goes_back_unchanged_and_once(settings: Settings) -> None:
    billing = settings.input_topic("billing")
    post(settings, [letter(billing, number, headers=[("trace", b"\xff"), ("none", None)]) for number in range(20)])
    assert "20 of 20 dead letters sent" in redrive(settings)
    found = content(settings, billing)
    assert sorted((m.key(), m.value(), m.partition()) for m in found) == sorted(
        (b"acct-%d" % (number % 7), b'{"n":%d}' % number, 2) for number in range(20)
    )
    letters = {
        m.value(): f"{m.topic()}/{m.partition()}/{m.offset()}" for m in content(settings, settings.dead_letter_topic)
    }
    for message in found:
        *own, came_from, times = message.headers() or []
        assert own == [("trace", b"\xff"), ("none", None)]
        assert came_from == ("__c360.redriven.from", letters[message.value()].encode())
        assert times == ("__c360.redriven.times", b"1")
    assert "0 of 0 dead letters sent" in redrive(settings)
    assert len(content(settings, billing)) == 20


def test_letters_that_it_causes_are_for_the_next_one(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    billing = settings.input_topic("billing")
    post(settings, [letter(billing, number) for number in range(40)])
    send = Redriver.send

    def refused_again(redriver: Redriver, records: Sequence[tuple[Partition, OutRecord]], *rest: Any) -> None:
        send(redriver, records, *rest)
        post(settings, [letter(billing, 100 + number) for number in range(40)])

    monkeypatch.setattr(Redriver, "send", refused_again)
    assert "40 of 40 dead letters sent" in redrive(settings)
    monkeypatch.undo()
    assert len({m.partition() for m in content(settings, settings.dead_letter_topic)}) > 1
    assert "dead letters sent" in redrive(settings)


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(settings: Settings) -> None:
    billing, support = settings.input_topic("billing"), settings.input_topic("support")
    post(settings, [letter(billing, 1), letter(billing, 2, stage="size"), letter(support, 3)])
    said = redrive(settings, "--dry-run")
    assert "3 of 3 dead letters would be sent" in said
    assert f"{billing}[2] offset 1: Object missing required field `occurred_at`" in said
    assert '"n"' not in said
    assert "acct" not in said
    assert content(settings, billing) == []
    assert "3 of 3 dead letters sent" in redrive(settings)


def test_selections_have_a_memory_each(settings: Settings) -> None:
    billing, support = settings.input_topic("billing"), settings.input_topic("support")
    post(settings, [letter(billing, 1), letter(billing, 2, stage="size"), letter(support, 3)])
    only = ("--topic", billing, "--stage", "decode")
    said = redrive(settings, *only)
    assert "left: 2 that were not asked for" in said
    assert "1 of 3 dead letters sent" in said
    assert "0 of 0 dead letters sent" in redrive(settings, *only)
    assert "0 of 3 dead letters sent" in redrive(settings, "--exception", "Other")
    assert "0 of 0 dead letters sent" in redrive(settings, "--since", "2999-01-01")
    assert "1 of 3 dead letters sent" in redrive(settings, "--since", "2020-01-01", "--topic", support)
    assert (values(settings, billing), values(settings, support)) == ([b'{"n":1}'], [b'{"n":3}'])


def test_a_letter_never_goes_to_a_topic_that_is_no_input(settings: Settings) -> None:
    post(settings, [letter(settings.risk_topic, 1), letter(settings.dead_letter_topic, 2), letter("elsewhere", 3)])
    Producer({"bootstrap.servers": settings.kafka_brokers}).produce(settings.dead_letter_topic, b"x")
    said = redrive(settings)
    assert "left: 3 that name a topic that is none of the input topics" in said
    assert content(settings, settings.risk_topic) == []
    refused = redrive(settings, "--topic", settings.risk_topic, code=2)
    assert f"--topic {settings.risk_topic} is no input topic; give one of" in refused


def test_what_is_refused_again_and_again_is_left(settings: Settings) -> None:
    product = settings.input_topic("product")
    post(settings, [letter(product, 1)])
    for times in (1, 2, 3):
        assert "1 of 1 dead letters sent" in redrive(settings)
        (newest,) = [
            m for m in content(settings, product) if ("__c360.redriven.times", b"%d" % times) in (m.headers() or [])
        ]
        post(settings, [letter(product, 10 + times, headers=cast(Headers, newest.headers()))])
    said = redrive(settings)
    assert "left: 1 that were redriven 3 times and refused each time" in said
    assert len(content(settings, product)) == 3


def test_tombstones_are_tombstones_again_and_cut_values_are_left(settings: Settings) -> None:
    product = settings.input_topic("product")
    gone = replace(letter(product, 1, headers=[("kind", b"x")]), value=None)
    post(settings, [gone, letter(product, 2, headers=[TRUNCATED])])
    assert "left: 1 that were cut to 8 MiB" in redrive(settings)
    (message,) = content(settings, product)
    assert message.value() is None
    assert list(dict(message.headers() or [])) == ["kind", "__c360.redriven.from", "__c360.redriven.times"]


def test_a_partition_that_is_not_there_any_more_goes_by_key(settings: Settings) -> None:
    product = settings.input_topic("product")
    post(settings, [letter(product, 1, partition=77)])
    assert "1 of 1 dead letters sent" in redrive(settings)
    assert values(settings, product) == [b'{"n":1}']


def test_killed_at_a_commit_and_started_again_each_is_sent_once(settings: Settings) -> None:
    billing, product = settings.input_topic("billing"), settings.input_topic("product")
    post(settings, [letter((billing, product)[number % 2], number) for number in range(MANY)])
    for number, moment in ((3, "before"), (2, "after"), (1, "before"), (1, "after")):
        killed = subprocess.run(
            [sys.executable, "-m", "tests.integration.redrive_process", str(number), moment],
            env=environment(settings),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS * 6,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert 0 < len(values(settings, billing)) + len(values(settings, product)) < MANY
    redrive(settings)
    found = Counter(values(settings, billing) + values(settings, product))
    assert found == Counter(b'{"n":%d}' % number for number in range(MANY))


def test_a_second_one_at_a_time_ends_the_first(settings: Settings) -> None:
    place = RedriveOffset(settings, settings.dead_letter_topic, "g")
    target = Partition(settings.input_topic("product"), 0)
    first = Redriver(settings)
    second = Redriver(settings)
    done = Partition(settings.dead_letter_topic, 0, 1)
    with pytest.raises(TransportError, match=r"another c360 redrive has taken over"):
        first.send([(target, OutRecord(b"k", b"1"))], place, done)
    second.send([(target, OutRecord(b"k", b"2"))], place, done)
    assert values(settings, target.topic) == [b"2"]
    assert place.starts([0], None) == {0: 0}, "an offset past the end of the topic begins at its start"
    for each in (first, second, place):
        each.close()
