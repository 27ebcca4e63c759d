"""`c360 interventions`: outcomes by playbook, what can be concluded from them, and what it says when there are none."""

from __future__ import annotations

import json
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from c360_stream.cli.interventions.comparison import PLAYBOOKS_MAX
from c360_stream.cli.main import cli
from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.migrations import load_migrations

DAY_US = 86_400_000_000
SUNDAY = 20_016
Row = tuple[int, str, str, int, int]
# Week, playbook, tier, accounts, churned.
ROWS: list[Row] = [
    (0, "", "low", 2_000, 100),
    (1, "", "high", 500, 200),
    (0, "check_in", "high", 300, 60),
    (1, "check_in", "high", 300, 60),
    (0, "[red]training[/]\x1b[2J", "low", 9, 1),
]


def shown(log_dir: Path, *options: str) -> str:
    done = CliRunner().invoke(cli, ["interventions", "--log-dir", str(log_dir), *options], prog_name="c360")
    assert done.exit_code == 0, done.stderr
    return done.stdout


def as_json(log_dir: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shown(log_dir, "--json"))
    return found


def stored(log_dir: Path, rows: list[Row], *, times: int = 1) -> Path:
    """A log directory whose tables have these rows."""
    store = connect(f"chdb://{(log_dir / 'tables' / 'c360').resolve()}")
    try:
        store.migrate()
        for _ in range(times):
            store.insert(
                "interventions",
                {
                    "as_of": np.array([(SUNDAY + 7 * row[0]) * DAY_US for row in rows], np.int64),
                    "contacted": [row[1] != "" for row in rows],
                    "playbook": [row[1] for row in rows],
                    "tier": [row[2] for row in rows],
                    "accounts": [row[3] for row in rows],
                    "churned": [row[4] for row in rows],
                    "mrr_cents": [1_000 * row[3] for row in rows],
                    "mrr_churned_cents": [500 * row[4] for row in rows],
                    "mean_risk": [0.1] * len(rows),
                    **{name: [0.0] * len(rows) for name in ("churn_rate", "churn_rate_low", "churn_rate_high")},
                },
            )
    finally:
        store.close()
    return log_dir


def line_of(page: str, *words: str) -> list[str]:
    return next(line.split() for line in page.splitlines() if line.split()[: len(words)] == list(words))


def test_without_tables_it_says_so_and_makes_none(tmp_path: Path) -> None:
    assert shown(tmp_path) == "no outcomes yet: there are no tables\n"
    assert as_json(tmp_path)["groups"] == []
    assert list(tmp_path.iterdir()) == []


def test_without_outcomes_it_says_when_there_will_be_some(tmp_path: Path) -> None:
    assert "known a horizon after" in shown(stored(tmp_path, []))


def test_groups_comparisons_and_warnings(tmp_path: Path) -> None:
    page = shown(stored(tmp_path, ROWS, times=2))
    assert line_of(page, "not", "contacted")[2:4] == ["2,500", "300"]
    assert "88.0%   86.7% to 89.2%      90.0%      94.0%" in page
    assert line_of(page, "check_in", "600")[:4] == ["check_in", "600", "120", "80.0%"]
    # 20 points fewer churned in the only tier of both.
    against = line_of(page, "check_in", "not")
    assert against[3:8] == ["600", "and", "500", "1,471", "too"]
    assert against[9:10] == ["+20.0"]
    assert against[-1] == "<0.001"
    assert "3 of 3 comparisons have too few accounts" in page
    assert "no randomised experiment" in page
    assert "\x1b" not in page
    assert "[red]training[/] [2J" in page, "a name from outside is not taken for markup"


def test_as_json_it_is_one_object(tmp_path: Path) -> None:
    found = as_json(stored(tmp_path, ROWS))
    assert (found["first_week"], found["last_week"]) == ("2024-10-20", "2024-10-27")
    assert [group["playbook"] for group in found["groups"]] == ["", "[red]training[/]\x1b[2J", "check_in"]
    against = {each["playbook"]: each for each in found["against_not_contacted"]}
    assert against["check_in"]["lift"] == pytest.approx(0.2)
    assert against["check_in"]["too_small"] is True
    assert [each["lift"] for each in found["between_playbooks"]] == [None], "no tier in common"
    assert {(each["playbook"], each["tier"]): each["accounts"] for each in found["by_tier"]}["", "low"] == 2_000
    assert 0.04 < found["by_tier"][1]["churn_rate_low"] < 0.05 < found["by_tier"][1]["churn_rate_high"] < 0.07


def test_of_many_playbooks_the_rest_is_one(tmp_path: Path) -> None:
    many = [(0, f"p{number:03d}", "low", 10, 1) for number in range(100)]
    found = as_json(stored(tmp_path, [*ROWS, *many]))
    assert len(found["groups"]) == PLAYBOOKS_MAX + 2
    assert sum(group["accounts"] for group in found["groups"]) == sum(row[3] for row in [*ROWS, *many])


def test_tables_of_a_release_before_it(tmp_path: Path) -> None:
    store = connect(f"chdb://{(tmp_path / 'tables' / 'c360').resolve()}")
    store.migrate(list(takewhile(lambda each: "interventions" not in each.name, load_migrations())))
    store.close()
    done = CliRunner().invoke(cli, ["interventions", "--log-dir", str(tmp_path)], prog_name="c360")
    assert done.exit_code == 1
    assert "run `c360 setup`" in done.stderr
