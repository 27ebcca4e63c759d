"""Topics, partitions, and the first and last offset of a partition."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ListOffsetsResultInfo,
    OffsetSpec,
    TopicMetadata,
)

from c360_stream.connectors.kafka.connection import Connection, make_client
from c360_stream.connectors.kafka.error_codes import OUTAGE
from c360_stream.connectors.kafka.patience import WAIT_SECONDS, KafkaPatience
from c360_stream.connectors.outages import Outages
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

_ASK_SECONDS_MAX = 5.0


class OffsetsClient:
    """Looks up offsets of partitions, without waiting for the answer.

    librdkafka's admin client keeps the first leader epochs that it learned. After a change of leader the broker refuses
    all its requests as outdated (seen with a restarted broker). So after a refusal the next request uses a new client.
    """

    def __init__(self, settings: Settings, outages: Outages | None = None) -> None:
        self._settings = settings
        self._outages = outages or Outages()
        self._admin: AdminClient | None = None

    def ask(
        self, partition: TopicPartition, which: OffsetSpec, isolation: IsolationLevel, seconds_max: float
    ) -> Future[ListOffsetsResultInfo]:
        """Ask for one offset; the future raises `KafkaException` if there is no answer in time."""
        client = self._client()
        asked = client.list_offsets({partition: which}, isolation_level=isolation, request_timeout=seconds_max)
        (answer,) = asked.values()
        return answer

    def find(
        self,
        partition: TopicPartition,
        which: OffsetSpec,
        isolation: IsolationLevel,
        patience: KafkaPatience,
        *,
        refusal: Callable[[KafkaError], Exception | None],
        least: int = 0,
    ) -> int:
        """One offset, however long that takes within `patience`.

        `refusal` gives the exception to raise for an error, None if it may pass; `least` is that of `known_offset`.
        """

        def answer() -> int:
            asked = self.ask(partition, which, isolation, _ASK_SECONDS_MAX)
            while True:
                try:
                    return known_offset(asked.result(WAIT_SECONDS), least)
                except TimeoutError:
                    patience.wait()
                except KafkaException as error:
                    self.refused(error.args[0])
                    raise

        return patience.run(answer, lambda error: refusal(error.args[0]))

    def knows(self, partition: TopicPartition, seconds_max: float) -> bool:
        """Whether there is such a partition, with a leader or without; true if nobody answers in time."""
        try:
            known = list_topics(self._client(), Connection(self._settings.kafka_brokers, self._outages), seconds_max)
        except TransportError:
            return True
        return partition.partition in known.get(partition.topic, [])

    def refused(self, error: KafkaError) -> None:
        """Note that a request was refused: the next one uses a new client."""
        if error.code() not in OUTAGE and error.code() != KafkaError.OFFSET_NOT_AVAILABLE:
            self._admin = None

    def _client(self) -> AdminClient:
        if self._admin is None:
            self._admin = make_client(
                AdminClient, self._settings, Connection(self._settings.kafka_brokers, self._outages)
            )
        return self._admin


def known_offset(answer: ListOffsetsResultInfo, least: int = 0) -> int:
    """The offset of an answer.

    Parameters
    ----------
    least
        The smallest valid answer: -1 where it means that there is no such offset.

    Raises
    ------
    KafkaException
        If it is less: the broker recovers, and does not know the offset yet.
    """
    if answer.offset < least:
        raise KafkaException(KafkaError(KafkaError.OFFSET_NOT_AVAILABLE, "the broker does not know it yet"))
    return int(answer.offset)


def list_topics(admin: AdminClient, connection: Connection, timeout_seconds: float) -> dict[str, list[int]]:
    """Every topic's partition numbers, ascending; raises as `fetch_topics`."""
    topics = fetch_topics(admin, connection, timeout_seconds)
    return {name: sorted(topic.partitions) for name, topic in topics.items()}


def fetch_topics(admin: AdminClient, connection: Connection, timeout_seconds: float) -> dict[str, TopicMetadata]:
    """Every topic that has partitions.

    Raises
    ------
    TransportError
        If no broker answers in time.
    """
    # All topics, since asking for one by name may create it.
    try:
        topics = admin.list_topics(timeout=timeout_seconds).topics
    except KafkaException as error:
        admin.poll(0)  # runs error_cb, which has the reason
        raise connection.error("no answer", error.args[0]) from error
    return {name: topic for name, topic in topics.items() if topic.partitions}
