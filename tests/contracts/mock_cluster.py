"""librdkafka's own mock cluster: a broker in this process that can be made to fail."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any

import confluent_kafka
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import ListOffsetsResultInfo, OffsetSpec  # type: ignore[attr-defined]

from c360_stream.connectors.kafka.offsets import OffsetsClient

PARTITIONS = 4


class Request(IntEnum):
    """Kinds of requests, by Kafka's own numbers."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    END_TXN = 26


class MockCluster:
    """Brokers numbered from 1. Everything that they are told to do happens at once.

    They create no topic by request, show aborted transactions, shut no older producer of a transactional id out
    and keep about 5 MB a partition.
    """

    def __init__(self, library: ctypes.CDLL, cluster: int) -> None:
        self._library = library
        self._cluster = ctypes.c_void_p(cluster)
        self.brokers: str = self._call("cluster_bootstraps", result=ctypes.c_char_p).decode()

    def create_topic(self, topic: str, partitions: int = PARTITIONS) -> None:
        """Make an empty topic."""
        self._call("topic_create", topic.encode(), partitions, 1)

    def set_down(self, broker: int = 1) -> None:
        """Close every connection and accept none."""
        self._call("broker_set_down", broker)

    def set_up(self, broker: int = 1) -> None:
        """Accept connections again."""
        self._call("broker_set_up", broker)

    def set_leader(self, topic: str, partition: int, broker: int) -> None:
        """Make a broker the leader of a partition."""
        self._call("partition_set_leader", topic.encode(), partition, broker)

    def set_topic_error(self, topic: str, code: int) -> None:
        """Let the broker answer every question about a topic so; 0 ends that."""
        self._call("topic_set_error", topic.encode(), code, result=None)

    def fail(self, request: Request, *codes: int) -> None:
        """Let the next requests of a kind fail, one after the other."""
        errors = (ctypes.c_int * len(codes))(*codes)
        self._call(
            "push_request_errors_array", ctypes.c_int16(request), ctypes.c_size_t(len(codes)), errors, result=None
        )

    def fail_no_more(self, request: Request) -> None:
        """Forget the failures to come."""
        self._call("clear_request_errors", ctypes.c_int16(request), result=None)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Move the log start, as retention does."""
        self._call("partition_delete_records", topic.encode(), partition, ctypes.c_int64(before))

    def _call(self, name: str, *arguments: Any, result: Any = ctypes.c_int) -> Any:
        function = getattr(self._library, f"rd_kafka_mock_{name}")
        function.restype = result
        answer = function(self._cluster, *arguments)
        if result is None:
            return None
        assert answer or result is ctypes.c_int, name
        assert not answer or result is not ctypes.c_int, f"{name}: error {answer}"
        return answer


class RecoveringOffsets(OffsetsClient):
    """What brokers answer that do not know yet where a partition ends: seen while three of them came back."""

    unknown = 0
    """How many answers are so yet."""

    def ask(
        self, partition: TopicPartition, which: OffsetSpec, isolation: IsolationLevel, seconds_max: float
    ) -> Future[ListOffsetsResultInfo]:
        if not self.unknown:
            return super().ask(partition, which, isolation, seconds_max)
        self.unknown -= 1
        answer: Future[ListOffsetsResultInfo] = Future()
        answer.set_result(ListOffsetsResultInfo(-1001, -1, -1))
        return answer


@contextmanager
def mock_cluster(brokers: int = 1) -> Iterator[MockCluster]:
    """Run a mock cluster."""
    (path,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka-*")
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(conf, b"log_level", b"2", None, 0)
    client = ctypes.c_void_p(library.rd_kafka_new(0, conf, None, 0))
    cluster = library.rd_kafka_mock_cluster_new(client, brokers)
    try:
        yield MockCluster(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(ctypes.c_void_p(cluster))
        library.rd_kafka_destroy(client)
