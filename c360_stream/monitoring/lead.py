"""How far ahead of a cancellation the account was called `high`, and how many were called so for nothing."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.models.columns import Floats
from c360_stream.models.horizons import DAYS_PER_MONTH
from c360_stream.monitoring.quality import Measure
from c360_stream.state.fields import Kept, fields

AHEAD_DAYS = (7, 30, 60)
NEVER = -1
# Cancellations are few: figures are of the last four weeks.
WINDOW_TICKS = 28


class Leads(NamedTuple):
    """A tick's part, of one shard or of all.

    Parameters
    ----------
    lead_days
        int64, shape (m,): of each account that cancelled, days from the first `high` within the horizon before to the
        cancellation; `NEVER` if there was none.
    mrr_cents
        Their MRR at the last tick, shape (m,); 0 where it is unknown.
    false_flags
        Accounts that became `high` at the as-of whose labels matured, and did not cancel within the horizon.
    account_days
        Accounts that were scored at that as-of.
    """

    lead_days: NDArray[np.int64]
    mrr_cents: Floats
    false_flags: int
    account_days: int

    @classmethod
    def merged(cls, parts: list[Leads]) -> Leads:
        """All parts as one, the same in any order of accounts."""
        lead = np.concatenate([part.lead_days for part in parts])
        mrr = np.concatenate([part.mrr_cents for part in parts])
        order = np.lexsort((mrr, lead))
        return cls(
            lead[order], mrr[order], sum(part.false_flags for part in parts), sum(part.account_days for part in parts)
        )


def leads(risks: Floats, high: float) -> NDArray[np.int64]:
    """Days from the first `high` to a cancellation.

    Parameters
    ----------
    risks
        Shape (days, m): stored risks of accounts that cancelled, from the midnight before the cancellation
        backwards; NaN where there was none.
    high
        Where the tier begins.

    Examples
    --------
    >>> leads(np.array([[0.3, 0.3, 0.1], [0.2, 0.4, 0.1], [0.5, np.nan, 0.2]]), high=0.25).tolist()
    [2, 1, -1]
    """
    # Scores before a gap are of an earlier subscription.
    unbroken = np.cumsum(np.isnan(risks), axis=0) == 0
    flagged = unbroken & (risks >= high)
    first = len(risks) - 1 - np.argmax(flagged[::-1], axis=0)
    return np.where(flagged.any(axis=0), first, NEVER).astype(np.int64)


class LeadWatch(Kept):
    """Figures of the last four weeks, from the leads of their ticks.

    | metric | of what |
    |---|---|
    | `lead_days_median` | days from the first `high` to the cancellation, of those who were `high` |
    | `flagged_7d_ahead`, `_30d_`, `_60d_` | share of cancellations that were `high` that many days before, or earlier |
    | `mrr_caught_7d_ahead`, ... | the same, of the MRR that was cancelled |
    | `false_flags_per_account_month` | accounts that became `high` and stayed, per account and 30 days |
    """

    kept = fields(_ticks=deque[Leads])

    def __init__(self) -> None:
        self._ticks: deque[Leads] = deque(maxlen=WINDOW_TICKS)

    def on_tick(self, tick: Leads) -> None:
        """Take a tick."""
        self._ticks.append(tick)

    def measures(self) -> list[Measure]:
        """The figures; those of cancellations only if there were any."""
        whole = Leads.merged(list(self._ticks))
        gone, found = len(whole.lead_days), []
        flagged = whole.lead_days[whole.lead_days != NEVER]
        if len(flagged):
            found.append(Measure("all", "lead_days_median", float(np.median(flagged)), len(flagged)))
        lost = float(np.sum(np.sort(whole.mrr_cents)))
        for days in AHEAD_DAYS if gone else ():
            ahead = whole.lead_days >= days
            found.append(Measure("all", f"flagged_{days}d_ahead", float(np.mean(ahead)), gone))
            if lost:
                caught = float(np.sum(np.sort(whole.mrr_cents[ahead]))) / lost
                found.append(Measure("all", f"mrr_caught_{days}d_ahead", caught, gone))
        if whole.account_days:
            load = whole.false_flags / whole.account_days * DAYS_PER_MONTH
            found.append(Measure("all", "false_flags_per_account_month", load, whole.account_days))
        return found
