"""Topics that a benchmark has for itself at a real broker: their settings, and their removal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from pydantic import SecretStr

from c360_stream.connectors.kafka.connection import Connection, make_client
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import C360Error
from c360_stream.settings import Settings
from c360_stream.settings.sources import ENV_PREFIX


def own_prefix() -> str:
    """A topic prefix that nobody else has."""
    return f"c360-bench-{uuid4().hex[:12]}"


def embedded_dsn(home: Path) -> str:
    """Embedded tables in the working directory of a benchmark's runs."""
    return f"chdb://{home}/tables/c360"


def own_settings(configured: Settings, prefix: str, dsn: str) -> Settings:
    """The defaults with the configured way to the broker, and a prefix and tables of its own."""
    way = {name: getattr(configured, name) for name in Settings.model_fields if name.startswith("kafka_")}
    return Settings.model_construct(**way, topic_prefix=prefix, clickhouse_dsn=SecretStr(dsn))


def environment(settings: Settings) -> dict[str, str]:
    """What makes another process find the same broker, topics and tables."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    plain = {name: v.get_secret_value() if isinstance(v, SecretStr) else v for name, v in given.items()}
    return {f"{ENV_PREFIX}{name.upper()}": value for name, value in plain.items()}


def make_inputs(settings: Settings, partitions: int) -> None:
    """Create the input topics, for which `c360 setup` has a number of partitions of its own.

    Raises
    ------
    TransportError
        If the broker refuses.
    """
    connection = Connection(settings.kafka_brokers)
    admin = make_client(AdminClient, settings, connection)
    for made in admin.create_topics(
        [NewTopic(settings.input_topic(kind), partitions, 1) for kind in INPUT_KINDS]
    ).values():
        try:
            made.result()
        except KafkaException as error:
            raise connection.error("cannot create topics", error.args[0]) from error


@contextmanager
def removed_at_the_end(settings: Settings) -> Iterator[None]:
    """Delete the topics, and those of prefixes that go on with a hyphen, whatever happens.

    Raises
    ------
    TransportError
        If they cannot be deleted and nothing went wrong before.
    """
    try:
        yield
    except BaseException:
        with suppress(C360Error):  # what has gone wrong comes first
            _delete(settings)
        raise
    _delete(settings)


def _delete(settings: Settings) -> None:
    connection = Connection(settings.kafka_brokers)
    admin = make_client(AdminClient, settings, connection)
    try:
        own = f"{settings.topic_prefix}.", f"{settings.topic_prefix}-"
        names = [name for name in admin.list_topics(timeout=10).topics if name.startswith(own)]
        for deleted in admin.delete_topics(names).values() if names else ():
            deleted.result()
    except KafkaException as error:
        raise connection.error(f"cannot delete the topics {settings.topic_prefix}*", error.args[0]) from error
