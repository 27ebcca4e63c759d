"""Outcomes by playbook and tier: counted a week at a time, whatever the names, the order and the restarts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.definitions import FEATURES
from c360_stream.monitoring.histograms import feature_histogram, risk_histogram
from c360_stream.monitoring.interventions import OTHER, PLAYBOOKS_MAX, InterventionRow, InterventionWatch
from c360_stream.monitoring.lead import Leads
from c360_stream.monitoring.quality import wilson_interval
from c360_stream.monitoring.tick_stats import TickStats, merge
from c360_stream.state.codec import pack, unpack

HORIZON = 60
THRESHOLDS = (0.10, 0.25, 0.50)
MONDAY = 20_010  # of the as-ofs
SUNDAY = MONDAY + 6


class Example(NamedTuple):
    as_of: int
    group: str | None
    churned: bool = False
    risk: float = 0.05
    mrr_cents: float = 100.0


def stats(day: int, examples: list[Example]) -> TickStats:
    """The statistics of a tick at which the examples of an as-of mature."""
    of_day = [(number, each) for number, each in enumerate(examples) if each.as_of == day]
    counts, nulls = feature_histogram(np.zeros((0, len(FEATURES))))
    return TickStats(
        tick=day + HORIZON,
        rows=0,
        counts=counts,
        nulls=nulls,
        risk_counts=risk_histogram(np.zeros(0)),
        model_name="m",
        model_version="v",
        calibrated=True,
        as_of_day=np.full(len(of_day), day, np.int64),
        account_ids=[f"a{number:05d}" for number, _ in of_day],
        churned=np.array([each.churned for _, each in of_day], np.bool_),
        risk=np.array([each.risk for _, each in of_day], np.float64),
        mrr_cents=np.array([each.mrr_cents for _, each in of_day], np.float64),
        plan=[""] * len(of_day),
        scored_risk=np.zeros(0),
        group=[each.group for _, each in of_day],
        opened=0,
        leads=Leads(np.zeros(0, np.int64), np.zeros(0), 0, 0),
        value=None,
        kept_segment=(0, 0),
    )


def watched(examples: list[Example], days: int = 7, *, restart_on: int = -1) -> list[InterventionRow]:
    watch, rows = InterventionWatch(HORIZON, THRESHOLDS), []
    for day in range(MONDAY, MONDAY + days):
        if day == restart_on:
            state, watch = pack("m", watch.state()), InterventionWatch(HORIZON, THRESHOLDS)
            watch.restore(unpack("m", state))
        rows += watch.on_tick(stats(day, examples))
    return rows


WEEK = [
    Example(MONDAY, "check_in", churned=True, risk=0.1, mrr_cents=700),
    Example(MONDAY, None, churned=True),
    Example(MONDAY + 3, "check_in", risk=0.2, mrr_cents=300),
    Example(MONDAY + 3, "", risk=0.0999),
    Example(SUNDAY, "", churned=True, mrr_cents=np.nan),
    Example(SUNDAY, "training", risk=0.5),
    Example(SUNDAY + 1, "training"),
]


def test_a_week_of_as_ofs_by_playbook_and_tier() -> None:
    assert watched(WEEK, days=6) == []
    rows = watched(WEEK)
    assert {row.as_of_us for row in rows} == {SUNDAY * US_PER_DAY}
    assert [row[1:8] for row in rows] == [
        (False, "", "low", 2, 1, 100, 0),
        (True, "check_in", "medium", 2, 1, 1_000, 700),
        (True, "training", "critical", 1, 0, 100, 0),
    ]
    assert rows[1].mean_risk == pytest.approx(0.15)
    assert (rows[1].churn_rate, rows[1].churn_rate_low, rows[1].churn_rate_high) == (0.5, *wilson_interval(1, 2))
    assert [row[1:5] for row in watched(WEEK, days=14)[3:]] == [(True, "training", "low", 1)], "the next week's"


@pytest.mark.parametrize("restart_on", range(MONDAY, SUNDAY + 1))
def test_goes_on_from_a_packed_state(restart_on: int) -> None:
    assert watched(WEEK, days=14, restart_on=restart_on) == watched(WEEK, days=14)


def test_a_week_without_anybody_has_no_rows() -> None:
    assert watched([Example(MONDAY, None)], days=21) == []


def test_of_many_playbooks_the_most_frequent_are_told_apart() -> None:
    """10,000 names in a week; ties by name, and the rest together are one more."""
    strangers = [Example(MONDAY, f"p{number:05d}", churned=number % 2 == 0) for number in range(10_000)]
    frequent = [Example(MONDAY + 1, f"frequent {number}") for number in range(3) for _ in range(2)]
    rows = watched([*strangers, *frequent, Example(SUNDAY, OTHER)])
    first = [f"p{number:05d}" for number in range(PLAYBOOKS_MAX - 3)]
    assert [row.playbook for row in rows] == [*(f"frequent {number}" for number in range(3)), OTHER, *first]
    assert sum(row.accounts for row in rows) == 10_007
    assert next(row.accounts for row in rows if row.playbook == OTHER) == 10_007 - 6 - len(first)


def test_an_mrr_past_all_bounds_is_held_at_the_column_s() -> None:
    """The contract lets 2**53 pass, and a few thousand such accounts are more than the table's type holds."""
    rows = watched([Example(MONDAY, "", churned=True, mrr_cents=2.0**53)] * 3_000)
    assert [(row.mrr_cents, row.mrr_churned_cents) for row in rows] == [(2**63 - 1, 2**63 - 1)]


def test_the_order_of_shards_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    examples = [
        Example(MONDAY, ["", "a", "b"][number % 3], bool(rng.random() < 0.3), float(rng.random()), 1.0)
        for number in range(300)
    ]
    found = []
    for shards in (1, 3):
        watch, rows = InterventionWatch(HORIZON, THRESHOLDS), []
        for day in range(MONDAY, SUNDAY + 1):
            whole = stats(day, examples)
            parts = [np.arange(shard, len(whole.group), shards) for shard in range(shards)][::-1]
            rows += watch.on_tick(merge([_part(whole, part) for part in parts]))
        found.append(rows)
    assert found[0] == found[1]


def _part(whole: TickStats, rows: np.ndarray) -> TickStats:
    values = {name: getattr(whole, name) for name in TickStats.__slots__}
    for name in ("as_of_day", "churned", "risk", "mrr_cents"):
        values[name] = values[name][rows]
    for name in ("account_ids", "group"):
        values[name] = [values[name][row] for row in rows.tolist()]
    return TickStats(**values)
