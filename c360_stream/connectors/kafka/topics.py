"""The topics of a Kafka cluster: creates the missing ones from the settings and describes the others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, TopicMetadata  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.connection import START_SECONDS_MAX, Connection, make_client
from c360_stream.connectors.kafka.error_codes import DENIED
from c360_stream.connectors.kafka.offsets import fetch_topics
from c360_stream.connectors.kafka.options import MESSAGE_BYTES_MAX
from c360_stream.connectors.kafka.outbox import OUTBOX_PARTITIONS
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

DAY_MS = 86_400_000
DESCRIBE_SECONDS_MAX = 5.0
"""How long a broker that has just listed its topics may take to describe some."""
RETENTION_MS, RETENTION_BYTES, CLEANUP_POLICY = "retention.ms", "retention.bytes", "cleanup.policy"

Described = Mapping[str, str] | KafkaError
"""Configuration of a topic, defaults of the broker included, as far as the broker reports it; or its error."""


def setup_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing; safe to repeat, since one that is there is left as it is.

    Returns
    -------
    One line per topic: what was done, or how an existing topic differs and which command changes that.

    Raises
    ------
    TransportError
        If the cluster cannot be reached or refuses.
    """
    connection = Connection(settings.kafka_brokers)
    admin = make_client(AdminClient, settings, connection)
    wanted = wanted_topics(settings)
    known = fetch_topics(admin, connection, START_SECONDS_MAX)
    made = _create(admin, connection, settings, [topic for topic in wanted if topic not in known])
    deadline = time.monotonic() + START_SECONDS_MAX
    while not wanted.keys() <= (known := known | fetch_topics(admin, connection, START_SECONDS_MAX)).keys():
        if time.monotonic() > deadline:
            unseen = ", ".join(topic for topic in wanted if topic not in known)
            hint = "repeat c360 setup, or let this user describe them"
            raise TransportError(f"{connection.name} has topics that it does not list: {unseen}", hint)
        time.sleep(0.1)
    described = _describe(admin, connection, [topic for topic in wanted if topic not in made])
    return [
        f"{topic}: {'created' if topic in made else 'exists'}, {len(known[topic].partitions)} partitions"
        + ("" if topic in made else _differences(settings, topic, known[topic], described[topic]))
        for topic in wanted
    ]


def describe_topics(settings: Settings, topics: Iterable[str]) -> dict[str, Described]:
    """Configuration of topics that are there.

    Raises
    ------
    TransportError
        If the cluster cannot be reached, or refuses for another reason than that this user may not ask.
    """
    connection = Connection(settings.kafka_brokers)
    return _describe(make_client(AdminClient, settings, connection), connection, topics)


def alter_command(settings: Settings, topic: str, config: Mapping[str, str]) -> str:
    """The command of Kafka's own tools that sets a topic's configuration.

    >>> alter_command(Settings.model_construct(kafka_brokers="kafka:9092"), "t", {"retention.ms": "-1"})
    'kafka-configs.sh --bootstrap-server kafka:9092 --alter --topic t --add-config retention.ms=-1'
    """
    given = ",".join(f"{name}={value}" for name, value in config.items())
    return f"kafka-configs.sh --bootstrap-server {settings.kafka_brokers} --alter --topic {topic} --add-config {given}"


def retention_ms(days: int) -> str:
    """Value of `retention.ms`; days 0 are for ever.

    >>> retention_ms(7), retention_ms(0)
    ('604800000', '-1')
    """
    return str(days * DAY_MS if days else -1)


def in_days(milliseconds: int) -> str:
    """A retention in words.

    >>> in_days(604_800_000), in_days(129_600_000), in_days(-1)
    ('7 days', '1.5 days', 'for ever')
    """
    return f"{round(milliseconds / DAY_MS, 1):,g} days" if milliseconds >= 0 else "for ever"


def wanted_topics(settings: Settings) -> dict[str, dict[str, str]]:
    """Every topic and its configuration, as far as it is not left to the broker."""
    deleted = {CLEANUP_POLICY: "delete"}
    letters_ms = {RETENTION_MS: retention_ms(settings.dead_letter_retention_days)}
    return {
        **{
            settings.input_topic(kind): deleted | {RETENTION_MS: retention_ms(settings.retention_days(kind))}
            for kind in INPUT_KINDS
        },
        settings.risk_topic: {CLEANUP_POLICY: "compact"},
        settings.alarm_topic: {},
        # Small segments, since the one being written is kept whole.
        settings.heartbeat_topic: {RETENTION_MS: str(DAY_MS), "segment.ms": str(DAY_MS // 4)},
        settings.dead_letter_topic: deleted
        | letters_ms
        | {"segment.ms": str(DAY_MS), "max.message.bytes": str(MESSAGE_BYTES_MAX)},
        # Small segments, since the one being written is not compacted and each start reads it.
        settings.outbox_topic: {CLEANUP_POLICY: "compact", "segment.bytes": str(4 * 1024 * 1024)},
    }


def _partitions(settings: Settings, topic: str) -> int:
    return OUTBOX_PARTITIONS if topic == settings.outbox_topic else settings.topic_partitions


def _create(admin: AdminClient, connection: Connection, settings: Settings, topics: list[str]) -> set[str]:
    """Create topics; return those that nobody else has made in the meantime."""
    wanted = wanted_topics(settings)
    asked = [
        NewTopic(topic, _partitions(settings, topic), settings.topic_replication, config=wanted[topic])
        for topic in topics
    ]
    made = set()
    for topic, created in (admin.create_topics(asked) if asked else {}).items():
        try:
            created.result()
            made.add(topic)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise connection.error(f"cannot create {topic}", error.args[0]) from error
    return made


def _describe(admin: AdminClient, connection: Connection, topics: Iterable[str]) -> dict[str, Described]:
    resources = {topic: ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics}
    asked = admin.describe_configs(list(resources.values()), request_timeout=DESCRIBE_SECONDS_MAX) if resources else {}
    found: dict[str, Described] = {}
    for topic, resource in resources.items():
        try:
            entries = asked[resource].result().items()
            found[topic] = {name: entry.value for name, entry in entries if entry.value is not None}
        except KafkaException as error:
            if error.args[0].code() not in DENIED:
                raise connection.error(f"cannot describe {topic}", error.args[0]) from error
            found[topic] = error.args[0]
    return found


def _differences(settings: Settings, name: str, topic: TopicMetadata, described: Described) -> str:
    """How an existing topic differs from the settings, and the commands that change it."""
    found, commands = [], []
    partitions, asked = len(topic.partitions), _partitions(settings, name)
    if asked not in (partitions, -1):
        found.append(f" ({asked} asked for)")
        # Not for the other outputs: keys would move, and a compacted topic would keep their old values elsewhere.
        if partitions < asked and name not in settings.output_topics:
            where = f"--bootstrap-server {settings.kafka_brokers}"
            commands.append(f"kafka-topics.sh {where} --alter --topic {name} --partitions {asked}")
    replicas = min(len(partition.replicas) for partition in topic.partitions.values())
    if settings.topic_replication not in (replicas, -1):
        found.append(f"; {replicas} replicas ({settings.topic_replication} asked for)")
        commands.append("kafka-reassign-partitions.sh, with a plan of replicas")
    if isinstance(described, KafkaError):
        found.append(f"; its configuration was not looked at: {described.str()}")
    else:
        wanted = wanted_topics(settings)[name].items()
        # A broker of another vendor may lack an option: then it cannot be changed there.
        odd = {key: value for key, value in wanted if described.get(key, value) != value}
        found += [f"; {_difference(key, described[key], value)}" for key, value in odd.items()]
        if odd:
            commands.insert(0, alter_command(settings, name, odd))
    return "".join(found) + (f"; it was left so; to change it: {'; '.join(commands)}" if commands else "")


def _difference(key: str, found: str, wanted: str) -> str:
    if key == RETENTION_MS:
        return f"{key} is {found} ({in_days(int(found))}), should be {wanted} ({in_days(int(wanted))})"
    return f"{key} is {found}, should be {wanted}"
