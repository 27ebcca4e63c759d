"""How far ahead cancellations were seen: by hand, and over four weeks."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.monitoring.lead import NEVER, WINDOW_TICKS, Leads, LeadWatch, leads
from c360_stream.state.codec import pack, unpack


def tick(lead: list[int], mrr: list[float], false_flags: int = 0, accounts: int = 0) -> Leads:
    return Leads(np.array(lead, np.int64), np.array(mrr, np.float64), false_flags, accounts)


def values(watch: LeadWatch) -> dict[str, float]:
    return {each.metric: each.value for each in watch.measures()}


def test_the_first_flag_counts_not_the_last() -> None:
    risks = np.full((20, 3), 0.1)
    risks[[2, 9], 0] = 0.3
    risks[0, 1] = 0.25
    risks[5:, 2] = np.nan
    assert leads(risks, 0.25).tolist() == [9, 0, NEVER]


def test_figures_by_hand() -> None:
    watch = LeadWatch()
    watch.on_tick(tick([0, 8, NEVER], [100.0, 200.0, 700.0], 2, 600))
    watch.on_tick(tick([61], [1000.0], 1, 300))
    assert values(watch) == {
        "lead_days_median": 8.0,
        "flagged_7d_ahead": 0.5,
        "mrr_caught_7d_ahead": 0.6,
        "flagged_30d_ahead": 0.25,
        "mrr_caught_30d_ahead": 0.5,
        "flagged_60d_ahead": 0.25,
        "mrr_caught_60d_ahead": 0.5,
        "false_flags_per_account_month": pytest.approx(3 / 900 * 30),
    }


def test_what_is_older_than_four_weeks_is_forgotten() -> None:
    watch = LeadWatch()
    watch.on_tick(tick([40], [5.0]))
    for _ in range(WINDOW_TICKS):
        watch.on_tick(tick([], [], 0, 10))
    assert values(watch) == {"false_flags_per_account_month": 0.0}


def test_a_snapshot_keeps_the_window() -> None:
    watch, other = LeadWatch(), LeadWatch()
    for day in range(40):
        watch.on_tick(tick([day], [float(day)], day % 3, 10))
    other.restore(unpack("s", pack("s", watch.state())))
    assert values(other) == values(watch)


def test_parts_add_up_in_any_order() -> None:
    parts = [tick([3, 1], [0.1, 0.2], 1, 5), tick([NEVER], [0.3], 0, 7), tick([1], [0.7])]
    one, other = Leads.merged(parts), Leads.merged(parts[::-1])
    assert [each.tolist() for each in one[:2]] == [each.tolist() for each in other[:2]]
    assert one[2:] == other[2:] == (1, 12)


def test_flags_of_an_earlier_subscription_do_not_count() -> None:
    risks = np.full((50, 1), 0.05)
    risks[31:40], risks[40:] = np.nan, 0.9
    assert leads(risks, 0.25).tolist() == [NEVER]
