"""The image: what it installs is locked, what it leaves out is not needed, and its build steps give a working c360."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.contracts.clickhouse_front import ClickHouseFront
from tests.deploy.compose import ROOT
from tests.deploy.dockerfile import build, context, stages

LEFT_OUT = {"chdb"}
INSTALLED_MB_MAX = 600
REQUIRED = os.environ.get("C360_REQUIRE_STACK") == "1"


def locked(name: str) -> dict[str, str]:
    """Versions by distribution; each must have a hash."""
    text = (ROOT / name).read_text()
    found = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", text))
    assert len(re.findall(r"(?m)^[\w.-]+==\S+ \\\n    --hash=sha256:", text)) == len(found)
    return found


def dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.split(r"[<>=~!\[]", line)[0] for line in project["dependencies"]}


def test_the_image_has_the_versions_that_are_tested() -> None:
    all_versions = locked("requirements.lock")
    for lock in ("requirements-image.lock", "deploy/requirements-build.lock"):
        assert locked(lock).items() <= all_versions.items()


def test_the_image_has_what_the_package_needs_but_the_embedded_database() -> None:
    names = locked("requirements-image.lock").keys()
    assert dependencies() - names == LEFT_OUT
    assert not names & {"pytest", "mypy", "ruff", "hypothesis", "matplotlib", "lightgbm", "setuptools", "pip"}


def test_everything_that_is_installed_is_a_wheel_with_a_locked_hash() -> None:
    for stage in stages():
        for instruction in stage:
            assert not re.search(r"apt-get|curl|wget|gcc|ADD", f"{instruction.name} {instruction.text}")
            for command in re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^&]*", instruction.text):
                assert "--no-deps" in command
                if "--no-index" not in command:
                    assert "--require-hashes" in command
                    assert "--only-binary :all:" in command


def test_both_stages_have_the_same_pinned_base_of_the_tested_python() -> None:
    bases = {stage[0].text.removesuffix(" AS builder") for stage in stages()}
    (base,) = bases
    tested = re.escape(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert re.fullmatch(rf"python:{tested}\.\d+-slim-bookworm", base)


def test_the_image_runs_as_a_user_without_rights() -> None:
    final = {instruction.name: instruction.text for instruction in stages()[-1]}
    assert final["USER"] == "10001:10001"
    assert final["ENTRYPOINT"] == '["c360"]'
    assert "pip uninstall --yes pip setuptools wheel" in final["RUN"]
    assert "--mode=0700 /var/lib/c360" in final["RUN"]


def test_the_build_sees_the_package_and_nothing_else() -> None:
    files = set(context())
    tops = {path.partition("/")[0] for path in files}
    assert tops == {
        *("pyproject.toml", "README.md", "LICENSE", "requirements-image.lock", "deploy"),
        *("c360_stream", "flows", "schemas"),
    }
    assert {path for path in files if path.startswith("deploy/")} == {"deploy/requirements-build.lock"}
    assert {"c360_stream/cli/main.py", "flows/churn.py", "schemas/clickhouse/0001_scores.sql"} <= files
    assert not [path for path in files if path.endswith(".pyc")]


def c360(environment: Path, home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(environment / "bin" / "c360"), *arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **settings},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.skipif(not REQUIRED, reason="downloads 140 MB of wheels: only with C360_REQUIRE_STACK=1")
def test_the_build_steps_give_a_working_c360(tmp_path: Path) -> None:
    home, work = tmp_path / "image", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    environment = build(home)
    packages = environment / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    assert {path.name for path in packages.iterdir()}.isdisjoint({"pip", "setuptools", "wheel", *LEFT_OUT})
    used = subprocess.run(["du", "-sm", str(environment)], capture_output=True, text=True, check=True, timeout=60)
    assert int(used.stdout.split()[0]) <= INSTALLED_MB_MAX

    assert "Commands:" in c360(environment, work, "--help").stdout
    world = ["--accounts", "10", "--days", "30", "--seed", "7"]
    simulated = c360(environment, work, "simulate", *world, "--out", "log")
    assert simulated.returncode == 0, simulated.stderr
    with ClickHouseFront(tmp_path / "tables") as front:
        settings = {"C360_CLICKHOUSE_DSN": front.dsn(), "C360_METRICS_ADDRESS": "127.0.0.1:0", "C360_LOG_DIR": "log"}
        for command in ("setup", "doctor", "run --until-end --processes 2 --recovery recovery", "verify acc-000001"):
            done = c360(environment, work, *command.split(), **settings)
            assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    embedded = c360(environment, work, "setup", C360_LOG_DIR="log", C360_CLICKHOUSE_DSN=f"chdb://{work}/tables")
    assert embedded.returncode == 2
    (line,) = embedded.stderr.splitlines()
    assert "the embedded database is not installed" in line
