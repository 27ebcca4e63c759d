"""A cluster for the tests of this folder that write to Kafka."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings, load_settings
from tests.contracts.mock_cluster import mock_cluster
from tests.unit.tools.simulate.topics import PARTITIONS


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Settings for a mock cluster that has the input topics, with several partitions each."""
    with mock_cluster() as cluster:
        settings = load_settings(kafka_brokers=cluster.brokers)
        for kind in INPUT_KINDS:
            cluster.create_topic(settings.input_topic(kind), PARTITIONS)
        yield settings
