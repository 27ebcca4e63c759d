"""The risks of past ticks by as-of, which labels are joined with as they become known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.growth import grow_array
from c360_stream.labels.ledger import CORRECTION_DAYS, KnownLabels
from c360_stream.models.columns import Floats
from c360_stream.monitoring.lead import Leads, leads
from c360_stream.scoring.scored import Outcomes
from c360_stream.state.fields import Kept, fields


class StoredRisks(Kept):
    """One shard's risk of every tick whose label may yet be known.

    A ring of as-of days: what a tick stores takes the place of a risk whose label cannot change any more. Memory:
    (horizon + 9) x 8 bytes per account.

    Parameters
    ----------
    horizon_days
        Of the labels.
    """

    kept = fields(_risk=NDArray[np.float64])

    def __init__(self, horizon_days: int) -> None:
        self._horizon_days = horizon_days
        self._slots = horizon_days + CORRECTION_DAYS + 1
        self._risk = np.full((self._slots, 64), np.nan)

    def reserve(self, accounts: int) -> None:
        """Make room for `accounts` accounts."""
        self._risk = grow_array(self._risk, accounts, np.nan, axis=1)

    def store(self, day: int, account: NDArray[np.int32], risk: Floats) -> None:
        """Keep the risks of a tick, shape (n,); accounts that are not among them have none."""
        stored = self._risk[day % self._slots]
        stored[:] = np.nan
        stored[account] = risk

    def before(self, day: int, account: NDArray[np.int32], ticks: int) -> Floats:
        """Risks at the ticks before a tick, newest first; shape (ticks, accounts), NaN where there was none."""
        days = (day - np.arange(1, ticks + 1)) % self._slots
        return self._risk[days[:, None], account]

    def outcomes(self, ids: list[str], labels: KnownLabels) -> Outcomes:
        """Labels, with the risk that was stored at their as-of; `ids` are of all accounts of the shard."""
        return Outcomes(
            ids=[ids[i] for i in labels.account.tolist()],
            as_of_day=labels.as_of_day,
            churned=labels.churned,
            risk=self._risk[labels.as_of_day % self._slots, labels.account],
        )

    def leads(self, day: int, gone: NDArray[np.int32], mrr_cents: Floats, known: KnownLabels, high: float) -> Leads:
        """Leads of accounts that cancelled, and false flags of the as-of whose labels are all known now.

        Parameters
        ----------
        day
            The tick.
        gone, mrr_cents
            Accounts that have cancelled since the tick before, and their last MRR; shape (m,).
        known
            Labels that became known at the tick.
        high
            Risk at which the tier begins.
        """
        due = day - self._horizon_days
        here, before = (self._risk[as_of % self._slots] for as_of in (due, due - 1))
        stayed = known.account[(known.as_of_day == due) & ~known.churned]
        return Leads(
            lead_days=leads(self.before(day, gone, self._horizon_days + 1), high),
            mrr_cents=np.nan_to_num(mrr_cents),
            false_flags=int(np.count_nonzero((here[stayed] >= high) & (before[stayed] < high))),
            account_days=int(np.count_nonzero(~np.isnan(here))),
        )
