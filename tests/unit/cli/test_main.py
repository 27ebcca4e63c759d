"""The command line's contract: help with examples, exit codes, and errors that are one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from c360_stream import __version__
from c360_stream.cli.main import CommandGroup, LazyCommand, cli
from c360_stream.cli.options import debug_option
from c360_stream.errors import ConfigurationError, TransportError


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("C360_")]:
        monkeypatch.delenv(name)


def call(*args: str) -> Result:
    return CliRunner().invoke(cli, args, prog_name="c360")


def assert_one_line(stderr: str) -> str:
    """Check the form of an error and return it."""
    assert stderr.startswith("c360: error: ")
    assert stderr.count("\n") == 1
    assert stderr.endswith("\n")
    assert "; " in stderr
    assert "Traceback" not in stderr
    return stderr


def test_the_commands_are_those_of_the_product() -> None:
    assert set(cli.commands) == {
        *("demo", "simulate", "run", "setup", "doctor", "models", "interventions", "top", "verify", "evaluate"),
        *("heartbeat", "redrive", "bench", "sort", "declare"),
    }


@pytest.mark.parametrize("listed", cli.commands.values(), ids=list(cli.commands))
def test_the_list_says_of_a_command_what_its_help_begins_with(listed: click.Command) -> None:
    assert isinstance(listed, LazyCommand)
    command = listed.load()
    assert (command.name, command.get_short_help_str(100)) == (listed.name, listed.get_short_help_str(100))


def test_help_loads_no_library_but_click() -> None:
    """It is what somebody waits for who does not know yet what to call."""
    script = """
import contextlib, io, sys
from c360_stream.cli.main import cli
for arguments in ([], ["--help"], *([name, "--help"] for name in cli.commands)):
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        assert cli(arguments, standalone_mode=False) in (None, 0), arguments
    assert "Example:" in shown.getvalue(), arguments
print(*{name.partition(".")[0] for name in sys.modules})
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    libraries = {"bytewax", "chdb", "clickhouse_connect", "confluent_kafka", "lightgbm", "msgspec", "numpy", "pandas"}
    libraries |= {"prometheus_client", "pyarrow", "pydantic", "rich", "river", "scipy", "sklearn", "xxhash"}
    assert libraries & set(process.stdout.split()) == set()


@pytest.mark.parametrize("name", ["", *cli.commands])
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = call(*([name] if name else []), "--help")
    assert result.exit_code == 0
    assert f"Example:\n    c360 {name}" in result.output


def test_without_arguments_it_shows_its_help() -> None:
    assert call().output == call("--help").output


def test_run_says_what_its_exit_codes_mean() -> None:
    shown = " ".join(call("run", "--help").output.split())
    for meaning in ("0 the input has ended", "1 it failed", "2 wrong use or configuration", "128 + the signal's"):
        assert meaning in shown


def test_version() -> None:
    assert call("--version").output == f"c360 {__version__}\n"


@pytest.mark.parametrize(
    "line",
    [
        "nosuch",
        "--nosuch",
        "run --nosuch",
        "run --processes 0",
        "run --log-dir missing",
        "run --process 0",
        "run --peers a:1,b:1",
        "run --peers a:1,b:1 --process 2",
        "run --peers a,b:1 --process 0",
        "run --peers a:1,b:1 --process 0 --processes 2",
        "simulate",
        "simulate --accounts 10 --days x --seed 1 --out log",
        "simulate --accounts 10 --days 10 --seed 1",
        "simulate --accounts 10 --days 10 --seed 1 --out log --kafka localhost:9092",
        "simulate --accounts 10 --days 10 --seed 1 --out log --scenario nosuch",
        "verify",
        "verify acme --as-of yesterday",
        "verify acme --as-of 2025-06-30T00:00:00",
        "top --rows 0",
        "heartbeat --every 0",
        "heartbeat --once --every 5",
        "heartbeat",
        "redrive",
        "redrive --since yesterday",
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(line: str) -> None:
    result = call(*line.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert_one_line(result.stderr)


def test_wrong_configuration_names_the_setting_and_not_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C360_SHARDS", "hunter2")
    result = call("doctor")
    assert result.exit_code == 2
    assert "C360_SHARDS" in assert_one_line(result.stderr)
    assert "hunter2" not in result.stderr


def test_a_log_directory_that_is_asked_for_overrules_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C360_KAFKA_BROKERS", "nosuch.invalid:9092")
    result = call("doctor", "--log-dir", "somewhere")
    assert 'kafka_brokers = ""' in result.output
    assert 'log_dir = "somewhere"' in result.output


FAILURES: list[tuple[BaseException, int, str]] = [
    (TransportError("broker away", "start it"), 1, "c360: error: broker away; start it\n"),
    (ConfigurationError("no such topic", "run c360 setup"), 2, "c360: error: no such topic; run c360 setup\n"),
    (
        RuntimeError("two\nlines \x1b[2J"),
        1,
        "c360: error: internal error: RuntimeError: two lines [2J; run again with --debug\n",
    ),
    (
        FileNotFoundError(2, "No such file", "a.txt"),
        1,
        "c360: error: a.txt: No such file; fix that, or see where with --debug\n",
    ),
    (click.FileError("b.txt", "gone"), 1, "c360: error: could not open file 'b.txt': gone; see 'c360 --help'\n"),
    (KeyboardInterrupt(), 130, "\nc360: error: interrupted; run the command again\n"),
]


@pytest.fixture
def failing(request: pytest.FixtureRequest) -> click.Command:
    @click.group(cls=CommandGroup)
    @debug_option()
    def group() -> None:
        """Behave as c360 does."""

    @group.command()
    @debug_option()
    def fail() -> None:
        raise request.param

    return group


@pytest.mark.parametrize(
    ("failing", "code", "line"), FAILURES, indirect=["failing"], ids=[type(row[0]).__name__ for row in FAILURES]
)
def test_failures_at_run_time(failing: click.Command, code: int, line: str) -> None:
    result = CliRunner().invoke(failing, ["fail"])
    assert (result.exit_code, result.stderr) == (code, line)


@pytest.mark.parametrize("failing", [ValueError("why")], indirect=True)
@pytest.mark.parametrize("args", [["--debug", "fail"], ["fail", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(failing: click.Command, args: list[str]) -> None:
    result = CliRunner().invoke(failing, args)
    assert result.exit_code == 1
    assert result.stderr.startswith("Traceback")
    assert result.stderr.endswith("\nc360: error: internal error: ValueError: why; run again with --debug\n")


def test_a_reader_that_went_away_ends_it_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stdout:
        command = [sys.executable, "-m", "c360_stream", "--help"]
        process = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)
    assert (process.returncode, process.stderr) == (1, b"")


def test_as_a_process_the_exit_code_and_the_name_are_the_same() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "c360_stream", "nosuch"], capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout) == (2, "")
    assert assert_one_line(process.stderr) == "c360: error: no such command 'nosuch'; see 'c360 --help'\n"


def test_where_the_log_is_json_an_error_is_json(tmp_path: Path) -> None:
    """Whoever takes the log apart gets the reason of an end, too."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
    for command in (["run", "--log-dir", "log"], ["heartbeat"]):
        (tmp_path / "log").mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "c360_stream", *command],
            env={**environment, "C360_LOG_FORMAT": "json", "C360_LOG_LEVEL": "error"},
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        (line,) = done.stderr.splitlines()
        shown = json.loads(line)
        assert (done.returncode, shown["event"], shown["exit_code"]) == (2, "command_failed", 2)
        assert "; " in shown["message"]
