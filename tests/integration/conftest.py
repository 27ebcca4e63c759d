"""The real broker, shared by the session."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.kafka_broker import KafkaUnavailableError, kafka_broker


@pytest.fixture(scope="session")
def kafka_brokers() -> Iterator[str]:
    """Address of a real Kafka: `KAFKA_BOOTSTRAP_SERVERS`, else one that is started here.

    Where none can be had the tests are skipped, or fail if `C360_REQUIRE_KAFKA=1`.
    """
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    try:
        with kafka_broker() as brokers:
            yield brokers
    except KafkaUnavailableError as error:
        if os.environ.get("C360_REQUIRE_KAFKA") == "1":
            pytest.fail(f"C360_REQUIRE_KAFKA=1, but {error}")
        pytest.skip(str(error))
