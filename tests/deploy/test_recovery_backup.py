"""What the back-up's Job does to a recovery directory and to its archives, by its own command."""

from __future__ import annotations

import fcntl
import resource
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from c360_stream.runtime.recovery import ORIGIN, RECOVERY_PARTITIONS
from c360_stream.state.chunk_store import STATE_FOLDER
from tests.deploy.backup_job import run_job

PARTS = [f"part-{number}.sqlite3" for number in range(RECOVERY_PARTITIONS)]


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with a recovery directory as a run leaves it: the files' names, not what SQLite has in them."""
    recovery = tmp_path / "volume" / "recovery"
    fill(recovery, "first")
    return recovery.parent


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    place = tmp_path / "backups"
    place.mkdir()
    return place


def fill(recovery: Path, content: str) -> None:
    (recovery / STATE_FOLDER / "learn-model").mkdir(parents=True, exist_ok=True)
    recovery.chmod(0o700)
    (recovery / STATE_FOLDER / "learn-model" / "1-0.segment").write_text(content)
    for name in (ORIGIN, *PARTS, f"{PARTS[0]}-wal"):
        (recovery / name).write_text(f"{content} {name}")
    (recovery / ".lock").touch()


def content(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """What it says last, of one that failed."""
    assert result.returncode == 1
    assert result.stdout == ""
    return result.stderr.splitlines()[-1]


def archive_of(volume: Path, backups: Path) -> str:
    """The name of a new archive, as the Job prints it."""
    return done(run_job("take", volume, backups)).removeprefix("wrote ").partition(",")[0]


def test_what_was_backed_up_comes_back_and_what_was_there_is_set_aside(volume: Path, backups: Path) -> None:
    kept = content(volume / "recovery")
    name = archive_of(volume, backups)
    assert names(backups) == sorted([name, f"{name}.sha256"])
    assert stat.S_IMODE((backups / name).stat().st_mode) == 0o600
    (volume / "recovery" / "part-20.sqlite3").write_text("of later")
    fill(volume / "recovery", "second")
    later = content(volume / "recovery")
    said = done(run_job("restore", volume, backups, RESTORE_FROM=name))
    assert content(volume / "recovery") == kept
    assert stat.S_IMODE((volume / "recovery").stat().st_mode) == 0o700
    (aside,) = (each for each in names(volume) if each != "recovery")
    assert content(volume / aside) == later
    assert aside in said
    done(run_job("restore", volume, backups, RESTORE_FROM=aside))
    assert content(volume / "recovery") == later


def test_a_volume_that_has_none_yet_gets_one(volume: Path, backups: Path, tmp_path: Path) -> None:
    name = archive_of(volume, backups)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    done(run_job("restore", fresh, backups, RESTORE_FROM=name))
    assert content(fresh / "recovery") == content(volume / "recovery")
    assert names(fresh) == ["recovery"]


@pytest.mark.parametrize("lock", [".lock", ".lock-2"])
def test_one_in_use_is_left_alone(volume: Path, backups: Path, lock: str) -> None:
    name = archive_of(volume, backups)
    before = content(volume)
    with (volume / "recovery" / lock).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for result in (
            run_job("take", volume, backups, LOCK_SECONDS_MAX="0"),
            run_job("restore", volume, backups, LOCK_SECONDS_MAX="0", RESTORE_FROM=name),
        ):
            assert "in use; scale the workers to 0" in refused(result)
    assert content(volume) == {**before, f"recovery/{lock}": b""}
    assert names(backups) == sorted([name, f"{name}.sha256"])


def without_origin(recovery: Path) -> None:
    (recovery / ORIGIN).unlink()


def with_an_empty_part(recovery: Path) -> None:
    (recovery / PARTS[-1]).write_text("")


def without_anything(recovery: Path) -> None:
    for path in recovery.iterdir():
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize("harm", [without_origin, with_an_empty_part, without_anything])
def test_an_incomplete_one_drives_no_good_archive_out(
    volume: Path, backups: Path, harm: Callable[[Path], None]
) -> None:
    archive_of(volume, backups)
    before = names(backups)
    harm(volume / "recovery")
    assert "is missing or empty; back up one" in refused(run_job("take", volume, backups, BACKUPS_KEPT="1"))
    assert names(backups) == before


def test_the_newest_archives_stay(volume: Path, backups: Path) -> None:
    for day in range(1, 5):
        for ending in ("", ".sha256"):
            (backups / f"c360-recovery-2024010{day}T000000Z.tar.gz{ending}").touch()
    (backups / "c360-recovery-20240101T000000Z.tar.gz.unfinished").touch()
    (backups / "notes.txt").touch()
    name = archive_of(volume, backups)
    kept = [f"c360-recovery-2024010{day}T000000Z.tar.gz" for day in (3, 4)] + [name]
    assert names(backups) == sorted([*kept, *(f"{each}.sha256" for each in kept), "notes.txt"])
    assert "a number from 1 on" in refused(run_job("take", volume, backups, BACKUPS_KEPT="0"))


def small_files() -> None:
    """Let no file grow past 16 KiB, as on a volume with no more room."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))


def test_a_full_volume_keeps_the_archives_that_it_has(volume: Path, backups: Path) -> None:
    name = archive_of(volume, backups)
    large = bytes(range(256)) * 256
    (volume / "recovery" / PARTS[3]).write_bytes(b"".join(large[at:] + large[:at] for at in range(1, 4096, 7)))
    said = refused(run_job("take", volume, backups, small_files, BACKUPS_KEPT="1"))
    assert "could not be written; see the line above" in said
    assert names(backups) == sorted([name, f"{name}.sha256"])


def test_a_full_volume_keeps_the_directory_that_it_has(volume: Path, backups: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    fill(other / "recovery", "other")
    (other / "recovery" / PARTS[3]).write_bytes(bytes(65536))
    name = archive_of(other, backups)
    before = content(volume)
    said = refused(run_job("restore", volume, backups, small_files, RESTORE_FROM=name))
    assert "could not be unpacked" in said
    assert content(volume) == before
    assert names(volume) == ["recovery"]


def test_a_damaged_or_a_missing_archive_changes_nothing(volume: Path, backups: Path) -> None:
    name = archive_of(volume, backups)
    written = bytearray((backups / name).read_bytes())
    written[len(written) // 2] ^= 1
    (backups / name).write_bytes(written)
    before = content(volume)
    assert "is damaged" in refused(run_job("restore", volume, backups, RESTORE_FROM=name))
    said = refused(run_job("restore", volume, backups, RESTORE_FROM="c360-recovery-19990101T000000Z.tar.gz"))
    assert f"name one of: {name}" in said
    aside = refused(run_job("restore", volume, backups, RESTORE_FROM="recovery.before-19990101T000000Z"))
    assert f"{ORIGIN} is missing" in aside
    assert content(volume) == before


def test_a_restore_that_names_nothing_is_refused(volume: Path, backups: Path) -> None:
    result = run_job("restore", volume, backups)
    assert result.returncode != 0
    assert "RESTORE_FROM" in result.stderr
    assert "take or restore" in refused(run_job("prune", volume, backups))
