"""The short form of the chaos: kills, a restart of the broker, rescaling; nothing lost, nothing doubled."""

from __future__ import annotations

import json
import os

import pytest

from tests.integration.chaos import endure, whole
from tests.integration.kafka_broker import KafkaUnavailableError

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
SEED = 5


@pytest.mark.parametrize(
    ("kills", "restarts", "processes"),
    [(4, 1, (1,)), (3, 0, (1, 3, 2))],
    ids=["kills and a restart of the broker", "kills between 1, 3 and 2 processes"],
)
def test_nothing_is_lost_or_doubled(kills: int, restarts: int, processes: tuple[int, ...]) -> None:
    try:
        verdict = endure(
            SEED,
            kills=kills,
            restarts=restarts,
            accounts=24,
            processes=lambda life: processes[life % len(processes)],
        )
    except KafkaUnavailableError as error:
        if os.environ.get("C360_REQUIRE_KAFKA") == "1":
            pytest.fail(f"C360_REQUIRE_KAFKA=1, but {error}")
        pytest.skip(str(error))
    assert whole(verdict), json.dumps(verdict)
    assert sum(verdict["rows"].values()) > 1000, verdict
