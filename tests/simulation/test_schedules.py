"""Two hundred schedules; a failure prints the seed and the command that replays it."""

from __future__ import annotations

import pytest

from tests.simulation.schedule import check, world_of

SCHEDULES = 200
CHUNK = 10

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("first_seed", range(0, SCHEDULES, CHUNK))
def test_nothing_is_lost_doubled_or_different(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + CHUNK):
        check(seed)


def test_worlds_have_something_of_everything() -> None:
    _, undisturbed = world_of(0)
    for table in ("risk_scores", "account_features", "outcomes", "dead_letters", "model_versions"):
        assert undisturbed.tables.rows(table), table
    assert any(record.value is None for _, record in undisturbed.topics.seen), "a tombstone"
