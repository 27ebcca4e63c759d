"""`c360 run`: its recovery store, one process at a time, and errors that name what is wrong."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from c360_stream.commands.run import RECOVERY_PARTITIONS, _free_ports, _recovery_store, run
from c360_stream.errors import ConfigurationError, StateError
from c360_stream.settings import Settings

HOLD = """
import sys
from pathlib import Path
from c360_stream.commands.run import _recovery_store
with _recovery_store(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the recovery store open."""
    command = [sys.executable, "-c", HOLD, str(directory)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_one_process_at_a_time_has_a_recovery_store(settings: Settings, tmp_path: Path) -> None:
    """Two would mix their states; the lock goes with its holder, however that ends."""
    recovery = tmp_path / "recovery"
    with another_process(recovery):
        for processes in (1, 2):
            with pytest.raises(StateError, match="in use by another process"):
                run(settings, processes=processes, recovery=recovery)
    with _recovery_store(recovery) as lock:
        assert lock is not None


def test_only_its_owner_can_read_a_recovery_store(tmp_path: Path) -> None:
    """Whoever could write to it could run code: it holds pickles of the engine."""
    recovery = tmp_path / "deep" / "recovery"
    recovery.mkdir(parents=True, mode=0o755)
    with _recovery_store(recovery):
        assert stat.S_IMODE(recovery.stat().st_mode) == 0o700
        assert len(list(recovery.glob("*.sqlite3"))) == RECOVERY_PARTITIONS


def test_a_recovery_store_is_kept_when_it_is_opened_again(tmp_path: Path) -> None:
    with _recovery_store(tmp_path / "recovery"):
        files = {file: file.stat().st_ino for file in (tmp_path / "recovery").glob("*.sqlite3")}
    with _recovery_store(tmp_path / "recovery"):
        assert {file: file.stat().st_ino for file in files} == files


def test_no_recovery_store_is_made_unasked(tmp_path: Path) -> None:
    with _recovery_store(None) as lock:
        assert lock is None
    assert list(tmp_path.iterdir()) == []


def test_a_recovery_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigurationError, match=r"file/recovery: Not a directory"),
        _recovery_store(tmp_path / "file" / "recovery"),
    ):
        pass


def test_what_goes_wrong_in_the_run_is_not_blamed_on_the_recovery_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="something else"), _recovery_store(tmp_path / "recovery"):
        raise FileNotFoundError(2, "something else")


def test_a_run_without_input_says_so(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        run(settings)
    settings.log_dir.mkdir()
    with pytest.raises(ConfigurationError, match=f"no input partition in {tmp_path}"):
        run(settings)


def test_free_ports_are_distinct() -> None:
    assert len(set(_free_ports(5))) == 5
    assert os.environ.get("C360_PEERS") is None
