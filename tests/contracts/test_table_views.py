"""What the views over the tables say: the newest score of each account, and who is a customer now."""

from __future__ import annotations

from typing import Any

import pytest

from c360_stream.connectors.clickhouse.migrations import load_migrations
from c360_stream.connectors.clickhouse.store import TableStore
from tests.contracts.rows import DAY_US, T0_US, columns, time_of

# Midnights at which accounts were scored, and at which a tick found them gone.
SCORED_ON = {"here": [0, 1, 2, 3], "gone": [0, 1], "returned": [0, 1, 5], "gone again": [0, 3, 4], "between": [0, 1]}
GONE_ON = {"gone": [2], "returned": [2], "gone again": [1, 5]}


def test_risk_latest_is_the_newest_score_of_each_account(store: TableStore) -> None:
    def put(account_id: str, as_of: int, risk: float, **rest: Any) -> None:
        row = {"account_id": account_id, "as_of": as_of, "risk": risk, "trigger": "tick", **rest}
        store.insert("risk_scores", columns("risk_scores", row))

    put("late", T0_US + DAY_US, 0.2)
    put("late", T0_US, 0.9, produced_at=T0_US + 9 * DAY_US)  # an older as-of that was produced later
    put("repeated", T0_US, 0.3)
    put("repeated", T0_US, 0.4, produced_at=T0_US + 1_000)  # the same score, produced again
    put("tied", T0_US, 0.5)
    put("tied", T0_US, 0.6, trigger="event", produced_at=T0_US + 1_000)
    newest = {"late": 0.2, "repeated": 0.4, "tied": 0.5}
    for final in ("", "FINAL"):
        rows = store.query(f"SELECT account_id, risk FROM risk_latest {final}")
        assert {row["account_id"]: row["risk"] for row in rows} == newest
        assert len(rows) == len(newest)
    # A filter from outside must not change which score is the newest.
    assert store.query("SELECT risk FROM risk_latest WHERE trigger = 'event' OR risk > 0.8") == []


def test_a_view_says_who_is_a_customer_now(store: TableStore) -> None:
    """Whose newest score is later than the midnight at which it was found gone; `active` in the other view says it."""
    put = [(account, day) for account, days in SCORED_ON.items() for day in days]
    scores = [{"account_id": account, "as_of": T0_US + day * DAY_US, "risk": day / 10} for account, day in put]
    store.insert("risk_scores", columns("risk_scores", *({**row, "trigger": "tick"} for row in scores)))
    event = {"account_id": "between", "as_of": T0_US + DAY_US + 1_000_000, "risk": 0.9, "trigger": "event"}
    store.insert("risk_scores", columns("risk_scores", event))
    gone = [(account, day) for account, days in GONE_ON.items() for day in days]
    rows = [{"account_id": account, "gone_at": T0_US + day * DAY_US} for account, day in gone]
    for row in (*rows, rows[0]):  # one at a time, and one again after a crash
        store.insert("departures", columns("departures", row))
    for final in ("", "FINAL"):
        latest = store.query(f"SELECT account_id, active FROM risk_latest {final}")
        assert {row["account_id"]: row["active"] for row in latest} == {
            "between": True,
            "gone": False,
            "gone again": False,
            "here": True,
            "returned": True,
        }
        assert len(latest) == 5
        active = store.query(f"SELECT account_id, risk FROM risk_active {final} ORDER BY account_id")
        assert active == [
            {"account_id": "between", "risk": 0.9},
            {"account_id": "here", "risk": 0.3},
            {"account_id": "returned", "risk": 0.5},
        ]
    assert store.query("SELECT account_id FROM risk_active WHERE risk < 0.3") == []
    assert store.query("SELECT account_id FROM risk_latest WHERE account_id = 'gone' AND active") == []


@pytest.mark.parametrize("nulls", [0, 1])
def test_who_is_a_customer_does_not_depend_on_how_joins_say_nothing(store: TableStore, nulls: int) -> None:
    store.insert("risk_scores", columns("risk_scores", {"account_id": "a", "trigger": "tick"}))
    found = store.query(f"SELECT active, toTypeName(active) AS kind FROM risk_latest SETTINGS join_use_nulls = {nulls}")
    assert found == [{"active": True, "kind": "Bool"}]


def test_the_views_have_all_columns_of_the_scores(store: TableStore) -> None:
    described = {
        view: [(row["name"], row["type"]) for row in store.query(f"DESCRIBE TABLE {view}")]
        for view in ("risk_scores", "risk_latest", "risk_active")
    }
    assert described["risk_latest"] == [*described["risk_scores"], ("active", "Bool")]
    assert described["risk_active"] == described["risk_scores"]


def test_who_had_left_before_departures_were_written_is_known_from_the_outcomes(store: TableStore) -> None:
    """The migration fills the table from what is there, and doing that twice changes nothing."""
    days = {"gone": [0, 1], "returned": [0, 1, 4], "here": [0, 1, 2, 3, 4]}
    scores = [{"account_id": account, "as_of": T0_US + day * DAY_US} for account, of in days.items() for day in of]
    store.insert("risk_scores", columns("risk_scores", *({**row, "trigger": "tick"} for row in scores)))
    known = T0_US + 2 * DAY_US
    outcomes = [{"account_id": account, "churned": account != "here", "known_at": known} for account in days]
    store.insert("outcomes", columns("outcomes", *outcomes))
    statements = [statement for migration in load_migrations() for statement in migration.statements]
    (fill,) = [each for each in statements if each.startswith("INSERT INTO departures")]
    for _ in range(2):
        store.command(fill)
        assert store.query("SELECT account_id, gone_at FROM departures FINAL") == [
            {"account_id": "gone", "gone_at": time_of(known)}
        ]
    assert store.query("SELECT groupArray(account_id) AS ids FROM (SELECT * FROM risk_active ORDER BY account_id)") == [
        {"ids": ["here", "returned"]}
    ]
