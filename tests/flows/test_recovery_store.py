"""What the engine makes of a recovery store that is damaged, incomplete or full: one line, and what to do."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.processes import ends, started
from tests.reference.flow_run import FlowRun
from tests.reference.log import WrittenLog
from tests.reference.log_lines import other_lines
from tests.reference.worlds import WorldSpec, write_world

pytestmark = pytest.mark.slow
# 16 parts and their first tables take 512 KiB.
SMALL_DISK = 'mount -t tmpfs -o size=600k tmpfs {recovery} && exec "$@"'
IN_A_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> WrittenLog:
    return write_world(WorldSpec(seed=5, accounts=8, days=20), tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def finished(small: WrittenLog, tmp_path_factory: pytest.TempPathFactory) -> FlowRun:
    """A finished run with a recovery store."""
    run = FlowRun(small.path, tmp_path_factory.mktemp("finished"), recovery=True)
    run.finish()
    return run


def garbage(part: Path) -> None:
    part.write_bytes(b"rubbish!" * 1024)


def cut(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:6000])


def unopenable(part: Path) -> None:
    part.unlink()
    part.mkdir()


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (garbage, "part-3.sqlite3 cannot be read: file is not a database; restore the whole directory"),
    (cut, "part-3.sqlite3 cannot be read: database disk image is malformed; restore the whole directory"),
    (Path.unlink, "part-3.sqlite3 missing or empty; restore the whole directory"),
    (Path.touch, ""),
    (unopenable, "part-3.sqlite3 cannot be read: unable to open database file; restore the whole directory"),
]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("damage", "expected"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_damage_is_one_line(
    finished: FlowRun, small: WrittenLog, home: Path, damage: Callable[[Path], None], expected: str, processes: int
) -> None:
    run = FlowRun(small.path, home, processes=processes, recovery=True)
    shutil.copytree(finished.home / "recovery", home / "recovery")
    run.log_dir = finished.log_dir
    damage(home / "recovery" / "part-3.sqlite3")
    with started(run) as process:
        code = ends(process, run)
    if not expected:
        assert code == 0, run.output()
        return
    assert code == 1, run.output()
    (line,) = run.output().splitlines()
    assert f"c360: error: recovery directory {home / 'recovery'}: {expected}" in line


@pytest.mark.parametrize("processes", [1, 2])
def test_a_full_disk_under_it_is_one_line(small: WrittenLog, home: Path, processes: int) -> None:
    if subprocess.run([*IN_A_NAMESPACE, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs a user namespace, which this system does not grant")
    (home / "recovery").mkdir()
    run = FlowRun(small.path, home, processes=processes, recovery=True, until_end=False)
    run.prefix = (*IN_A_NAMESPACE, SMALL_DISK.format(recovery=home / "recovery"), "sh")
    with started(run) as process:
        assert ends(process, run) == 1, run.output()
    assert (
        f"recovery directory {home / 'recovery'}: the disk is full; free some space and run again: it" in run.output()
    )
    assert all(line.startswith("c360: error: ") for line in other_lines(run.output())), run.output()
