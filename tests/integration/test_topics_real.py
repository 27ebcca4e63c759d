"""How `c360 setup` makes topics on a real Apache Kafka, and what `c360 doctor` says of those that others made."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
)

from c360_stream.cli.doctor.checks import Warned, checks
from c360_stream.connectors.kafka.topics import DAY_MS, setup_topics, wanted_topics
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings
from tests.contracts.test_transports import DEADLINE_SECONDS
from tests.integration.test_kafka_real import done

pytestmark = pytest.mark.kafka
WEEK_MS = 7 * DAY_MS


@pytest.fixture
def admin(kafka_brokers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka_brokers, "log_level": 2})


@pytest.fixture
def settings(kafka_brokers: str) -> Settings:
    """Settings whose topics no other test shares."""
    return Settings(kafka_brokers=kafka_brokers, topic_prefix=f"t-{uuid4().hex}", metrics_address="127.0.0.1:0")


def config_of(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return {name: entry.value for name, entry in admin.describe_configs([resource])[resource].result().items()}


def said_of_retention(settings: Settings) -> dict[str, list[str]]:
    """What the doctor warns of, by input topic; nothing where it is content."""
    found: dict[str, list[str]] = {settings.input_topic(kind): [] for kind in INPUT_KINDS}
    for check in checks(settings):
        if check.subject.startswith("retention of "):
            assert not check.hint, "no problem: a run works as it is"
            if isinstance(check, Warned):
                found[check.subject.removeprefix("retention of ")].append(check.found)
    return found


def test_topics_are_made_as_the_settings_say(settings: Settings, admin: AdminClient) -> None:
    changed = {"topic_partitions": -1, "topic_replication": 1, "input_retention_days": 300}
    setup_topics(settings.model_copy(update=changed | {"dead_letter_retention_days": 14}))
    kept = [config_of(admin, settings.input_topic(kind))["retention.ms"] for kind in INPUT_KINDS]
    assert kept == [str(300 * DAY_MS), "-1", str(300 * DAY_MS)]
    letters = config_of(admin, settings.dead_letter_topic)
    assert (letters["retention.ms"], letters["segment.ms"]) == (str(14 * DAY_MS), str(DAY_MS))
    topics = admin.list_topics(timeout=10).topics
    assert {len(topics[topic].partitions) for topic in settings.output_topics} == {1}, "the broker's num.partitions"
    assert len(topics[settings.outbox_topic].partitions) == 16


def test_what_setup_makes_satisfies_the_doctor_and_setup_itself(settings: Settings) -> None:
    assert all(": created, " in line for line in setup_topics(settings))
    assert all(line.endswith(": exists, 4 partitions") for line in setup_topics(settings)[:-1])
    assert said_of_retention(settings) == {settings.input_topic(kind): [] for kind in INPUT_KINDS}


def test_topics_that_others_made_are_left_so_and_the_command_is_named(settings: Settings, admin: AdminClient) -> None:
    product, billing, support = (settings.input_topic(kind) for kind in INPUT_KINDS)
    own = {
        product: {"retention.ms": str(WEEK_MS)},
        billing: {"cleanup.policy": "compact"},
        support: {"retention.ms": str(500 * DAY_MS), "retention.bytes": "1000000"},
    }
    done(admin.create_topics([NewTopic(topic, 4, -1, config=config) for topic, config in own.items()]))
    lines = setup_topics(settings)
    tool = f"kafka-configs.sh --bootstrap-server {settings.kafka_brokers} --alter --topic"
    week, wanted = f"{WEEK_MS} (7 days)", f"{400 * DAY_MS} (400 days)"
    left = "it was left so; to change it: "
    assert lines[0] == (
        f"{product}: exists, 4 partitions; retention.ms is {week}, should be {wanted}; {left}{tool} {product}"
        f" --add-config retention.ms={400 * DAY_MS}"
    )
    policy = "cleanup.policy is compact, should be delete"
    assert f"; {policy}; retention.ms is {week}, should be -1 (for ever); " in lines[1]
    assert lines[1].endswith("--add-config cleanup.policy=delete,retention.ms=-1")
    assert f"; retention.ms is {500 * DAY_MS} (500 days), should be {wanted}; " in lines[2]
    for topic, config in own.items():
        assert config.items() <= config_of(admin, topic).items(), "setup has changed somebody's topic"
    warned = said_of_retention(settings)
    assert [len(found) for found in warned.values()] == [1, 1, 1]
    assert warned[product][0].startswith("kept for 7 days; a replay needs 273 days ")
    assert warned[billing][0].startswith("cleanup.policy is compact: ")
    assert warned[support][0].startswith("retention.bytes is 1000000: ")


def test_the_commands_that_are_named_mend_it(settings: Settings, admin: AdminClient) -> None:
    """Not by Kafka's scripts, which are not there, but by what they send: each setting, as it is written."""
    topic = settings.input_topic("product")
    done(admin.create_topics([NewTopic(topic, 4, -1)]))
    line = next(line for line in setup_topics(settings) if line.startswith(topic))
    name, _, value = line.rpartition(" ")[2].partition("=")
    assert wanted_topics(settings)[topic][name] == value
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    done(admin.incremental_alter_configs([resource]))
    deadline = time.monotonic() + DEADLINE_SECONDS  # the controller knows at once, the broker in a moment
    while f"{topic}: exists, 4 partitions" not in setup_topics(settings):
        assert time.monotonic() < deadline, "setup still sees a difference"
    assert said_of_retention(settings)[topic] == []
