"""librdkafka's own mock cluster: a broker in this process that can be made to fail."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka

PARTITIONS = 4


class MockCluster:
    """One broker. Everything that it is told to do happens at once.

    It creates no topic by request, shows aborted transactions and keeps about 5 MB a partition.
    """

    def __init__(self, library: ctypes.CDLL, cluster: int) -> None:
        self._library = library
        self._cluster = ctypes.c_void_p(cluster)
        self.brokers: str = self._call("cluster_bootstraps", result=ctypes.c_char_p).decode()

    def create_topic(self, topic: str) -> None:
        """Make an empty topic."""
        self._call("topic_create", topic.encode(), PARTITIONS, 1)

    def set_down(self) -> None:
        """Close every connection and accept none."""
        self._call("broker_set_down", 1)

    def set_up(self) -> None:
        """Accept connections again."""
        self._call("broker_set_up", 1)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Move the log start, as retention does."""
        self._call("partition_delete_records", topic.encode(), partition, ctypes.c_int64(before))

    def _call(self, name: str, *arguments: Any, result: Any = ctypes.c_int) -> Any:
        function = getattr(self._library, f"rd_kafka_mock_{name}")
        function.restype = result
        answer = function(self._cluster, *arguments)
        assert answer or result is ctypes.c_int, name
        assert not answer or result is not ctypes.c_int, f"{name}: error {answer}"
        return answer


@contextmanager
def mock_cluster() -> Iterator[MockCluster]:
    """Run a mock cluster with one broker."""
    (path,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka-*")
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(conf, b"log_level", b"2", None, 0)
    client = ctypes.c_void_p(library.rd_kafka_new(0, conf, None, 0))
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    try:
        yield MockCluster(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(ctypes.c_void_p(cluster))
        library.rd_kafka_destroy(client)
