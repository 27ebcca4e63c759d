"""Wrong clocks, absurd dates and histories sent late: what they do to their own account, and to nobody else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.reference.check import Tables, differences
from tests.reference.flow_run import SETTINGS, FlowRun
from tests.reference.log import Mess, topic_name, write_lines, write_log
from tests.reference.oracle import Event, truth_of
from tests.reference.worlds import WorldSpec, make_world, write_world

pytestmark = pytest.mark.slow

Line = tuple[str, str, str] | tuple[str, str, str, dict[str, Any]]  # account, type, time, further fields
STARTED = {"plan": "pro", "mrr_cents": 1000, "seats": 10}


def written(path: Path, topics: Mapping[str, Sequence[Line]]) -> Path:
    """A log directory of one partition a topic, in the order given."""
    for topic, lines in topics.items():
        events = []
        for number, (account, event_type, time, *more) in enumerate(lines):
            event = {"event_id": f"{topic}-{number}", "account_id": account, "event_type": event_type}
            events.append({**event, "occurred_at": f"{time}Z", **(more[0] if more else {})})
        write_lines(path / topic_name(topic), 0, [json.dumps(event).encode() for event in events], zipped=False)
    for topic in {"product", "billing", "support"} - topics.keys():
        (path / topic_name(topic)).mkdir(parents=True)
    return path


def replayed(log: Path, home: Path, **settings: str) -> Tables:
    """The tables of a replay."""
    run = FlowRun(log, home, settings=settings)
    run.finish()
    return run.tables()


def ticks(tables: Tables) -> Counter[str]:
    """Number of tick scores by account."""
    return Counter(row["account_id"] for row in tables["risk_scores"] if row["trigger"] == "tick")


def daily(account: str, first: str, days: int, at: str = "12:00:00", event_type: str = "task_created") -> list[Line]:
    """An event a day."""
    begin = datetime.fromisoformat(first)
    times = [(begin + timedelta(days=day)).strftime(f"%Y-%m-%dT{at}") for day in range(days)]
    return [(account, event_type, time, {"user_id": "u"}) for time in times]


def test_a_zero_before_everything_costs_no_more_than_itself(tmp_path: Path) -> None:
    zero: Line = ("nobody", "task_created", "1970-01-01T00:00:00")
    log = written(tmp_path / "log", {"product": [zero, *daily("shop", "2024-05-01", 4)]})
    tables = replayed(log, tmp_path / "home")
    assert ticks(tables) == {"shop": 3}
    ((offset, message),) = [(row["offset"], row["exception_message"]) for row in tables["dead_letters"]]
    assert offset == 0
    assert "years before the rest" in message


def test_a_zero_alone_in_its_partition_is_told_from_the_others(tmp_path: Path) -> None:
    """Nothing behind it says so; the other partitions know the time."""
    zero: Line = ("nobody", "ticket_solved", "1970-01-01T00:00:00", {"ticket_id": "1"})
    log = written(tmp_path / "log", {"support": [zero], "product": daily("shop", "2024-05-01", 9)})
    tables = replayed(log, tmp_path / "home")
    assert ticks(tables) == {"shop": 8}
    assert [row["topic"] for row in tables["dead_letters"]] == [topic_name("support")]


def test_a_history_sent_behind_refuses_nothing_that_is_plausible(tmp_path: Path) -> None:
    current = [*daily("shop", "2024-05-01", 3), ("shop", "task_created", "2024-05-06T12:00:00")]
    later: list[Line] = [("shop", "task_created", f"2024-05-0{day}T13:00:00") for day in (6, 7)]
    log = written(tmp_path / "log", {"product": [*current, *daily("bakery", "2024-03-20", 12), *later]})
    tables = replayed(log, tmp_path / "home")
    assert tables["dead_letters"] == []
    assert ticks(tables) == {"shop": 6, "bakery": 1}
    row = next(row for row in tables["account_features"] if row["account_id"] == "bakery")
    assert row["account_age_days"] == pytest.approx(47.5), "what is late counts in later as-ofs"


def test_a_cancellation_a_month_after_everything_else_is_an_outcome(tmp_path: Path) -> None:
    log = written(
        tmp_path / "log",
        {
            "billing": [
                ("shop", "subscription_started", "2024-05-01T12:00:00", STARTED),
                ("bakery", "subscription_started", "2024-05-01T12:00:00", STARTED),
                ("shop", "subscription_cancelled", "2024-05-31T12:00:00"),
                ("bakery", "invoice_paid", "2024-05-28T12:00:00", {"amount_cents": 5}),
            ]
        },
    )
    tables = replayed(log, tmp_path / "home")
    assert tables["dead_letters"] == []
    churned = {row["as_of"][:10] for row in tables["outcomes"] if row["account_id"] == "shop" and row["churned"]}
    assert churned == {f"2024-05-{day:02}" for day in range(2, 32)}
    assert {row["account_id"] for row in tables["outcomes"]} == {"shop"}, "of the bakery nothing is known yet"


def test_a_wrong_date_at_the_end_drags_nobody(tmp_path: Path) -> None:
    billing: list[Line] = [
        ("shop", "invoice_paid", f"2024-05-0{day}T10:00:00", {"amount_cents": 1}) for day in range(1, 7)
    ]
    start: Line = ("bakery", "subscription_started", "2024-05-01T12:00:00", STARTED)
    log = written(
        tmp_path / "log",
        {
            "billing": [billing[0], start, *billing[1:], ("bakery", "subscription_cancelled", "2024-05-06T12:00:00")],
            "product": [*daily("shop", "2024-05-01", 6), ("bakery", "task_created", "2024-08-03T10:00:00")],
        },
    )
    tables = replayed(log, tmp_path / "home")
    assert ticks(tables) == {"shop": 5, "bakery": 5}
    assert [(row["topic"], row["offset"]) for row in tables["dead_letters"]] == [(topic_name("product"), 6)]
    assert {row["account_id"] for row in tables["outcomes"] if row["churned"]} == {"bakery"}


SPEC = WorldSpec(seed=7, accounts=24, days=60)


def world(path: Path, ahead: Event | None = None) -> Path:
    """A world of six partitions; `ahead` is put among the product events a day before its time."""
    events = make_world(SPEC)
    mess = Mess(seed=7, reorder_minutes=0.0, duplicate_share=0.0, rubbish_share=0.0)
    if ahead is not None:
        events["product"].append(ahead)
        mess = Mess(**{**vars(mess), "arrives_early": {ahead["event_id"]: timedelta(hours=23)}})
    write_log(events, path, mess)
    return path


@pytest.mark.parametrize("processes", [1, 2])
def test_one_clock_ahead_takes_nothing_from_the_others(tmp_path: Path, processes: int) -> None:
    """One well-formed event, 23 hours ahead, in a partition with others; and the same for any number of processes."""
    owner = make_world(SPEC)["product"][0]["account_id"]
    at = (datetime(2024, 1, 20, 10, tzinfo=UTC) + timedelta(hours=23)).isoformat()
    ahead = {"event_id": "ahead", "account_id": owner, "event_type": "page_viewed", "occurred_at": at}
    runs = []
    for name, event in (("with", ahead), ("without", None)):
        home = tmp_path / f"{name}-home"
        run = FlowRun(world(tmp_path / name, event), home, processes=processes, settings={"C360_BATCH_EVENTS": "37"})
        run.finish()
        runs.append(run.tables())
    rows = [
        {(row["account_id"], row["as_of"]): row for row in tables["account_features"] if row["account_id"] != owner}
        for tables in runs
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) > 500
    assert runs[0]["dead_letters"] == []


@pytest.mark.parametrize("seed", [4, 5])
def test_clocks_ahead_are_right_by_the_oracle(tmp_path: Path, seed: int) -> None:
    """Their events count at their own time; nobody's features, labels or ticks differ from what is true."""
    log = write_world(WorldSpec(seed=seed, days=70), tmp_path / "world", Mess(seed=seed, clocks_ahead=0.05))
    run = FlowRun(log.path, tmp_path / "home")
    run.finish()
    wrong = differences(log, run.log_dir, run.tables(), truth_of(log.events, int(SETTINGS["C360_HORIZON_DAYS"])))
    assert {subject: lines[:5] for subject, lines in wrong.items() if lines} == {}
