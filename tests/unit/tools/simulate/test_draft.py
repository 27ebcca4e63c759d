"""An interrupted `c360 simulate --out` leaves nothing that looks whole, costs nobody's data, and can be repeated."""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from c360_stream.cli.main import cli
from c360_stream.tools.simulate import draft as simulate_out
from c360_stream.tools.simulate.draft import UNFINISHED

WORLD = ("--accounts", "20", "--days", "30", "--seed", "7")
SECONDS_MAX = 60.0


def simulate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["simulate", *WORLD, "--out", "log", *arguments], prog_name="c360")


def digest(directory: Path) -> str:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(str(p.relative_to(directory)).encode() + p.read_bytes() for p in files)).hexdigest()


def whole() -> str:
    """Digest of what a simulation that nobody interrupts writes."""
    done = CliRunner().invoke(cli, ["simulate", *WORLD, "--out", "undisturbed"], prog_name="c360")
    assert done.exit_code == 0, done.stderr
    return digest(Path("undisturbed"))


def interrupted(number: signal.Signals) -> None:
    """A real process, ended by a signal once it has written some days of a longer history."""
    command = [sys.executable, "-m", "c360_stream", "simulate", "--accounts", "50", "--days", "600", "--seed", "1"]
    process = subprocess.Popen([*command, "--out", "log"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert "simulating: day 60 of 600" in process.stderr.readline()
        process.send_signal(number)
        process.communicate(timeout=SECONDS_MAX)
    finally:
        process.kill()
    assert process.returncode != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_and_repeated_it_is_as_if_it_had_never_been_killed(number: signal.Signals) -> None:
    Path("log").mkdir()
    Path("log/thesis.txt").write_text("mine")
    interrupted(number)
    left = {path.name for path in Path("log").iterdir()}
    assert left - {UNFINISHED} == {"thesis.txt"}, "half of a history must not look like a whole one"
    assert (UNFINISHED in left) == (number is not signal.SIGINT), "on Ctrl-C it can put things in order itself"
    done = simulate()
    assert done.exit_code == 0, done.stderr
    assert ("unfinished simulation: it is begun anew" in done.stderr) == (UNFINISHED in left)
    Path("log/thesis.txt").unlink()
    assert digest(Path("log")) == whole()


def test_a_full_disk_is_one_line_gives_back_the_space_and_can_be_repeated() -> None:
    """A limit on the size of files stands for the disk: the same calls fail."""
    command = [sys.executable, "-m", "c360_stream", "simulate", *WORLD, "--out", "log"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert "free some space and start again" in errors[0] or "check the path and the free space" in errors[0]
    assert list(Path("log").iterdir()) == []
    assert simulate().exit_code == 0
    assert digest(Path("log")) == whole()


@pytest.mark.parametrize("files", [0, 5, 12, 13])
def test_killed_while_it_moves_files_to_their_place_it_goes_on_with_that(
    files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of the 13 files: nothing is simulated again, and nothing is in two places."""
    expected = whole()
    said = CliRunner().invoke(cli, ["simulate", *WORLD, "--out", "whole"], prog_name="c360").stdout
    moved = 0
    rename = Path.rename

    def dying(path: Path, target: Path) -> Path:
        nonlocal moved
        if path.suffix == ".jsonl":
            if moved == files:
                os._exit(9)
            moved += 1
        return rename(path, target)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(Path, "rename", dying)
        simulate()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == (9 if files < 13 else 0)
    if files == 13:
        assert digest(Path("log")) == expected
        return
    done = simulate()
    assert done.exit_code == 0, done.stderr
    assert done.stdout == said.replace("whole", "log")
    assert "day 30" not in done.stderr
    assert digest(Path("log")) == expected


def half_moved() -> None:
    simulate()
    unfinished = Path("log") / UNFINISHED
    unfinished.mkdir()
    (unfinished / simulate_out.TRUTH).write_bytes((Path("log") / simulate_out.TRUTH).read_bytes())
    Path("log", simulate_out.TRUTH).unlink()
    (unfinished / simulate_out.WHOLE).write_text('{"company": {"seed": 8}, "said": "all of it"}')


def test_another_company_than_the_one_that_was_moved_is_refused() -> None:
    half_moved()
    done = simulate()
    assert done.exit_code == 2
    assert "already holds events" in done.stderr
    assert digest(Path("log")) == whole(), "the other one is whole now, and stays"


def test_what_somebody_has_put_there_meanwhile_is_not_written_over() -> None:
    half_moved()
    Path("log", simulate_out.TRUTH).write_text("mine")
    for _ in range(2):
        done = simulate()
        assert done.exit_code == 2
        assert "truth.jsonl is there already; move it away" in done.stderr
        assert Path("log", simulate_out.TRUTH).read_text() == "mine"


def events(path: Path) -> None:
    path.mkdir(parents=True)
    (path / "0.jsonl").write_text("mine")


def truth(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("mine")


@pytest.mark.parametrize("unfinished", [False, True])
@pytest.mark.parametrize(("own", "put"), [("log/c360.billing.events.v1", events), ("log/truth.jsonl", truth)])
def test_a_users_own_data_is_refused_and_left_alone(own: str, put: Callable[[Path], None], unfinished: bool) -> None:
    put(Path(own))
    before = digest(Path("log"))
    if unfinished:
        Path("log", UNFINISHED, "c360.billing.events.v1").mkdir(parents=True)
    done = simulate()
    assert done.exit_code == 2
    assert Path(own).name in done.stderr
    assert digest(Path("log")) == before
    assert not Path("log", UNFINISHED).exists()


def test_a_truth_elsewhere_is_written_again() -> None:
    Path("elsewhere.jsonl").write_text("of an interrupted simulation")
    Path("log").mkdir()
    Path("log/truth.jsonl").write_text("mine")
    assert simulate("--truth", "elsewhere.jsonl").exit_code == 0
    assert Path("log/truth.jsonl").read_text() == "mine"
    assert Path("elsewhere.jsonl").read_text().startswith('{"account_id"')


def test_two_at_a_time_are_refused() -> None:
    unfinished = Path("log") / UNFINISHED
    unfinished.mkdir(parents=True)
    with (unfinished / simulate_out.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = simulate()
    assert done.exit_code == 1
    assert "another c360 simulate is at work in log; wait for it" in done.stderr
    assert unfinished.is_dir()


def test_a_directory_that_cannot_be_written_is_one_line() -> None:
    Path("log").write_text("a file")
    assert simulate().exit_code == 2
    Path("log").unlink()
    Path("there").write_text("a file")
    done = CliRunner().invoke(cli, ["simulate", *WORLD, "--out", "there/log"], prog_name="c360")
    assert done.exit_code == 1
    assert done.stderr == "c360: error: there/log: Not a directory; check the path and the free space\n"
