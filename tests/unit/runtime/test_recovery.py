"""The recovery store: one owner, one run at a time, one input, and failures that say what to do."""

from __future__ import annotations

import json
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.testing import TestingSink, TestingSource, run_main

from c360_stream.errors import ConfigurationError, StateError
from c360_stream.runtime import recovery as module
from c360_stream.runtime.recovery import ORIGIN, RECOVERY_PARTITIONS, begun, explain, recovery_store
from c360_stream.settings import Settings, load_settings

HOLD = """
import sys
from pathlib import Path
from c360_stream.runtime.recovery import recovery_store
from c360_stream.settings import load_settings
with recovery_store(Path(sys.argv[1]), load_settings(log_dir=Path(sys.argv[2])), process=int(sys.argv[3])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(directory: Path, log_dir: Path, process: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A process that has the recovery store open."""
    command = [sys.executable, "-c", HOLD, str(directory), str(log_dir), str(process)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


@pytest.fixture(autouse=True)
def _a_log(settings: Settings) -> None:
    settings.log_dir.mkdir()


def make(directory: Path, settings: Settings) -> None:
    with recovery_store(directory, settings):
        pass


def parts(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.sqlite3"))


def test_the_lock_goes_with_its_holder_however_that_ends(settings: Settings, tmp_path: Path) -> None:
    with (
        another_process(tmp_path / "recovery", settings.log_dir),
        pytest.raises(StateError, match="in use by another process"),
    ):
        make(tmp_path / "recovery", settings)
    with recovery_store(tmp_path / "recovery", settings) as lock:
        assert lock is not None


def test_only_its_owner_can_read_it(settings: Settings, tmp_path: Path) -> None:
    """Whoever could write to it could run code: it holds pickles of the engine."""
    recovery = tmp_path / "deep" / "recovery"
    recovery.mkdir(parents=True, mode=0o755)
    make(recovery, settings)
    assert stat.S_IMODE(recovery.stat().st_mode) == 0o700
    assert len(parts(recovery)) == RECOVERY_PARTITIONS


def test_it_is_kept_when_it_is_opened_again(settings: Settings, tmp_path: Path) -> None:
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    inodes = [part.stat().st_ino for part in parts(recovery)]
    make(recovery, settings)
    assert [part.stat().st_ino for part in parts(recovery)] == inodes


def test_one_whose_making_was_cut_short_is_made_anew(settings: Settings, tmp_path: Path) -> None:
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    (recovery / ORIGIN).unlink()
    for part in parts(recovery)[3:]:
        part.unlink()
    parts(recovery)[0].write_bytes(b"")
    make(recovery, settings)
    assert len(parts(recovery)) == RECOVERY_PARTITIONS
    assert all(part.stat().st_size for part in parts(recovery))


def test_one_that_lost_a_part_is_not_made_anew(settings: Settings, tmp_path: Path) -> None:
    """That would begin at the start, and call it resuming."""
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    parts(recovery)[0].unlink()
    with pytest.raises(StateError, match=r"part-0.sqlite3 missing or empty; restore the whole directory"):
        make(recovery, settings)
    assert len(parts(recovery)) == RECOVERY_PARTITIONS - 1


def test_none_is_made_unasked(settings: Settings, tmp_path: Path) -> None:
    with recovery_store(None, settings) as lock:
        assert lock is None
    assert list(tmp_path.iterdir()) == [settings.log_dir]
    assert begun(None).positions == {}


def test_a_directory_of_other_files_is_left_as_it_is(settings: Settings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "notes.txt").touch()
    with pytest.raises(StateError, match=r"no recovery store but other files: notes.txt; name a new or an empty"):
        make(home, settings)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755
    assert [entry.name for entry in home.iterdir()] == ["notes.txt"]


def test_a_fresh_volume_is_empty(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "volume" / "lost+found").mkdir(parents=True)
    make(tmp_path / "volume", settings)


def test_a_directory_that_cannot_be_made_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"file/recovery: Not a directory"):
        make(tmp_path / "file" / "recovery", settings)


def test_what_goes_wrong_in_the_run_is_not_blamed_on_it(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="something else"), recovery_store(tmp_path / "recovery", settings):
        raise FileNotFoundError(2, "something else")


def test_it_is_refused_for_another_input(settings: Settings, tmp_path: Path) -> None:
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    beside = settings.model_copy(update={"input_prefix": "other"})
    for other in (load_settings(log_dir=tmp_path / "other"), load_settings(kafka_brokers="broker:9092"), beside):
        with pytest.raises(StateError, match=r"is of log directory .*/log, topics c360\.\*; this run is on"):
            make(recovery, other)


@pytest.mark.parametrize(
    ("name", "other"),
    [("core_actions", ("task_created",)), ("category_prefixes", {"board_": "boards"}), ("category_prefixes", {})],
)
def test_it_is_refused_if_its_windows_were_filled_by_other_rules(
    settings: Settings, tmp_path: Path, name: str, other: object
) -> None:
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    said = rf"its windows were filled with {name} = .*; now it is .*; set C360_{name.upper()} back, or name an empty"
    with pytest.raises(StateError, match=said):
        make(recovery, settings.model_copy(update={name: other}))
    make(recovery, settings.model_copy(update={"core_actions": settings.core_actions[::-1]}))


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"shards": 5}, r"C360_SHARDS: 5, was \d+"), ({"horizon_days": 30}, "C360_HORIZON_DAYS: 30, was 60")],
)
def test_it_is_refused_under_settings_that_the_layout_depends_on(
    settings: Settings, tmp_path: Path, changed: dict[str, int], said: str
) -> None:
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    with pytest.raises(
        StateError, match=rf"state was kept with another layout: {said}; run the release and the settings"
    ):
        make(recovery, settings.model_copy(update=changed))


def test_it_is_refused_with_the_difference_in_words_if_fields_are_kept_otherwise(
    settings: Settings, tmp_path: Path
) -> None:
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    noted = json.loads((recovery / ORIGIN).read_text())
    tier, since = "score.scorer.scores.tier: int8 array", "learn.term.since_day: integer"
    noted["layout"][noted["layout"].index(tier)] = "score.scorer.scores.tier: int16 array"
    noted["layout"].remove(since)
    noted["layout"].append("learn.luck: number")
    (recovery / ORIGIN).write_text(json.dumps(noted))
    said = (
        "layout: learn.term: field 'since_day' is new; learn: field 'luck' is gone;"
        " score.scorer.scores.tier: int8 array, was int16 array"
    )
    with pytest.raises(StateError, match=said):
        make(recovery, settings)


def test_one_of_a_release_that_noted_no_layout_is_refused(settings: Settings, tmp_path: Path) -> None:
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    noted = json.loads((recovery / ORIGIN).read_text())
    del noted["layout"]
    (recovery / ORIGIN).write_text(json.dumps(noted))
    with pytest.raises(
        StateError, match="its state was kept by an older release, which did not note its layout; run the"
    ):
        make(recovery, settings)


@pytest.mark.parametrize("layout", ["abc", ["abc"], [["a: b"]], [7], 7, {"a": "b"}, None])
def test_a_damaged_note_of_its_layout_is_named(settings: Settings, tmp_path: Path, layout: object) -> None:
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    noted = json.loads((recovery / ORIGIN).read_text()) | {"layout": layout}
    (recovery / ORIGIN).write_text(json.dumps(noted))
    with pytest.raises(StateError, match=r"origin.json: it is damaged; restore it"):
        make(recovery, settings)


@pytest.mark.parametrize("text", ["", "{}", '{"place": 1', "[]", '{"place": "p", "prefix": "c360", "begun_at": 7}'])
def test_a_damaged_note_of_its_input_is_named(settings: Settings, tmp_path: Path, text: str) -> None:
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    (recovery / ORIGIN).write_text(text)
    with pytest.raises(StateError, match=r"origin.json: it is damaged; restore it"):
        make(recovery, settings)


def test_one_in_use_that_lost_its_note_is_not_taken_for_new(settings: Settings, tmp_path: Path) -> None:
    """Whichever input is named would be noted as its own."""
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    with closing(sqlite3.connect(parts(recovery)[3])) as part:
        part.execute("INSERT INTO snaps VALUES ('churn', 'churn.accounts', '3', 1, x'00')")
        part.commit()
    (recovery / ORIGIN).unlink()
    with pytest.raises(StateError, match=f"{ORIGIN} is missing"):
        make(recovery, settings)
    assert len(parts(recovery)) == RECOVERY_PARTITIONS
    assert not (recovery / ORIGIN).exists()


def test_one_with_state_alone_is_not_taken_for_new(settings: Settings, tmp_path: Path) -> None:
    """Its files would be taken for leftovers."""
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    for path in (*parts(recovery), recovery / ORIGIN):
        path.unlink()
    (recovery / "state" / "accounts-3").mkdir(parents=True)
    with pytest.raises(StateError, match=f"{ORIGIN} is missing"):
        make(recovery, settings)


@pytest.mark.parametrize("opened", [False, True])
def test_the_engine_does_not_go_on_from_an_epoch_that_was_not_complete(
    opened: bool, settings: Settings, tmp_path: Path
) -> None:
    """It leaves what a killed run had stored of it, and takes that up once the epoch's second attempt is complete."""
    recovery, given = tmp_path / "recovery", list[tuple[str, int]]()
    make(recovery, settings)

    def run(*items: Any) -> None:
        flow = Dataflow("flow")
        counted = op.stateful_map("sum", op.input("in", flow, TestingSource(items)), lambda s, n: ((s or 0) + n,) * 2)
        op.output("out", counted, TestingSink(given))
        with recovery_store(recovery if opened else None, settings):
            run_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(str(recovery)))

    def query(text: str, *values: Any) -> list[Any]:
        found = []
        for part in parts(recovery):
            with closing(sqlite3.connect(part)) as database, database:
                found += [(part, *row) for row in database.execute(text, values).fetchall()]
        return found

    first = [("a", 1), ("b", 1), TestingSource.ABORT()]
    run(*first)
    resumes_at = max(epoch for _, epoch in query("SELECT max(worker_frontier) FROM fronts") if epoch)
    [(part, step)] = query("SELECT step_id FROM snaps WHERE state_key = 'b'")
    with closing(sqlite3.connect(part)) as database, database:  # as if the run had been killed amid the next epoch
        database.execute("INSERT INTO snaps VALUES (0, ?, 'b', ?, ?)", (step, resumes_at, pickle.dumps(999)))
    second = [*first[:2], *[("a", 1)] * 4, TestingSource.ABORT(), ("b", 1)]
    run(*second)
    run(*second)
    assert given[-1] == ("b", 2 if opened else 1000)


def test_a_full_disk_is_found_before_it_is_made(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_free_bytes", lambda _: 1000)
    with pytest.raises(StateError, match="the disk is full"):
        make(tmp_path / "recovery", settings)
    assert parts(tmp_path / "recovery") == []


@pytest.mark.parametrize(("mode", "refused"), [(0o770, False), (0o777, True)])
def test_a_directory_of_another_user_is_taken_unless_everybody_may_write(
    mode: int, refused: bool, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovery = tmp_path / "recovery"
    recovery.mkdir()
    recovery.chmod(mode)

    def denied(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", denied)  # as for whoever does not own it
    if refused:
        with pytest.raises(ConfigurationError, match=r"everybody may write to it; .*chmod o-w"):
            make(recovery, settings)
    else:
        make(recovery, settings)
        assert len(parts(recovery)) == RECOVERY_PARTITIONS


def test_process_0_makes_it_and_the_others_wait(settings: Settings, tmp_path: Path) -> None:
    recovery = tmp_path / "shared" / "recovery"
    joined = threading.Event()

    def join() -> None:
        with recovery_store(recovery, settings, process=1, cluster=True):
            joined.set()

    other = threading.Thread(target=join)
    other.start()
    assert not recovery.exists()
    with recovery_store(recovery, settings, cluster=True):
        other.join(30)
        assert joined.is_set()
    assert json.loads((recovery / ORIGIN).read_text())["place"].startswith("log directory")


def test_the_others_do_not_wait_for_good(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MADE_SECONDS_MAX", 0.0)
    with (
        pytest.raises(StateError, match="was not made by process 0 within 0 s; start process 0"),
        recovery_store(tmp_path / "recovery", settings, process=1, cluster=True),
    ):
        pass


def test_a_number_is_taken_once_and_a_run_of_its_own_waits_for_none(settings: Settings, tmp_path: Path) -> None:
    """A process that is left of a cluster would write to the store of the next run."""
    recovery = tmp_path / "recovery"
    make(recovery, settings)
    with another_process(recovery, settings.log_dir, 1), ExitStack() as held:
        with pytest.raises(StateError, match="in use"):
            held.enter_context(recovery_store(recovery, settings, process=1, cluster=True))
        with pytest.raises(StateError, match="in use"):
            make(recovery, settings)
        held.enter_context(recovery_store(recovery, settings, process=2, cluster=True))
        held.enter_context(recovery_store(recovery, settings, cluster=True))


def sqlite(code: str, text: str) -> str:
    failure = f'SqliteFailure(Error {{ code: {code}, extended_code: 1 }}, Some("{text}"))'
    return f"(src/run.rs:167:13) called `Result::unwrap()` on an `Err` value: {failure}"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (sqlite("DiskFull", "database or disk is full"), "the disk is full; free some space"),
        (
            sqlite("NotADatabase", "file is not a database"),
            "part-2.sqlite3 cannot be read: file is not a database; restore",
        ),
        (sqlite("CannotOpen", "unable to open database file"), "unable to open database file; make its files readable"),
        (sqlite("SystemIoFailure", "disk I/O error"), "disk I/O error; see to the disk"),
        (
            "MissingPartitionsError: Missing recovery partitions {PartitionIndex(11), PartitionIndex(2)} of 16",
            "part-2.sqlite3, part-11.sqlite3 missing or empty; restore",
        ),
        ("NoPartitionsError: No recovery partitions found on any worker; can't resume", "every part is missing;"),
        ("InconsistentPartitionsError: ...", "its parts are of different moments; restore the whole"),
        ("BytewaxRuntimeError: (src/recovery.rs:1097:14): can't open recovery DB", "unable to open database file;"),
    ],
)
def test_what_the_engine_says_is_told_in_one_line(settings: Settings, tmp_path: Path, said: str, expected: str) -> None:
    make(tmp_path / "recovery", settings)
    (tmp_path / "recovery" / "part-2.sqlite3").write_bytes(b"rubbish" * 1000)
    error = explain(tmp_path / "recovery", said)
    assert error is not None
    assert str(error).startswith(f"recovery directory {tmp_path / 'recovery'}: ")
    assert expected in str(error)


def test_other_failures_are_not_its() -> None:
    assert explain(Path("recovery"), "TypeError: unsupported operand") is None
