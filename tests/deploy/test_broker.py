"""The compose file's Kafka, from its jars and by the image's own start-up code: who gets in, and what works then."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from c360_stream.connectors.kafka.topics import setup_topics
from c360_stream.settings import Settings
from tests.deploy.compose import Service, kafka_properties, load, make_secrets
from tests.deploy.kafka import compose_broker, login
from tests.integration.kafka_broker import KafkaUnavailableError

pytestmark = pytest.mark.kafka


class Running(NamedTuple):
    """The broker: its service, and its addresses by listener."""

    service: Service
    addresses: dict[str, str]
    home: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    service = load(make_secrets(tmp_path_factory.mktemp("stack"))).services["kafka"]
    home = tmp_path_factory.mktemp("kafka")
    try:
        with compose_broker(service, home) as addresses:
            yield Running(service, addresses, home)
    except KafkaUnavailableError as error:
        if os.environ.get("C360_REQUIRE_KAFKA") == "1":
            pytest.fail(f"C360_REQUIRE_KAFKA=1, but {error}")
        pytest.skip(str(error))


def settings_of(running: Running, listener: str, **others: str) -> Settings:
    password = running.service.files["/run/secrets/kafka_jaas"].parent / "kafka_password"
    values = {
        "kafka_brokers": running.addresses[listener],
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_sasl_username": "c360",
        "kafka_sasl_password": password.read_text(),
    }
    return Settings.model_validate(values | others)


@pytest.mark.parametrize("listener", ["CLIENTS", "HOST"])
def test_the_password_opens_both_listeners(running: Running, listener: str) -> None:
    lines = setup_topics(settings_of(running, listener, topic_prefix=listener.lower()))
    assert len(lines) == 8
    assert all(": created, " in line for line in lines)


@pytest.mark.parametrize("listener", ["CLIENTS", "HOST"])
@pytest.mark.parametrize(
    "credentials", [{}, {"sasl.password": "wrong"}, {"sasl.username": "admin"}], ids=["none", "wrong", "another"]
)
def test_nobody_gets_in_without_it(running: Running, listener: str, credentials: dict[str, str]) -> None:
    config = login(running.service) | credentials if credentials else {}
    admin = AdminClient({"bootstrap.servers": running.addresses[listener], "log_level": 0, **config})
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=3)


def test_the_whole_flow_runs_through_it(running: Running, tmp_path: Path) -> None:
    worker = load(running.service.files["/run/secrets/kafka_jaas"].parent).services["worker"]
    dsn = tmp_path / "dsn"
    dsn.write_text(f"chdb://{tmp_path}/tables")
    places = {
        "C360_KAFKA_BROKERS": running.addresses["CLIENTS"],
        "C360_CLICKHOUSE_DSN_FILE": str(dsn),
        "C360_METRICS_ADDRESS": "127.0.0.1:0",
        "C360_TOPIC_PREFIX": "flow",
    }
    world = ["--accounts", "10", "--days", "20", "--seed", "7", "--kafka", places["C360_KAFKA_BROKERS"]]
    for command in (["setup"], ["simulate", *world], ["run", "--until-end", "--recovery", "recovery"]):
        done = subprocess.run(
            [sys.executable, "-m", "c360_stream", *command],
            env={**os.environ, **worker.environment_here(**places)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        if command[0] == "run":
            assert " 0 dead letters, " in done.stderr
            assert " 0 scores" not in done.stderr


def test_our_reading_of_the_environment_is_the_images(running: Running) -> None:
    made = (running.home / "config" / "server.properties").read_text().split("\n")
    properties = dict(line.split("=", 1) for line in made if "=" in line)
    assert properties.keys() == kafka_properties(running.service.environment).keys()
    unchanged = {"process.roles", "sasl.enabled.mechanisms", "listener.security.protocol.map", "num.partitions"}
    ours = kafka_properties(running.service.environment)
    assert {name: properties[name] for name in unchanged} == {name: ours[name] for name in unchanged}
