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
ROOT = Path(__file__).parents[2]


OWN = """[[model]]
name = "my-forest"
make = "tests.own_models.models:forest_of_trees"
"""


def settings_of(kind: str, folder: Path) -> dict[str, str]:
    """Settings by which trees, or a declared forest, score."""
    if kind == "lightgbm":
        pytest.importorskip("lightgbm")
        return {"C360_CHAMPION": kind}
    file = folder / "own.toml"
    file.write_text(OWN)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {"C360_CHAMPION": kind, "C360_CONFIG": str(file), "PYTHONPATH": path}


@pytest.fixture(scope="module", params=["lightgbm", "my-forest"])
def undisturbed(request: pytest.FixtureRequest, world: WrittenLog, tmp_path_factory: pytest.TempPathFactory) -> FlowRun:
    """A finished run in which one of them scores: one process, large batches, no recovery store."""
    home = tmp_path_factory.mktemp(request.param)
    run = FlowRun(world.path, home, settings=settings_of(request.param, home))
    run.finish()
    return run


@pytest.fixture(scope="module")
def tables(undisturbed: FlowRun) -> Tables:
    """Its tables."""
    return undisturbed.tables()


def test_a_cluster_scores_as_one_process(
    world: WrittenLog, truth: Truth, undisturbed: FlowRun, tables: Tables, home: Path
) -> None:
    run = FlowRun(world.path, home, processes=2, settings={**undisturbed.settings, **SMALL_BATCHES})
    run.finish()
    assert_same(run, world, truth, tables)


def test_kills_and_other_numbers_of_processes_change_nothing(
    world: WrittenLog, truth: Truth, undisturbed: FlowRun, tables: Tables, home: Path
) -> None:
    run = FlowRun(world.path, home, recovery=True, settings={**undisturbed.settings, **SMALL_BATCHES})
    for run.processes, share in ((1, 0.4), (3, 0.7)):
        enough = undisturbed.risk_bytes() * share
        assert run.kill_when(partial(run.has_written, enough)), "it ended before it could be killed"
    run.processes = 2
    run.finish()
    assert_same(run, world, truth, tables, resumed=True)


def verified(run: FlowRun, account: str, as_of: str) -> dict[str, object]:
    """What `c360 verify --json` says."""
    command = [sys.executable, "-m", "c360_stream", "verify", account, "--as-of", as_of, "--json"]
    command += ["--log-dir", str(run.log_dir)]
    env = {**os.environ, **SETTINGS, "C360_CLICKHOUSE_DSN": run.dsn, **run.settings}
    done = subprocess.run(command, env=env, cwd=run.home, check=False, capture_output=True, text=True)
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout))


def test_their_scores_are_explained_and_verified(undisturbed: FlowRun, tables: Tables) -> None:
    name = undisturbed.settings["C360_CHAMPION"]
    scored = [row for row in tick_scores(tables).values() if row["model_name"] == name]
    assert scored
    trees = name == "lightgbm"
    assert {row["explained_by"] for row in scored} == {"contributions" if trees else "occlusion"}
    assert any(row["reasons"] for row in scored)
    last = max(scored, key=lambda row: (row["as_of"], row["risk"]))
    found = verified(undisturbed, last["account_id"], last["as_of"])
    assert (found["equal"], found["model_name"]) == (True, name), found
    assert found["risk_rebuilt"] == (found["risk"] if trees else None)
