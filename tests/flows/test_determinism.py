"""The same log gives the same tick scores, bit for bit, however it is read and however often it dies."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.flows.conftest import SEED
from tests.reference.check import Tables, differences
from tests.reference.flow_run import FlowRun
from tests.reference.log import WrittenLog
from tests.reference.oracle import Truth
from tests.reference.tables import TableRow

pytestmark = pytest.mark.slow
SMALL_BATCHES = {"C360_BATCH_EVENTS": "37"}


def tick_scores(tables: Tables) -> dict[str, TableRow]:
    """Every column of the tick scores: in a replay even the time of production is event time."""
    return {row["score_id"]: row for row in tables["risk_scores"] if row["trigger"] == "tick"}


def assert_same(run: FlowRun, world: WrittenLog, truth: Truth, undisturbed: Tables, *, resumed: bool = False) -> None:
    """The run wrote what the oracle says, and the undisturbed run's tick scores."""
    tables = run.tables()
    found, expected = tick_scores(tables), tick_scores(undisturbed)
    assert found.keys() == expected.keys()
    assert [(row, expected[key]) for key, row in found.items() if row != expected[key]][:3] == []
    wrong = differences(world, run.log_dir, tables, truth, resumed=resumed)
    assert {subject: lines[:5] for subject, lines in wrong.items() if lines} == {}


@pytest.mark.parametrize(
    ("processes", "settings"),
    [(1, SMALL_BATCHES), (2, {}), (2, SMALL_BATCHES)],
    ids=["small batches", "two processes", "two processes, small batches"],
)
def test_batches_and_processes_change_nothing(
    world: WrittenLog, truth: Truth, tables: Tables, home: Path, processes: int, settings: dict[str, str]
) -> None:
    run = FlowRun(world.path, home, processes=processes, settings=settings)
    run.finish()
    assert_same(run, world, truth, tables)


@pytest.mark.parametrize("processes", [1, 2])
def test_kills_change_nothing(
    world: WrittenLog, truth: Truth, undisturbed: FlowRun, tables: Tables, home: Path, processes: int
) -> None:
    run = FlowRun(world.path, home, processes=processes, recovery=True, settings=SMALL_BATCHES)
    share = random.Random(SEED + processes).uniform(0.1, 0.6)
    enough = undisturbed.risk_bytes() * share
    assert run.kill_when(lambda: run.risk_bytes() > enough), "the run ended before it could be killed"
    assert run.risk_bytes() < undisturbed.risk_bytes()
    run.finish()
    assert_same(run, world, truth, tables, resumed=True)
