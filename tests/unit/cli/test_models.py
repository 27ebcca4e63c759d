"""`c360 models`: the catalogue, the parts that models play, and their standings where there are tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from c360_stream.cli.main import cli
from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.models.names import MODELS

FIGURES = {"log_loss": 0.25, "gain": -0.03, "gain_t": -2.0}


def shown(log_dir: Path) -> str:
    done = CliRunner().invoke(cli, ["models", "--log-dir", str(log_dir)], prog_name="c360")
    assert done.exit_code == 0, done.stderr
    return done.stdout


def as_json(log_dir: Path) -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["models", "--json", "--log-dir", str(log_dir)], prog_name="c360")
    assert (done.exit_code, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def line_of(page: str, name: str) -> list[str]:
    return next(line for line in page.splitlines() if line.split()[:1] == [name]).split()


def test_without_tables_it_is_the_catalogue(tmp_path: Path) -> None:
    page = shown(tmp_path)
    assert [name for name in MODELS if name in page] == list(MODELS)
    assert line_of(page, "online-logistic-blend")[1:5] == ["champion", "as", "its", "parts"]
    assert line_of(page, "online-logistic")[1:3] == ["challenger", "matured"]
    assert line_of(page, "online-logistic-hazard")[1:3] == ["challenger", "hazard"]
    assert line_of(page, "base-rate")[1:3] == ["baseline", "never"]
    assert line_of(page, "gradient-logistic")[1:4] == ["not", "in", "use"]
    assert page.rstrip().endswith("no standings yet: there are no tables")
    found = as_json(tmp_path)
    assert [model["model_name"] for model in found["models"]] == list(MODELS)
    assert (found["as_of"], found["note"]) == (None, "no standings yet: there are no tables")
    assert list(tmp_path.iterdir()) == []


def test_settings_say_who_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C360_CHAMPION", "gradient-logistic")
    monkeypatch.setenv("C360_CHALLENGERS", '["online-logistic"]')
    monkeypatch.setenv("C360_LEARNING_SCHEME", "hazard")
    page = shown(tmp_path)
    assert line_of(page, "gradient-logistic")[1:4] == ["champion,", "pinned", "hazard"]
    assert line_of(page, "online-logistic")[1:3] == ["challenger", "hazard"]


@pytest.mark.parametrize("wrong", ["nosuch", "prior-rule"])
def test_a_model_that_does_not_exist_is_a_wrong_setting(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("C360_CHAMPION", wrong)
    done = CliRunner().invoke(cli, ["models", "--log-dir", str(tmp_path)], prog_name="c360")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"c360: error: setting champion: Value error, there is no model {wrong}")


def test_tables_that_cannot_be_read_are_an_error_below_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C360_CLICKHOUSE_DSN", "clickhouse://c360:wrong@127.0.0.1:1/c360")
    done = CliRunner().invoke(cli, ["models"], prog_name="c360")
    assert done.exit_code == 1
    assert line_of(done.stdout, "base-rate")
    assert done.stderr.startswith("c360: error: clickhouse://c360:***@127.0.0.1:1/c360: ")
    told = CliRunner().invoke(cli, ["models", "--json"], prog_name="c360")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["note"].startswith("clickhouse://c360:***@127.0.0.1:1/c360: ")
    assert told.stderr == done.stderr


@pytest.mark.parametrize("command", [["models"], ["top", "--once"], ["interventions"], ["verify", "acme"]])
def test_a_log_directory_that_is_not_there_is_wrong_use(command: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, [*command, "--log-dir", str(tmp_path / "nosuch")], prog_name="c360")
    assert done.exit_code == 2
    assert "nosuch" in done.stderr


def test_standings_are_those_of_the_newest_week(tmp_path: Path) -> None:
    store = connect(f"chdb://{(tmp_path / 'tables' / 'c360').resolve()}")
    try:
        store.migrate()
        models = ("online-logistic", "base-rate")
        rows = [(name, day, metric) for name in models for day in (1, 8) for metric in FIGURES]
        rows += [("online-logistic-fast", 8, metric) for metric in ("gain", "gain_t")]  # not judged yet
        store.insert(
            "model_metrics",
            {
                "as_of": np.array([day * 86_400_000_000 for _, day, _ in rows], np.int64),
                "model_name": [name for name, _, _ in rows],
                "model_version": ["v"] * len(rows),
                "segment": ["contest"] * len(rows),
                "metric": [metric for _, _, metric in rows],
                "value": [FIGURES[metric] * (1 if day == 8 else 9) for _, day, metric in rows],
                "examples": [100] * len(rows),
            },
        )
    finally:
        store.close()
    found = as_json(tmp_path)
    assert found["as_of"] == "1970-01-09T00:00:00.000Z"
    by_name = {model["model_name"]: model for model in found["models"]}
    assert by_name["base-rate"] == {
        "model_name": "base-rate", "part": "baseline", "learns": "never", "log_loss": 0.25, "gain": -0.03,
        "gain_t": -2.0, "examples": 100, "description": by_name["base-rate"]["description"],
    }  # fmt: skip
    assert by_name["online-logistic-fast"]["log_loss"] is None
    page = shown(tmp_path)
    assert line_of(page, "base-rate")[3:6] == ["0.2500", "-0.0300", "-2.0"]
    assert line_of(page, "online-logistic-fast")[3:5] == ["-0.0300", "-2.0"]
