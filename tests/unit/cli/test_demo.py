"""The demo's directory is its own, a failing flow is one clear error, and the measures are right."""

from __future__ import annotations

import fcntl
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from c360_stream.cli.demo.demonstration import MARKER, _day_of, _log_level, _run_flow, demo
from c360_stream.cli.demo.findings import Ranking, measure
from c360_stream.cli.main import cli
from c360_stream.errors import C360Error, ConfigurationError, StateError
from c360_stream.settings import Settings
from c360_stream.tools.simulate import SimulationSpec

SPAN = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))


def test_a_directory_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="no demo's"):
        demo(tmp_path, 5, 10, 1, "steady")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_without_the_embedded_database_it_says_what_the_docs_promise_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the container image, whose file system is read-only, too."""
    monkeypatch.setitem(sys.modules, "chdb", None)
    done = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path / "out")], prog_name="c360")
    assert done.exit_code == 2
    docs = Path(__file__).parents[3] / "docs" / "operations.md"
    assert f"`{done.stderr.strip()}`" in " ".join(docs.read_text().split())
    assert list(tmp_path.iterdir()) == []


def test_one_demo_at_a_time(tmp_path: Path) -> None:
    with (tmp_path / MARKER).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StateError, match="another demo"):
            demo(tmp_path, 5, 10, 1, "steady")


@pytest.mark.parametrize(("accounts", "scenario"), [(0, "steady"), (5, "nothing")])
def test_an_impossible_world_makes_no_directory(tmp_path: Path, accounts: int, scenario: str) -> None:
    with pytest.raises(ConfigurationError, match="simulation"):
        demo(tmp_path / "out", accounts, 10, 1, scenario)
    assert not (tmp_path / "out").exists()


def test_the_log_is_quiet_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("C360_LOG_LEVEL", raising=False)
    assert _log_level() == "warning"
    monkeypatch.setenv("C360_LOG_LEVEL", "debug")
    assert _log_level() == "debug"
    monkeypatch.setenv("C360_LOG_LEVEL", "loud")
    with pytest.raises(ConfigurationError, match="C360_LOG_LEVEL is 'loud'; set it to one of debug, info"):
        _log_level()


def flow_of(log_dir: Path) -> None:
    settings = Settings.model_construct(log_dir=log_dir, live=False, metrics_address="127.0.0.1:0")
    _run_flow(settings, SimulationSpec(5, 3, 1), [1, 2, 3])


def test_an_error_of_the_flow_is_the_demos(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no input partition"):
        flow_of(tmp_path)


def test_a_flow_that_dies_is_an_error_that_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(C360Error, match=r"exit code 1; see .*run\.log"):
        flow_of(tmp_path / "absent")


def test_progress_is_the_newest_score_published(tmp_path: Path) -> None:
    spec = SimulationSpec(5, 40, 1)
    scores = tmp_path / "0.jsonl"
    assert _day_of(scores, spec) == 0
    scores.write_text('{"account_id":"a","as_of":"2024-01-09T00:00:00.000Z"}\n{"account_id":"a","tombstone":true}\n')
    assert _day_of(scores, spec) == 8
    scores.write_text('{"as_of":"2025-01-09T0')
    assert _day_of(scores, spec) == spec.days


def test_measures_of_a_case_worked_out_by_hand() -> None:
    churned = np.array([True, False] + [False] * 17 + [True])
    accounts = ["a"] * 10 + ["b"] * 9 + ["a"]
    risk, true = np.linspace(0.9, 0.1, 20), np.linspace(0.1, 0.9, 20)
    silent_days = np.array([np.inf, *np.arange(18.0), np.inf])
    quality = measure(SPAN, accounts, churned, risk=risk, silent_days=silent_days, true=true)
    assert quality.scores == quality.truth == Ranking(0.5, 0.5, 0.5)
    assert quality.rule == Ranking(1.0, 1.0, 1.0), "an account that nobody ever used is the most silent of all"
    assert (quality.examples, quality.left) == (20, 1)
    assert quality.observed == 0.1
    assert quality.predicted == pytest.approx(0.5)


def test_nobody_left_and_nothing_can_be_caught() -> None:
    risk, none = np.full(4, 0.2), np.zeros(4)
    quality = measure(SPAN, ["a"] * 4, np.zeros(4, np.bool_), risk=risk, silent_days=none, true=risk)
    assert (quality.left, quality.scores.top) == (0, 0.0)
    assert np.isnan([quality.scores.auc, quality.scores.caught]).all()
