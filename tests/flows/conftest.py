"""One messy world, replayed once undisturbed: what the other runs are held against."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reference.check import Tables
from tests.reference.flow_run import SETTINGS, FlowRun
from tests.reference.log import WrittenLog
from tests.reference.oracle import Truth, truth_of
from tests.reference.worlds import WorldSpec, write_world

SEED = 20_240_101


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> WrittenLog:
    """A world of a few thousand messy lines."""
    return write_world(WorldSpec(seed=SEED), tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def truth(world: WrittenLog) -> Truth:
    """What the oracle says about the world."""
    return truth_of(world.events, int(SETTINGS["C360_HORIZON_DAYS"]))


@pytest.fixture(scope="session")
def undisturbed(world: WrittenLog, tmp_path_factory: pytest.TempPathFactory) -> FlowRun:
    """A finished run: one process, large batches, no recovery store."""
    run = FlowRun(world.path, tmp_path_factory.mktemp("undisturbed"))
    run.finish()
    return run


@pytest.fixture(scope="session")
def tables(undisturbed: FlowRun) -> Tables:
    """The tables of the undisturbed run."""
    return undisturbed.tables()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty directory for a run."""
    return tmp_path
