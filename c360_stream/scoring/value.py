"""What an account is worth: expected months until it cancels, and the margin on its revenue in them, discounted.

The hazard of the first months follows from the score. Beyond its horizon the account's log-hazard goes back to that of
the average account, by the share per month that the risk curve has learnt; how long accounts stay on average is learnt,
too. Months have 30 days, revenue is that of today (growth and price changes are not foreseen), and what lies beyond
`value_months_max` counts for nothing.

References
----------
Gupta, Lehmann, Stuart, "Valuing Customers", Journal of Marketing Research 41, 2004: margin times survival, discounted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.growth import grow_array
from c360_stream.models.classifier import sigmoid
from c360_stream.models.columns import Floats
from c360_stream.models.horizons import DAYS_PER_MONTH, RiskCurve
from c360_stream.monitoring.value_check import CHECK_DAYS, CHECK_MONTHS, ValueCheck
from c360_stream.state.fields import Kept, fields

_MONTHS_PER_YEAR = 12
_DAYS_PER_YEAR = 365
# Values are worked out on this grid of log-odds and interpolated.
_GRID = np.arange(-12.0, 12.25, 0.25)


@dataclass(frozen=True, slots=True)
class ValueConfig:
    """What value takes from the settings of the same names."""

    margin_share: float = 0.8
    discount_rate: float = 0.1
    value_months_max: int = 60


class Lifetimes(NamedTuple):
    """By log-odds of the score on a fixed grid: expected months, and the same discounted, of all and of half a year."""

    months: Floats
    discounted: Floats
    discounted_check: Floats

    def expected_months(self, log_odds: Floats) -> Floats:
        """Months until each account cancels, within `value_months_max`; shape (n,)."""
        return np.asarray(np.interp(log_odds, _GRID, self.months))

    def worth(self, log_odds: Floats, *, check: bool = False) -> Floats:
        """Months that count, discounted to today, shape (n,); with `check` those of the next half year alone."""
        return np.asarray(np.interp(log_odds, _GRID, self.discounted_check if check else self.discounted))


@lru_cache(maxsize=8)
def _lifetimes(
    horizon_days: int, base_rate: float, persistence: float, discount_rate: float, months_max: int
) -> Lifetimes:
    months, discounted, check = (np.zeros(len(_GRID)) for _ in range(3))
    average = _log_hazard(base_rate, horizon_days)
    last = max(months_max, CHECK_MONTHS)
    # Months from the middle of the horizon; within it the account's own hazard holds.
    ahead = [
        0.0
        if (month + 1) * DAYS_PER_MONTH <= horizon_days
        else max(month + 0.5 - horizon_days / (2 * DAYS_PER_MONTH), 0.0)
        for month in range(last)
    ]
    left = [persistence**each for each in ahead]
    worth = [(1.0 + discount_rate) ** (-(month + 0.5) / _MONTHS_PER_YEAR) for month in range(last)]
    for i, log_odds in enumerate(_GRID.tolist()):
        distance = _log_hazard(sigmoid(log_odds), horizon_days) - average
        gone = 0.0
        for month in range(last):
            hazard = math.exp(average + distance * left[month])
            alive = math.exp(-(gone + hazard / 2))
            gone += hazard
            if month < months_max:
                months[i] += alive
                discounted[i] += alive * worth[month]
            if month < CHECK_MONTHS:
                check[i] += alive * worth[month]
    return Lifetimes(months, discounted, check)


def _log_hazard(risk: float, horizon_days: int) -> float:
    """Logarithm of the hazard per month of an account with this risk over the horizon."""
    return math.log(-math.log1p(-risk) * DAYS_PER_MONTH / horizon_days)


def lifetimes(curve: RiskCurve, config: ValueConfig) -> Lifetimes:
    """How long accounts stay, by a model version's curve.

    >>> from c360_stream.models.horizons import Share
    >>> hardly_reverts = RiskCurve(60, 0.1, {}, {90: Share(1.0, 0.0)})
    >>> stays = lifetimes(hardly_reverts, ValueConfig(discount_rate=0.0))
    >>> stays.expected_months(np.array([-3.89, -1.39])).round(1).tolist()  # risks of 2% and 20%
    [38.2, 10.1]
    """
    return _lifetimes(
        curve.horizon_days, curve.base_rate, curve.persistence, config.discount_rate, config.value_months_max
    )


class ValueLedger(Kept):
    """Holds predicted values against the margin that came in.

    Every 30 days the accounts of a shard form a cohort, whose prediction for the next half year waits for its end.
    Memory: 8 bytes per account, and 20 for each of six cohorts.

    Parameters
    ----------
    config
        Margin and discount.
    """

    kept = fields(_first_day=int | None, _earned=Floats, _cohorts=dict[int, tuple[NDArray[np.int32], Floats, Floats]])

    def __init__(self, config: ValueConfig) -> None:
        self._config = config
        self._first_day: int | None = None
        self._earned = np.zeros(64)
        self._cohorts: dict[int, tuple[NDArray[np.int32], Floats, Floats]] = {}

    def reserve(self, accounts: int) -> None:
        """Make room for `accounts` accounts."""
        self._earned = grow_array(self._earned, accounts, 0.0)

    def tick(self, day: int, account: NDArray[np.int32], mrr_cents: Floats, worth: Floats) -> ValueCheck | None:
        """Take a tick.

        Parameters
        ----------
        account, mrr_cents
            Active accounts and their revenue, NaN for unknown; shape (n,).
        worth
            `Lifetimes.worth` of each over the half year.

        Returns
        -------
        How the cohort of half a year ago came out, if one is due.
        """
        if self._first_day is None:
            self._first_day = day
        margin = np.nan_to_num(mrr_cents) * self._config.margin_share
        check = self._due(day)
        if day % DAYS_PER_MONTH == 0:
            self._cohorts[day] = (account, margin * worth, self._earned[account].copy())
        self._earned[account] += margin / DAYS_PER_MONTH * self._discount(day)
        return check

    def _due(self, day: int) -> ValueCheck | None:
        cohort = self._cohorts.pop(day - CHECK_DAYS, None)
        if cohort is None:
            return None
        account, predicted, before = cohort
        realised = (self._earned[account] - before) / self._discount(day - CHECK_DAYS)
        sums = (predicted, realised, np.abs(predicted - realised))
        return ValueCheck(len(account), *(int(np.rint(each).sum()) for each in sums))

    def _discount(self, day: int) -> float:
        years = (day - (self._first_day or 0)) / _DAYS_PER_YEAR
        return float((1.0 + self._config.discount_rate) ** -years)
