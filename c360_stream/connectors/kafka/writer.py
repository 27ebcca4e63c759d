"""Kafka: appends to a topic and knows what was delivered."""

from __future__ import annotations

from collections.abc import Sequence

from c360_stream.connectors.kafka.connection import Connection
from c360_stream.connectors.kafka.patience import KafkaPatience
from c360_stream.connectors.kafka.sender import ANY_PARTITION, Sender
from c360_stream.connectors.ports import OnDelivered, OutRecord, Waiting


class KafkaWriter:
    """Appends records to one topic with an idempotent producer. A failed delivery is raised ever after."""

    def __init__(
        self, sender: Sender, connection: Connection, topic: str, seconds_max: float, waiting: Waiting
    ) -> None:
        self.topic = topic
        self._sender = sender
        self._connection = connection
        self._seconds_max = seconds_max
        self._waiting = waiting

    def write(
        self, records: Sequence[OutRecord], on_delivered: OnDelivered | None = None, partition: int = ANY_PARTITION
    ) -> None:
        """Queue records; waits while the queue is full.

        Raises
        ------
        TransportError
            If this or an earlier record could not be delivered.
        """
        self._sender.send([(self.topic, record) for record in records], self._patience(), partition, on_delivered)

    def flush(self) -> None:
        """Return once every record is acknowledged by all replicas in sync."""
        self._sender.flush(self._patience())

    def position(self) -> tuple[int, ...]:
        """Nothing: Kafka keeps what it acknowledged."""
        return ()

    def close(self) -> None:
        """Close the producer. What was not flushed is dropped."""
        self._sender.close()

    def _patience(self) -> KafkaPatience:
        return KafkaPatience(self._connection, f"writing {self.topic}", self._seconds_max, self._waiting)
