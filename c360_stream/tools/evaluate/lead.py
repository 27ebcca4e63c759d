"""Lead time: how long before a cancellation an account was first `high`, and how often `high` came to nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.monitoring.lead import AHEAD_DAYS
from c360_stream.scoring.tiers import HIGH, NO_TIER
from c360_stream.tools.evaluate.ledger import Matrices

MRR_AHEAD_DAYS = 30
DAYS_A_MONTH = 365.25 / 12


def lead_time(matrices: Matrices, judged_from: int, horizon_days: int) -> dict[str, Any]:
    """Figures of lead time.

    A cancellation is one that a tick found in the day before it. Its lead is the number of whole days from the first
    tick, within the horizon before it, at which the risk was at or above the threshold of `high`. Only cancellations
    whose whole horizon before was judged count.

    A false alarm is an entry into the tiers `high` or above (hysteresis included) that no cancellation followed within
    the horizon. Only entries whose horizon has passed count, and only account-months of such ticks.
    """
    first = max(judged_from - matrices.first_day, 0)
    ticks, accounts = np.nonzero(matrices.gone)
    counted = ticks >= first + horizon_days + 1
    ticks, accounts = ticks[counted], accounts[counted]
    leads = np.array(
        [
            _lead(matrices.over[:, account], tick, horizon_days)
            for tick, account in zip(ticks.tolist(), accounts.tolist(), strict=True)
        ],
        np.int64,
    )
    mrr = np.nan_to_num(matrices.mrr_cents[accounts])
    found: dict[str, Any] = {
        "cancellations": len(leads),
        "flagged": int((leads >= 0).sum()),
        "median_days": float(np.median(leads[leads >= 0])) if (leads >= 0).any() else None,
        "mrr_share_flagged_30d": float(mrr[leads >= MRR_AHEAD_DAYS].sum() / mrr.sum()) if mrr.sum() > 0 else None,
        "days": np.bincount(leads[leads >= 0], minlength=horizon_days + 1).tolist(),
        "never": int((leads < 0).sum()),
    }
    for days in AHEAD_DAYS:
        found[f"share_flagged_{days}d"] = float((leads >= days).mean()) if len(leads) else None
    return found | _false_alarms(matrices, first, horizon_days)


def _lead(over: NDArray[np.bool_], tick: int, horizon_days: int) -> int:
    """Whole days from the first flag to the cancellation in the day before `tick`; -1 without one."""
    begin = max(tick - 1 - horizon_days, 0)
    flags = np.flatnonzero(over[begin:tick])
    return int(tick - 1 - begin - flags[0]) if len(flags) else -1


def _false_alarms(matrices: Matrices, first: int, horizon_days: int) -> dict[str, Any]:
    high = matrices.tier >= HIGH
    before = np.vstack([np.zeros((1, high.shape[1]), np.bool_), high[:-1]])
    end = max(len(high) - horizon_days, first)
    entries = (high & ~before)[first:end]
    upto = np.cumsum(np.vstack([np.zeros((1, high.shape[1]), np.int64), matrices.gone]), axis=0)
    # A cancellation within the horizon after tick t is found at one of the ticks t + 1 to t + horizon.
    followed = (upto[first + horizon_days + 1 : end + horizon_days + 1] - upto[first + 1 : end + 1]) > 0
    months = float((matrices.tier[first:end] != NO_TIER).sum()) / DAYS_A_MONTH
    false = int((entries & ~followed).sum())
    return {
        "entries": int(entries.sum()),
        "false_alarms": false,
        "account_months": months,
        "false_alarms_per_account_month": false / months if months else None,
    }
