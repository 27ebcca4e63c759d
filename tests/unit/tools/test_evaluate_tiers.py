"""Figures of tiers against plain counting on small worlds."""

from __future__ import annotations

from datetime import date
from itertools import product

import numpy as np
import pytest

from c360_stream.scoring.tiers import HIGH, NO_TIER
from c360_stream.tools.evaluate.ledger import Matrices
from c360_stream.tools.evaluate.matured import day_of
from c360_stream.tools.evaluate.tiers import SUMMARISED, tier_figures, tier_table

START = day_of(date(2024, 1, 1))
HORIZON, FIRST = 10, 12


def drawn(seed: int) -> Matrices:
    """Tiers that often last a few ticks, and cancellations after which an account is sometimes scored again."""
    rng = np.random.default_rng(seed)
    ticks, accounts = 90, 15
    tier = np.repeat(rng.choice([0, 1, 2, 3], p=[0.5, 0.25, 0.15, 0.1], size=(ticks // 3, accounts)), 3, axis=0)
    gone = rng.random((ticks, accounts)) < 0.02
    away = gone | np.vstack([np.zeros((1, accounts), np.bool_), gone[:-1]])
    tier = np.where(away, NO_TIER, tier).astype(np.int8)
    return Matrices(START, [f"a{i}" for i in range(accounts)], tier, tier >= HIGH, gone, np.zeros(accounts))


@pytest.mark.parametrize("seed", range(4))
def test_tiers_against_counting(seed: int) -> None:
    world = drawn(seed)
    tier, gone = world.tier, world.gone
    ticks, accounts = tier.shape
    found = tier_figures(world, START + FIRST, HORIZON)
    places = list(product(range(FIRST, ticks), range(accounts)))

    entries = [(t, a) for t, a in places if tier[t, a] >= HIGH and tier[t - 1, a] < HIGH]
    assert found["entries"] == len(entries) > 0
    for days in (7, 14, 28):
        known = [(t, a) for t, a in entries if t + days < ticks]
        undone = 0
        for t, a in known:
            later = list(tier[t + 1 : t + days + 1, a])
            below = next((each for each in later if each < HIGH), HIGH)
            undone += below not in (HIGH, NO_TIER)
        assert found[f"entries_undone_{days}d"] == pytest.approx(undone / len(known))

    changes = [
        (t, a) for t, a in places if tier[t, a] != tier[t - 1, a] and NO_TIER not in (tier[t, a], tier[t - 1, a])
    ]
    known = [(t, a) for t, a in changes if t + 7 < ticks]
    back = sum(tier[t - 1, a] in tier[t + 1 : t + 8, a] for t, a in known)
    assert found["changes_undone_7d"] == pytest.approx(back / len(known))

    leads = []
    end = 0
    for t, a in places:
        if gone[t, a] and t >= FIRST + HORIZON + 1:
            flags = [s for s in range(t - 1 - HORIZON, t) if tier[s, a] >= HIGH]
            leads.append(t - 1 - flags[0] if flags else None)
            end += tier[t - 1, a] >= HIGH
    flagged = [lead for lead in leads if lead is not None]
    assert found["cancellations"] == len(leads) > 0
    assert found["recall"] == pytest.approx(len(flagged) / len(leads))
    assert found["recall_at_the_end"] == pytest.approx(end / len(leads))
    assert found["lead_days_median"] == np.median(flagged)
    assert found["high_7d_ahead"] == pytest.approx(sum(lead >= 7 for lead in flagged) / len(leads))
    assert found["entries_per_cancellation"] == pytest.approx(len(entries) / gone[FIRST:].sum())

    passed = [(t, a) for t, a in places if t < ticks - HORIZON]
    months = sum(tier[t, a] != NO_TIER for t, a in passed) / 30.4375
    high = [(t, a) for t, a in passed if tier[t, a] >= HIGH]
    false = [(t, a) for t, a in high if not gone[t + 1 : t + 1 + HORIZON, a].any()]
    assert found["high_days_per_account_month"] == pytest.approx(len(high) / months)
    assert found["false_high_days_per_account_month"] == pytest.approx(len(false) / months)
    assert found["false_entries_per_account_month"] == pytest.approx(len(set(false) & set(entries)) / months)


def test_an_entry_is_undone_on_the_day_that_is_named_and_not_by_a_cancellation() -> None:
    tier = np.zeros((60, 3), np.int8)
    gone = np.zeros((60, 3), np.bool_)
    tier[20:27, 0] = HIGH  # below again 7 days after it entered
    tier[20:28, 1] = HIGH  # 8 days
    tier[20:23, 2] = HIGH
    tier[23:, 2] = NO_TIER
    gone[23, 2] = True
    found = tier_figures(Matrices(START, ["a", "b", "c"], tier, tier >= HIGH, gone, np.zeros(3)), START, HORIZON)
    assert (found["entries_undone_7d"], found["entries_undone_14d"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert (found["recall"], found["lead_days_median"], found["recall_at_the_end"]) == (1.0, 2.0, 1.0)


def test_a_world_in_which_nothing_happens_has_no_shares() -> None:
    tier = np.zeros((30, 2), np.int8)
    quiet = Matrices(START, ["a", "b"], tier, tier >= HIGH, np.zeros((30, 2), np.bool_), np.zeros(2))
    found = tier_figures(quiet, START, HORIZON)
    assert (found["entries"], found["cancellations"], found["high_days_per_account_month"]) == (0, 0, 0.0)
    assert all(found[name] is None for name in ("entries_undone_7d", "changes_undone_7d", "recall", "lead_days_median"))
    shown = {name: {"mean": value, "sd": None} for name, value in found.items() if value is not None}
    [row] = tier_table({"run_summary": [{"scenario": "steady", "run": "default", **shown}]}).rows
    assert len(row) == 2 + len(SUMMARISED)
    assert "0.00" in row
