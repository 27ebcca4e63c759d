"""Champions that are no sum of curves: the same tick scores whatever dies, resumed by other processes, and verified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.flows.test_determinism import SMALL_BATCHES, assert_same, tick_scores
from tests.reference.check import Tables
from tests.reference.flow_run import SETTINGS, FlowRun
from tests.reference.log import WrittenLog
from tests.reference.oracle import Truth

pytestmark = pytest.mark.slow
TREES = {"C360_CHAMPION": "lightgbm"}


@pytest.fixture(scope="module")
def by_trees(world: WrittenLog, tmp_path_factory: pytest.TempPathFactory) -> FlowRun:
    """A finished run in which trees score: one process, large batches, no recovery store."""
    pytest.importorskip("lightgbm")
    run = FlowRun(world.path, tmp_path_factory.mktemp("trees"), settings=TREES)
    run.finish()
    return run


@pytest.fixture(scope="module")
def tables_by_trees(by_trees: FlowRun) -> Tables:
    """Its tables."""
    return by_trees.tables()


def test_a_cluster_scores_as_one_process(world: WrittenLog, truth: Truth, tables_by_trees: Tables, home: Path) -> None:
    run = FlowRun(world.path, home, processes=2, settings=TREES | SMALL_BATCHES)
    run.finish()
    assert_same(run, world, truth, tables_by_trees)


def test_kills_and_other_numbers_of_processes_change_nothing(
    world: WrittenLog, truth: Truth, by_trees: FlowRun, tables_by_trees: Tables, home: Path
) -> None:
    run = FlowRun(world.path, home, recovery=True, settings=TREES | SMALL_BATCHES)
    for run.processes, share in ((1, 0.4), (3, 0.7)):
        enough = by_trees.risk_bytes() * share
        assert run.kill_when(partial(run.has_written, enough)), "it ended before it could be killed"
    run.processes = 2
    run.finish()
    assert_same(run, world, truth, tables_by_trees, resumed=True)


def verified(run: FlowRun, account: str, as_of: str) -> dict[str, object]:
    """What `c360 verify --json` says."""
    command = [sys.executable, "-m", "c360_stream", "verify", account, "--as-of", as_of, "--json"]
    command += ["--log-dir", str(run.log_dir)]
    env = {**os.environ, **SETTINGS, "C360_CLICKHOUSE_DSN": run.dsn, **run.settings}
    done = subprocess.run(command, env=env, cwd=run.home, check=False, capture_output=True, text=True)
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


def test_their_scores_are_explained_and_can_be_rebuilt(by_trees: FlowRun, tables_by_trees: Tables) -> None:
    scored = [row for row in tick_scores(tables_by_trees).values() if row["model_name"] == "lightgbm"]
    assert scored
    assert {row["explained_by"] for row in scored} == {"contributions"}
    assert any(row["reasons"] for row in scored)
    last = max(scored, key=lambda row: (row["as_of"], row["risk"]))
    found = verified(by_trees, last["account_id"], last["as_of"])
    assert (found["equal"], found["model_name"]) == (True, "lightgbm"), found
