"""The table `interventions` of a small log, against a slow reading of its definition."""

from __future__ import annotations

import json
import zlib
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from xxhash import xxh3_64_intdigest

from c360_stream.monitoring.quality import wilson_interval
from tests.reference.flow_run import FlowRun
from tests.reference.log import topic_name, write_lines
from tests.reference.tables import TableRow, query_elsewhere

pytestmark = pytest.mark.slow
HORIZON, STRIDE, TURNS, DAYS = 20, 7, 3, 90
START = datetime(2024, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SETTINGS = {"C360_HORIZON_DAYS": str(HORIZON), "C360_TIER_MEDIUM": "0.07", "C360_TIER_HIGH": "0.2"}
TIERS = ((0.5, "critical"), (0.2, "high"), (0.07, "medium"), (0.0, "low"))
MRR = {"small": 1_000, "large": 50_000}
Event = dict[str, Any]


def event(event_id: str, account: str, when: datetime, event_type: str, **fields: Any) -> Event:
    return {
        "event_id": event_id,
        "account_id": account,
        "event_type": event_type,
        "occurred_at": when.isoformat(),
        **fields,
    }


def made_log(path: Path) -> dict[str, list[Event]]:
    """Two hundred accounts, some contacted, some gone; and everything that must not be counted."""
    draw, events = Random(11), defaultdict[str, list[Event]](list)
    for number in range(200):
        account = f"a{number:03d}"
        events["billing"].append(
            event(f"s{account}", account, START, "subscription_started", plan="p", mrr_cents=mrr_of(account), seats=3)
        )
        end = draw.choice([DAYS, DAYS, draw.randrange(2, DAYS)]) + draw.random()
        for day in range(DAYS):
            if draw.random() < 0.3 and day < end:
                when = START + timedelta(days=day, hours=draw.randrange(24))
                events["product"].append(event(f"p{account}{day}", account, when, "task_created", user_id="u"))
        for contact in range(draw.choice([0, 0, 1, 3])):
            # Some at midnight exactly, some when the account has gone.
            at_day = draw.choice([draw.randrange(DAYS), draw.random() * DAYS, end - 0.3 * draw.random()])
            name = draw.choice([{"playbook": "check_in"}, {"playbook": "training"}, {"channel": "email"}])
            contacted = event(
                f"c{account}{contact}", account, START + timedelta(days=at_day), "success_contacted", **name
            )
            events["support"] += [contacted] * draw.choice([1, 1, 2])
        if end < DAYS:
            events["billing"].append(
                event(f"x{account}", account, START + timedelta(days=end), "subscription_cancelled")
            )
    strangers = (START + timedelta(days=30 + number % 7, seconds=number) for number in range(2_000))
    events["support"] += [
        event(f"n{number}", "stranger", when, "success_contacted", playbook=f"playbook {number}" * 30)
        for number, when in enumerate(strangers)
    ]
    for topic, found in events.items():
        found.sort(key=lambda one: one["occurred_at"])
        write_lines(path / topic_name(topic), 0, [json.dumps(one).encode() for one in found], zipped=False)
    return dict(events)


def mrr_of(account: str) -> int:
    """Nobody knows the stranger's, who never subscribed: it counts as none."""
    if account == "stranger":
        return 0
    return MRR["large" if int(account[1:]) % 5 == 0 else "small"]


def moments(events: list[Event], event_type: str, account: str) -> list[tuple[datetime, str, str]]:
    return sorted(
        (datetime.fromisoformat(one["occurred_at"]), one["event_id"], one.get("playbook", ""))
        for one in events
        if (one["event_type"], one["account_id"]) == (event_type, account)
    )


def group(events: dict[str, list[Event]], account: str, as_of: datetime) -> str | None:
    """The definition, read slowly: None is in neither group, an empty text is not contacted."""
    number = (zlib.crc32(account.encode()) + (as_of - EPOCH).days) // STRIDE
    turn, window = number % TURNS, timedelta(days=STRIDE)
    contacts = moments(events["support"], "success_contacted", account)
    ends = [end for end in moments(events["billing"], "subscription_cancelled", account) if end[0] >= as_of]
    inside = [contact for contact in contacts if as_of <= contact[0] < as_of + window]
    if inside and not (ends and ends[0][:2] < inside[0][:2]):
        before = [contact for contact in contacts if as_of - turn * window <= contact[0] < as_of]
        return None if before else inside[0][2][:128] or "unnamed"
    day = (as_of - EPOCH).days
    drawn = as_of + window * (xxh3_64_intdigest(f"{day} {account}".encode()) / 2**64)
    return "" if turn == 0 and not (ends and ends[0][0] < drawn) else None


def expected_rows(events: dict[str, list[Event]], outcomes: list[TableRow]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Week, whether contacted, playbook and tier -> accounts, churned, MRR, MRR churned, mean risk."""
    cells: dict[tuple[Any, ...], list[tuple[bool, float, int]]] = defaultdict(list)
    for row in outcomes:
        as_of, account = datetime.fromisoformat(row["as_of"]), row["account_id"]
        day = (as_of - EPOCH).days
        if (zlib.crc32(account.encode()) + day) % STRIDE:
            continue
        sunday = as_of + timedelta(days=6 - as_of.weekday())
        if sunday + timedelta(days=HORIZON) > START + timedelta(days=DAYS - 1):
            continue
        name = group(events, account, as_of)
        if name is not None:
            tier = next(tier for bound, tier in TIERS if row["risk"] >= bound)
            cells[sunday.isoformat(), name != "", name, tier].append((row["churned"], row["risk"], mrr_of(account)))
    return {
        key: (
            len(found),
            sum(churned for churned, _, _ in found),
            sum(mrr for _, _, mrr in found),
            sum(mrr for churned, _, mrr in found if churned),
            pytest.approx(sum(risk for _, risk, _ in found) / len(found)),
        )
        for key, found in cells.items()
    }


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Event]]]:
    path = tmp_path_factory.mktemp("contacts")
    return path, made_log(path)


def test_the_table_is_what_its_definition_says(log: tuple[Path, dict[str, list[Event]]], home: Path) -> None:
    run = FlowRun(log[0], home, settings=SETTINGS)
    run.finish()
    rows, outcomes = query_elsewhere(
        run.dsn, "SELECT * FROM interventions", "SELECT account_id, as_of, churned, risk FROM outcomes FINAL"
    )
    found = {}
    for row in rows:
        assert row["churn_rate"] == row["churned"] / row["accounts"]
        interval = wilson_interval(row["churned"], row["accounts"])
        assert (row["churn_rate_low"], row["churn_rate_high"]) == pytest.approx(interval)
        counts = (row["accounts"], row["churned"], row["mrr_cents"], row["mrr_churned_cents"], row["mean_risk"])
        found[row["as_of"], row["contacted"], row["playbook"], row["tier"]] = counts
    assert len(found) == len(rows), "each logical row once"
    assert found == expected_rows(log[1], outcomes)
    # Else this would hold for want of cases.
    counted = Counter[str]()
    for (_, _, playbook, _), counts in found.items():
        counted[playbook] += counts[0]
    named = {"", "check_in", "training", "unnamed"}
    assert min(counted[name] for name in named) > 10
    assert [(len(name), count) for name, count in counted.items() if name not in named] == [(128, 1)], "the stranger's"
    assert 0 < sum(counts[1] for key, counts in found.items() if key[1]) < 40
    assert len({key[3] for key in found}) > 1


@pytest.mark.parametrize("policy", ["leave_out", "model"])
def test_batches_processes_and_a_kill_change_nothing(
    log: tuple[Path, dict[str, list[Event]]], home: Path, policy: str
) -> None:
    settings = {**SETTINGS, "C360_TREATED_EXAMPLES": policy}
    whole = FlowRun(log[0], home / "whole", settings=settings)
    whole.finish()
    parted = FlowRun(
        log[0], home / "parted", processes=2, recovery=True, settings={**settings, "C360_BATCH_EVENTS": "37"}
    )
    enough = whole.risk_bytes() * 0.4
    assert parted.kill_when(lambda: parted.risk_bytes() > enough), "it ended before it could be killed"
    parted.finish()
    statements = (
        "SELECT * FROM interventions FINAL ORDER BY as_of, contacted, playbook, tier",
        "SELECT account_id, as_of, risk, model_version FROM risk_scores FINAL WHERE trigger = 'tick' ORDER BY 1, 2",
    )
    assert query_elsewhere(parted.dsn, *statements) == query_elsewhere(whole.dsn, *statements)
