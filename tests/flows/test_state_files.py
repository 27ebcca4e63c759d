"""State that goes into files of its own: killed, rescaled, damaged, and on a full disk."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.flows.conftest import SEED
from tests.flows.processes import ends, started
from tests.flows.test_determinism import SMALL_BATCHES, assert_same
from tests.flows.test_recovery_store import IN_A_NAMESPACE, SMALL_DISK
from tests.reference.check import Tables
from tests.reference.files import of_processes
from tests.reference.flow_run import FlowRun
from tests.reference.log import WrittenLog
from tests.reference.oracle import Truth
from tests.reference.worlds import WorldSpec, write_world

pytestmark = pytest.mark.slow
# The learner keeps some 2 MB, in files of 8 kB here: twice as many as hold it, and those of the snapshots before.
FILES_MAX = 800
"""Of one key: the learner's 0.5 MB are some 60 files' worth, as much is out of use, and three snapshots wrote some."""


@pytest.fixture(scope="session")
def in_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of processes that keep all their state in files."""
    return of_processes(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> WrittenLog:
    return write_world(WorldSpec(seed=5, accounts=8, days=20), tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def finished(small: WrittenLog, in_files: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> FlowRun:
    """A finished run with a recovery store."""
    run = FlowRun(small.path, tmp_path_factory.mktemp("finished"), recovery=True, settings=in_files)
    run.finish()
    return run


@pytest.mark.parametrize("number", range(2))
def test_kills_and_other_numbers_of_processes_change_nothing(
    world: WrittenLog,
    truth: Truth,
    undisturbed: FlowRun,
    tables: Tables,
    in_files: dict[str, str],
    home: Path,
    number: int,
) -> None:
    run = FlowRun(world.path, home, recovery=True, settings={**SMALL_BATCHES, **in_files})
    draw = random.Random(SEED + number)
    killed = 0
    for share in sorted(draw.uniform(0.05, 0.8) for _ in range(4)):
        run.processes = draw.randint(1, 2)
        killed += run.kill_when(partial(run.has_written, undisturbed.risk_bytes() * share))
    assert killed > 1, run.output()
    run.processes = draw.randint(1, 2)
    run.finish()
    assert_same(run, world, truth, tables, resumed=True)
    state = home / "recovery" / "state"
    shards = {f"{step}-{shard}" for step in ("accounts", "score") for shard in range(6)}
    assert {folder.name for folder in state.iterdir()} == {*shards, "learn-model", "monitor-monitor"}
    assert max(len(list(folder.iterdir())) for folder in state.iterdir()) < FILES_MAX


def cut(recovery: Path) -> None:
    for file in (recovery / "state" / "accounts-3").iterdir():
        file.write_bytes(file.read_bytes()[:-1])


def garbage(recovery: Path) -> None:
    for file in (recovery / "state" / "accounts-3").iterdir():
        file.write_bytes(b"?" * file.stat().st_size)


def missing(recovery: Path) -> None:
    shutil.rmtree(recovery / "state" / "accounts-3")


def all_missing(recovery: Path) -> None:
    shutil.rmtree(recovery / "state")


DAMAGES: list[tuple[Callable[[Path], None], str, str]] = [
    (cut, "state/accounts-3/", "is damaged; restore the whole directory from a back-up"),
    (garbage, "state/accounts-3/", "is damaged; restore the whole directory from a back-up"),
    (missing, "state/accounts-3/", "is missing; restore the whole directory from a back-up"),
    (all_missing, "state/", "is missing; restore the whole directory from a back-up"),
]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("damage", "file", "expected"), DAMAGES, ids=[damage.__name__ for damage, *_ in DAMAGES])
def test_damage_is_one_line(
    finished: FlowRun,
    small: WrittenLog,
    in_files: dict[str, str],
    home: Path,
    damage: Callable[[Path], None],
    file: str,
    expected: str,
    processes: int,
) -> None:
    run = FlowRun(small.path, home, processes=processes, recovery=True, settings=in_files)
    shutil.copytree(finished.home / "recovery", home / "recovery")
    run.log_dir = finished.log_dir
    damage(home / "recovery")
    with started(run) as process:
        assert ends(process, run) == 1, run.output()
    said = [line for line in run.output().splitlines() if "recovery directory" in line]
    assert said, run.output()
    assert all(f"c360: error: recovery directory {home / 'recovery'}: {file}" in line for line in said)
    assert all(expected in line for line in said), run.output()
    assert "Traceback" not in run.output()


def test_a_full_disk_under_it_is_one_line_and_loses_nothing(
    small: WrittenLog, in_files: dict[str, str], home: Path
) -> None:
    if subprocess.run([*IN_A_NAMESPACE, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs a user namespace, which this system does not grant")
    recovery = home / "recovery"
    recovery.mkdir()
    run = FlowRun(small.path, home, recovery=True, until_end=False, settings=in_files)
    run.prefix = (*IN_A_NAMESPACE, SMALL_DISK.format(recovery=recovery), "sh")
    with started(run) as process:
        assert ends(process, run) == 1, run.output()
    assert f"recovery directory {recovery}: the disk is full; free some space and run again: it" in run.output()
    assert "Traceback" not in run.output()
