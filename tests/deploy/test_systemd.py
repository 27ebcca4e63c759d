"""The systemd units: right by systemd's own word, and in agreement with the program, its settings and exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from c360_stream.cli.main import cli
from c360_stream.errors import C360Error, ConfigurationError
from c360_stream.runtime.signals import STOP_SECONDS_MAX
from c360_stream.settings import Settings
from c360_stream.settings.declaration import secret_fields
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.deploy.compose import ROOT
from tests.deploy.units import CREDENTIALS, PROGRAM, SYSTEMD, Unit, assignments, unit, units

EXPOSURE_MAX = 2.0
"""Of 10, as `systemd-analyze security` counts: the rest is the network and what /proc shows beside processes."""
SECRETS = {
    "kafka-sasl-password": "example",
    "clickhouse-dsn": "clickhouses://c360:example@host:8443/c360",
    "clickhouse-setup-dsn": "clickhouses://c360_setup:example@host:8443/c360",
}
NAMES = [each.name for each in units()]
LONG_RUNNING = ("c360-stream.service", "c360-heartbeat.service")


@pytest.fixture(params=NAMES)
def each(request: pytest.FixtureRequest) -> Unit:
    return unit(request.param)


@pytest.fixture
def analyze() -> str:
    """The program that knows what systemd makes of a unit; CI installs it."""
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("C360_REQUIRE_STACK") == "1":
            pytest.fail("C360_REQUIRE_STACK=1, but there is no systemd-analyze")
        pytest.skip("no systemd-analyze")
    return program


def installed(folder: Path, added: str = "") -> Path:
    """A copy of the units whose program is there, since systemd looks for it."""
    copy = folder / "units"
    shutil.copytree(SYSTEMD, copy)
    for path in copy.glob("*.service"):
        path.write_text(path.read_text().replace(PROGRAM, "/bin/true") + added)
    return copy


def asked(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_there_is_a_unit_for_the_workers_for_heartbeats_and_for_what_comes_before() -> None:
    assert [words[1] for each in units() for words in each.commands()] == ["heartbeat", "setup", "doctor", "run"]


def test_every_command_is_one_of_ours_with_options_that_it_takes(each: Unit) -> None:
    for program, subcommand, *options in each.commands():
        assert program == PROGRAM
        command = cli.commands[subcommand]
        assert isinstance(command, click.Command)
        command.make_context(subcommand, options)


def test_every_variable_is_a_setting_and_its_value_is_understood(
    each: Unit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert each.one("EnvironmentFile") == "/etc/c360/c360.env"
    public = {f"C360_{name.upper()}" for name in Settings.model_fields if name not in secret_fields()}
    example = dict(assignments(SYSTEMD / "c360.env"))
    assert example.keys() <= public, "a secret, or no setting"
    assert each.environment().keys() <= {f"C360_{name.upper()}_FILE" for name in secret_fields()}
    used = {value.removeprefix(f"{CREDENTIALS}/") for value in each.environment().values()}
    assert used == each.credentials().keys(), "each credential is read by a setting"
    for name, source in each.credentials().items():
        assert source == f"/etc/c360/secrets/{name}"
        (tmp_path / name).write_text(f"{SECRETS[name]}\n")
    for name, value in (example | each.environment()).items():
        monkeypatch.setenv(name, value.replace(CREDENTIALS, str(tmp_path)))
    settings = Settings()
    assert settings.uses_kafka
    assert settings.kafka_sasl_password.get_secret_value() == SECRETS["kafka-sasl-password"]
    # What needs no tables knows no way to them.
    assert settings.embedded_tables == (each.name == "c360-heartbeat.service")


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_failure_is_started_again_and_a_wrong_configuration_is_not(name: str) -> None:
    each = unit(name)
    assert each.one("Restart") == "on-failure"
    assert each.one("RestartPreventExitStatus").split() == [str(ConfigurationError.exit_code)]
    assert C360Error.exit_code != ConfigurationError.exit_code
    assert each.one("StartLimitIntervalSec") == "0", "it would be given up in an outage"
    assert each.one("KillSignal") == "SIGTERM"
    assert int(each.one("TimeoutStopSec")) >= 3 * STOP_SECONDS_MAX


def test_the_recovery_directory_is_in_the_one_place_that_can_be_written_to() -> None:
    each = unit("c360-stream.service")
    ((*_, directory),) = each.commands()
    assert Path(directory).parent == Path("/var/lib") / each.one("StateDirectory")
    assert each.one("StateDirectoryMode") == "0700"
    assert each.one("ProtectSystem") == "strict"
    for other in units():
        assert ("StateDirectory" in other.directives) == (other.name == each.name)


def test_the_workers_may_open_what_many_partitions_need() -> None:
    """As "Open files" in docs/operations.md counts: 1,000 partitions on three brokers."""
    assert int(unit("c360-stream.service").one("LimitNOFILE")) >= 150 + 1000 * (6 + 2 * 3)


def test_systemd_knows_every_directive(analyze: str, tmp_path: Path) -> None:
    copy = installed(tmp_path)
    for name in NAMES:
        verified = asked(analyze, "verify", "--man=no", f"./{name}", cwd=copy)
        assert (verified.returncode, verified.stderr) == (0, ""), name


def test_systemd_says_when_it_does_not(analyze: str, tmp_path: Path) -> None:
    """So that the test above says something, of the drop-in too."""
    copy = installed(tmp_path, "LimitFiles=1\n")
    (drop_in,) = copy.glob("*.d/*.conf")
    drop_in.write_text(drop_in.read_text() + "PrivateSecrets=yes\n")
    verified = asked(analyze, "verify", "--man=no", "./c360-stream.service", cwd=copy)
    assert "LimitFiles" in verified.stderr
    assert "PrivateSecrets" in verified.stderr


def test_each_is_confined(analyze: str, tmp_path: Path) -> None:
    copy = installed(tmp_path)
    for name in NAMES:
        shown = asked(analyze, "security", "--offline=yes", "--json=short", f"./{name}", cwd=copy)
        assert shown.returncode == 0, shown.stderr
        found = {row["json_field"]: row for row in json.loads(shown.stdout)}
        assert found["NoNewPrivileges"]["set"]
        assert found["UserOrDynamicUser"]["set"]
        limit = f"--threshold={EXPOSURE_MAX * 10:.0f}"
        judged = asked(analyze, "security", "--offline=yes", limit, f"./{name}", cwd=copy)
        assert judged.returncode == 0, judged.stdout[-200:]


@pytest.mark.slow
def test_the_program_does_without_what_it_is_refused(analyze: str, tmp_path: Path) -> None:
    """System calls and writable memory that is executed; in the place of systemd the library that it uses."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "C360_LOG_DIR": "log", "C360_METRICS_ADDRESS": "127.0.0.1:0"}

    def confined(*command: str) -> subprocess.CompletedProcess[str]:
        prefix = [sys.executable, "-m", "tests.deploy.confinement", "c360-stream.service", sys.executable]
        return subprocess.run(
            [*prefix, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    trial = "import mmap, os\nfor act in (lambda: mmap.mmap(-1, 4096, prot=7), lambda: os.sched_setaffinity(0, {0})):\n"
    trial += "    try: act()\n    except PermissionError: print('refused')"
    assert confined("-c", trial).stdout.split() == ["refused", "refused"]
    with ClickHouseFront(tmp_path / "tables") as front:
        environment["C360_CLICKHOUSE_DSN"] = front.dsn()
        world = "simulate --accounts 10 --days 30 --seed 7 --out log"
        for line in (world, "setup", "doctor", "run --until-end --processes 2 --recovery recovery"):
            done = confined("-m", "c360_stream", *line.split())
            assert done.returncode == 0, f"{line}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
