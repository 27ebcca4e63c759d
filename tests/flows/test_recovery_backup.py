"""A run goes on from a recovery directory that the back-up's Job has put back, as if it had never been away."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.deploy.backup_job import run_job
from tests.flows.processes import ends, started, wait_until
from tests.flows.test_determinism import SMALL_BATCHES, assert_same
from tests.reference.check import Tables
from tests.reference.files import of_processes
from tests.reference.flow_run import FlowRun
from tests.reference.log import WrittenLog
from tests.reference.oracle import Truth

pytestmark = pytest.mark.slow


def test_a_lost_directory_comes_back_from_its_archive(
    world: WrittenLog,
    truth: Truth,
    undisturbed: FlowRun,
    tables: Tables,
    home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    in_files = of_processes(tmp_path_factory.mktemp("site"))
    backups = tmp_path_factory.mktemp("backups")
    run = FlowRun(world.path, home, recovery=True, settings={**SMALL_BATCHES, **in_files})
    assert run.kill_when(partial(run.has_written, undisturbed.risk_bytes() * 0.4))
    taken = run_job("take", home, backups)
    assert taken.returncode == 0, taken.stderr
    (archive,) = backups.glob("*.tar.gz")
    assert list((home / "recovery" / "state").iterdir()), "no state was in files"
    shutil.rmtree(home / "recovery")
    assert ends(run.start(), run) == 1, "a new directory is refused"
    restored = run_job("restore", home, backups, RESTORE_FROM=archive.name)
    assert restored.returncode == 0, restored.stderr
    run.finish()
    assert_same(run, world, truth, tables, resumed=True)


def test_a_run_keeps_the_job_out(world: WrittenLog, home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    backups = tmp_path_factory.mktemp("backups")
    run = FlowRun(world.path, home, recovery=True, until_end=False)
    with started(run):
        wait_until(lambda: run.risk_bytes() > 0, run)
        taken = run_job("take", home, backups, LOCK_SECONDS_MAX="0")
        restored = run_job("restore", home, backups, LOCK_SECONDS_MAX="0", RESTORE_FROM="c360-recovery-1.tar.gz")
    for result in (taken, restored):
        assert result.returncode == 1
        assert "is in use" in result.stderr
    assert not list(backups.iterdir())
