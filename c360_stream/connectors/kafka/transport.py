"""A Kafka cluster: opens its readers, writers and outboxes."""

from __future__ import annotations

from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin import AdminClient

from c360_stream.connectors.kafka.connection import START_SECONDS_MAX, Connection, make_client
from c360_stream.connectors.kafka.offsets import OffsetsClient, list_topics
from c360_stream.connectors.kafka.outbox import OUTBOX_PARTITIONS, KafkaOutbox
from c360_stream.connectors.kafka.reader import KafkaReader, PartitionEnds
from c360_stream.connectors.kafka.sender import open_sender
from c360_stream.connectors.kafka.writer import KafkaWriter
from c360_stream.connectors.outages import Outages
from c360_stream.connectors.ports import Waiting, wait_patiently
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

_SETUP = "create it: c360 setup; or let this user see it"


class KafkaTransport:
    """A Kafka cluster.

    Parameters
    ----------
    settings
        Brokers and credentials.
    start_seconds_max
        How long a broker may take to answer when something is opened.
    outages
        Of all clients that log an outage as one. None: this transport's alone.

    Raises
    ------
    ConfigurationError
        If librdkafka refuses the settings.
    """

    def __init__(
        self, settings: Settings, *, start_seconds_max: float = START_SECONDS_MAX, outages: Outages | None = None
    ) -> None:
        self._settings = settings
        self._start_seconds_max = start_seconds_max
        self._outages = outages or Outages()
        self._connection = Connection(settings.kafka_brokers, self._outages)
        self._admin = make_client(AdminClient, settings, self._connection)
        self._offsets = OffsetsClient(settings, self._outages)

    def partitions(self, topic: str) -> list[int]:
        """The topic's partition numbers, ascending; empty if there is no such topic."""
        return list_topics(self._admin, self._connection, self._start_seconds_max).get(topic, [])

    def reader(self, topic: str, partition: int, resume: tuple[int, ...] | None, *, live: bool) -> KafkaReader:
        """Open a partition. Its position is (next offset,); a live reader ends at the last reported end."""
        known = list_topics(self._admin, self._connection, self._start_seconds_max)
        if partition not in known.get(topic, []):
            raise TransportError(f"{self._connection.name} has no {topic}[{partition}]", _SETUP)
        place, inputs = Partition(topic, partition), {self._settings.input_topic(kind) for kind in INPUT_KINDS}
        ends, siblings = PartitionEnds(self._offsets, place), sum(len(known.get(name, [])) for name in {topic, *inputs})
        return KafkaReader(
            self._settings,
            place,
            resume,
            ends,
            self._start_seconds_max,
            outages=self._outages,
            siblings=siblings,
            live=live,
        )

    def writer(self, topic: str, resume: tuple[int, ...] | None, waiting: Waiting = wait_patiently) -> KafkaWriter:
        """Open a topic for appending; nothing can be taken back, so the position is empty."""
        if not self.partitions(topic):
            raise TransportError(f"{self._connection.name} has no topic {topic}", _SETUP)
        connection = Connection(self._settings.kafka_brokers, self._outages)
        sender = open_sender(self._settings, connection)
        return KafkaWriter(sender, connection, topic, self._settings.outage_seconds_max, waiting)

    def outbox(self, part: str, waiting: Waiting = wait_patiently) -> KafkaOutbox:
        """Open an outbox: one process at a time has a part, the newest."""
        known = list_topics(self._admin, self._connection, self._start_seconds_max)
        for topic, partitions in _outbox_topics(self._settings).items():
            found = len(known.get(topic, []))
            if not found:
                raise TransportError(f"{self._connection.name} has no topic {topic}", _SETUP)
            if found < partitions:
                wrong = f"{topic} on {self._connection.name} has {found} partitions, not {partitions}"
                raise TransportError(wrong, f"raise their number to {partitions}, or delete it and: c360 setup")
        return KafkaOutbox(self._settings, part, self._offsets, waiting, self._outages)

    def close(self) -> None:
        """Nothing is held: librdkafka's clients end with their objects."""


def _outbox_topics(settings: Settings) -> dict[str, int]:
    """What an outbox writes to, and the number of partitions that it needs at least."""
    return {**dict.fromkeys(settings.output_topics, 1), settings.outbox_topic: OUTBOX_PARTITIONS}
