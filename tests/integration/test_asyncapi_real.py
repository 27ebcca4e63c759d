"""What the AsyncAPI document says of the topics, held against those that `c360 setup` makes on a real broker."""

from __future__ import annotations

from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.topics import setup_topics
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.settings import Settings
from tests.deploy.test_asyncapi import DOCUMENT, address


@pytest.mark.kafka
def test_bindings_are_how_setup_makes_the_topics(kafka_brokers: str) -> None:
    settings = Settings(kafka_brokers=kafka_brokers, topic_prefix=f"t-{uuid4().hex}")
    setup_topics(settings)
    admin, transport = AdminClient({"bootstrap.servers": kafka_brokers, "log_level": 2}), KafkaTransport(settings)
    for channel in DOCUMENT["channels"].values():
        topic, binding = address(channel, settings.topic_prefix), channel["bindings"]["kafka"]
        assert len(transport.partitions(topic)) == binding["partitions"]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        made = admin.describe_configs([resource])[resource].result()
        stated = {"cleanup.policy": ["delete"], **binding.get("topicConfiguration", {})}
        assert {name: made[name].value.split(",") for name in stated} == {
            name: [str(each) for each in (value if isinstance(value, list) else [value])]
            for name, value in stated.items()
        }
