"""The commands against a Kafka broker: librdkafka's mock cluster, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from c360_stream.cli.doctor.checks import checks
from c360_stream.cli.main import cli
from c360_stream.cli.setup.creation import topics
from c360_stream.cli.top.live import TopicTail, top
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.ports import OutRecord
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings, load_settings

DEADLINE_SECONDS = 20.0


@pytest.fixture
def mock() -> Iterator[Producer]:
    """The client that the mock cluster lives in."""
    mock = Producer({"test.mock.num.brokers": 1, "log_level": 2})
    yield mock
    mock.flush(0)


@pytest.fixture
def settings(mock: Producer, settings: Settings) -> Settings:
    (broker,) = mock.list_topics(timeout=DEADLINE_SECONDS).brokers.values()
    return load_settings(
        kafka_brokers=f"{broker.host}:{broker.port}", log_dir=settings.log_dir, metrics_address="127.0.0.1:0"
    )


def make(mock: Producer, *names: str) -> None:
    for name in names:
        mock.list_topics(name, timeout=DEADLINE_SECONDS)  # the mock cluster makes what is asked for


def simulate(settings: Settings) -> Result:
    world = ["--accounts", "10", "--days", "20", "--seed", "7"]
    return CliRunner().invoke(cli, ["simulate", *world, "--kafka", settings.kafka_brokers], prog_name="c360")


def test_simulate_delivers_every_event(mock: Producer, settings: Settings) -> None:
    inputs = [settings.input_topic(kind) for kind in INPUT_KINDS]
    make(mock, *inputs)
    result = simulate(settings)
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1].startswith("simulating: day 20 of 20, ")
    with closing(KafkaTransport(settings)) as transport:
        found = {}
        for topic in inputs:
            with closing(TopicTail(transport, topic, DEADLINE_SECONDS)) as tail:
                found[topic] = list(tail.read())
    events = sum(len(records) for records in found.values())
    assert result.stdout.startswith(f"{events:,} events")
    key, value = found[inputs[0]][0]
    assert key is not None
    assert json.loads(value)["account_id"] == key.decode()


def test_simulate_names_a_topic_that_is_missing(settings: Settings) -> None:
    result = simulate(settings)
    assert result.exit_code == 1
    assert "has no topic c360.product.events.v1; create it: c360 setup" in result.stderr


def test_top_shows_scores_and_heeds_tombstones(
    mock: Producer, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    make(mock, settings.risk_topic, settings.alarm_topic)
    with (
        closing(KafkaTransport(settings)) as transport,
        closing(transport.writer(settings.risk_topic, None)) as writer,
    ):
        for name in ("acme", "gone"):
            value = {"account_id": name, "as_of": "2025-06-01T00:00:00Z", "risk": 0.5, "tier": "critical"}
            writer.write([OutRecord(name, json.dumps(value).encode())])
        writer.write([OutRecord("gone", None)])
        writer.flush()
    top(settings, once=True, rows=5)
    shown = capsys.readouterr().out
    assert "1 active accounts" in shown
    assert "acme" in shown
    assert "gone" not in shown


def test_doctor_finds_missing_topics(mock: Producer, settings: Settings) -> None:
    make(mock, *topics(settings)[:-1])
    found = {check.subject: check for check in checks(settings)}
    assert found[f"broker {settings.kafka_brokers}"].found == "reachable"
    assert [name for name, check in found.items() if name.startswith("topic ") and check.hint] == [
        "topic c360.dead-letters.v1",
        "topic c360.outbox.v1",
    ]


def test_doctor_finds_credentials_that_kafka_refuses() -> None:
    wrong = load_settings(
        kafka_brokers="127.0.0.1:1", kafka_security_protocol="SASL_SSL", kafka_sasl_mechanism="nosuch"
    )
    broker = next(check for check in checks(wrong) if check.subject.startswith("broker"))
    assert "C360_KAFKA_" in broker.hint
