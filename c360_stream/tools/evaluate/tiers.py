"""Tiers as consumers of daily scores see them: how long an entry into `high` lasts, what it catches, what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.monitoring.lead import AHEAD_DAYS
from c360_stream.scoring.tiers import HIGH, NO_TIER
from c360_stream.tools.evaluate.cells import Table, number, percent
from c360_stream.tools.evaluate.lead import DAYS_A_MONTH
from c360_stream.tools.evaluate.ledger import Matrices
from c360_stream.tools.evaluate.summary import Figures

UNDONE_DAYS = (7, 14, 28)
CHANGE_UNDONE_DAYS = 7

Flags = NDArray[np.bool_]
Ticks = NDArray[np.int64]


def tier_figures(matrices: Matrices, judged_from: int, horizon_days: int) -> dict[str, Any]:
    """Figures of the tiers at ticks, from the first judged day on. "High" is `high` or `critical`.

    | figure | of what |
    |---|---|
    | `entries` | times that an account became high |
    | `entries_undone_7d`, `_14d`, `_28d` | share of them that were scored below high so many days later, or earlier |
    | `changes_undone_7d` | share of all changes of tier after which the account was back within 7 days |
    | `recall` | share of cancellations that were high at some tick within the horizon before |
    | `recall_at_the_end` | share that were high at the last tick before |
    | `lead_days_median` | days from the first such tick to the cancellation, of those that had one |
    | `high_7d_ahead`, `_30d_`, `_60d_` | share of cancellations that were first high so many days before, or earlier |
    | `false_entries_per_account_month` | entries that no cancellation followed within the horizon |
    | `high_days_per_account_month` | days that accounts were high |
    | `false_high_days_per_account_month` | those of them that no cancellation followed within the horizon |
    | `entries_per_cancellation` | entries over cancellations, from the first judged day on |
    """
    first = max(judged_from - matrices.first_day, 0)
    high = matrices.tier >= HIGH
    entered = high & ~_before(high)
    entered[:first] = False
    gone = matrices.gone[first:]
    return {
        "entries": int(entered.sum()),
        **{f"entries_undone_{days}d": _undone(high, entered, matrices.tier, days) for days in UNDONE_DAYS},
        "changes_undone_7d": _changes_undone(matrices.tier, first),
        **_caught(matrices, high, first, horizon_days),
        **_load(matrices, high, entered, first, horizon_days),
        "entries_per_cancellation": float(entered.sum() / gone.sum()) if gone.any() else None,
    }


def _before(flags: Flags) -> Flags:
    return np.vstack([np.zeros((1, flags.shape[1]), np.bool_), flags[:-1]])


def _undone(high: Flags, entered: Flags, tier: NDArray[np.int8], days: int) -> float | None:
    """Share of entries after which the account was scored below high within some days; only if all of them are known.

    An account that cancels first has not been called off.
    """
    undone = []
    for tick, account in _places(entered[: max(len(entered) - days, 0)]):
        left = np.flatnonzero(~high[tick + 1 : tick + 1 + days, account])
        undone.append(len(left) > 0 and tier[tick + 1 + left[0], account] != NO_TIER)
    return float(np.mean(undone)) if undone else None


def _places(flags: Flags) -> Iterator[tuple[int, int]]:
    ticks, accounts = np.nonzero(flags)
    return zip(ticks.tolist(), accounts.tolist(), strict=True)


def _changes_undone(tier: NDArray[np.int8], first: int) -> float | None:
    changed = np.zeros(tier.shape, np.bool_)
    changed[1:] = (tier[1:] != tier[:-1]) & (tier[1:] != NO_TIER) & (tier[:-1] != NO_TIER)
    changed[:first] = False
    back = [
        bool((tier[tick + 1 : tick + 1 + CHANGE_UNDONE_DAYS, account] == tier[tick - 1, account]).any())
        for tick, account in _places(changed[: max(len(changed) - CHANGE_UNDONE_DAYS, 0)])
    ]
    return float(np.mean(back)) if back else None


def _caught(matrices: Matrices, high: Flags, first: int, horizon_days: int) -> dict[str, Any]:
    """Lead time and recall: of cancellations whose whole horizon before was judged."""
    begin = first + horizon_days + 1
    places = [(tick + begin, account) for tick, account in _places(matrices.gone[begin:])]
    leads, at_the_end = [], []
    for tick, account in places:
        flags = np.flatnonzero(high[tick - 1 - horizon_days : tick, account])
        leads.append(horizon_days - int(flags[0]) if len(flags) else -1)
        at_the_end.append(bool(high[tick - 1, account]))
    lead = np.array(leads, np.int64)
    flagged = lead[lead >= 0]
    return {
        "cancellations": len(lead),
        "recall": float((lead >= 0).mean()) if len(lead) else None,
        "recall_at_the_end": float(np.mean(at_the_end)) if len(lead) else None,
        "lead_days_median": float(np.median(flagged)) if len(flagged) else None,
        **{f"high_{days}d_ahead": float((lead >= days).mean()) if len(lead) else None for days in AHEAD_DAYS},
    }


def _load(matrices: Matrices, high: Flags, entered: Flags, first: int, horizon_days: int) -> dict[str, Any]:
    """What there is to do about the high ones, an account-month: at ticks whose horizon has passed."""
    end = max(len(high) - horizon_days, first)
    upto = np.cumsum(np.vstack([np.zeros((1, high.shape[1]), np.int64), matrices.gone]), axis=0)
    # A cancellation within the horizon after tick t is found at one of the ticks t + 1 to t + horizon.
    stayed = (upto[first + horizon_days + 1 : end + horizon_days + 1] - upto[first + 1 : end + 1]) == 0
    months = float((matrices.tier[first:end] != NO_TIER).sum()) / DAYS_A_MONTH
    counts = {
        "false_entries": entered[first:end] & stayed,
        "high_days": high[first:end],
        "false_high_days": high[first:end] & stayed,
    }
    return {f"{name}_per_account_month": float(of.sum()) / months if months else None for name, of in counts.items()}


SUMMARISED = (
    ("entries_undone_7d", "#undone in 7 days", "share"),
    ("entries_undone_14d", "#14 days", "share"),
    ("entries_undone_28d", "#28 days", "share"),
    ("changes_undone_7d", "#all changes, 7 days", "share"),
    ("recall", "#recall", "share"),
    ("recall_at_the_end", "#at the end", "share"),
    ("lead_days_median", "#lead, days", ".1f"),
    ("high_30d_ahead", "#30 days ahead", "share"),
    ("false_entries_per_account_month", "#false entries an account-month", ".3f"),
    ("high_days_per_account_month", "#high days", ".2f"),
    ("false_high_days_per_account_month", "#of them false", ".2f"),
    ("entries_per_cancellation", "#entries a cancellation", ".2f"),
)
"""Figures of the table, their columns and forms."""


def tier_table(figures: Figures) -> Table:
    """Means over the worlds, by scenario and run."""
    rows = []
    for row in figures["run_summary"]:
        cells = [
            percent(mean) if form == "share" else number(mean, form)
            for name, _, form in SUMMARISED
            for mean in [row.get(name, {}).get("mean")]
        ]
        rows.append((row["scenario"], row["run"], *cells))
    return Table(("scenario", "run", *(column for _, column, _ in SUMMARISED)), rows)
