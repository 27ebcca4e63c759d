"""Sixty schedules, of which `make soak` runs a thousand; a failure prints the seed and the command that replays it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.simulation.schedule import FLOODED, WORLDS, world_of

SCHEDULES = 60
SECONDS_MAX = 900
"""A schedule that hangs ends by itself: this bounds nothing but a process that does not even begin."""

pytestmark = pytest.mark.slow


def test_nothing_is_lost_doubled_or_different() -> None:
    """In a process of its own: a schedule that hangs ends its process, and what crashed in it leaves threads."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--schedules", str(SCHEDULES)],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-6000:]
    assert done.stdout.startswith(f"{SCHEDULES} schedules, nothing lost, nothing doubled"), done.stdout
    assert not re.search(r"\b0 x ", done.stdout), f"something never happens: {done.stdout}"


def test_worlds_have_something_of_everything() -> None:
    undisturbed = [world_of(number)[1] for number in range(WORLDS)]
    for table in ("risk_scores", "account_features", "outcomes", "dead_letters", "model_versions"):
        assert all(each.tables.rows(table) for each in undisturbed), table
    assert any(record.value is None for each in undisturbed for _, record in each.topics.seen), "a tombstone"


def test_a_flood_is_of_more_rubbish_than_events() -> None:
    flooded = world_of(FLOODED)[1]
    lines = sum(len(found) for (topic, _), found in flooded.topics.partitions.items() if "events" in topic)
    assert len(flooded.tables.rows("dead_letters")) > lines / 2
