"""What a retention campaign on the riskiest accounts would earn: EMPC, with documented costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from c360_stream.monitoring.quality import Measure, Outcomes, Values

# Acceptance rates at which `profit` seeks the best cut.
_ACCEPTANCE_POINTS = 1000
# Alpha and beta of the acceptance rate: the paper's, 0.3 on average.
ACCEPTANCE = (6.0, 14.0)
# A customer who takes the offer stays so much longer: a contract year.
KEPT_MONTHS = 12


class Profit(NamedTuple):
    """What `profit` gives: money per customer, contacted or not, and the fraction of them to contact."""

    per_customer: float
    contacted: float


@dataclass(frozen=True, slots=True)
class Campaign:
    """What a campaign costs, in the settings of the same names, and the margin on what it keeps."""

    contact_cost_cents: int = 2_500
    offer_cost_cents: int = 10_000
    margin_share: float = 0.8

    @property
    def _costs(self) -> dict[str, float]:
        return {"contact_cost": float(self.contact_cost_cents), "offer_cost": float(self.offer_cost_cents)}

    def _worth(self, mrr_cents: Values) -> Values:
        return np.asarray(np.nan_to_num(mrr_cents) * self.margin_share * KEPT_MONTHS)

    def curve(self, churned: Outcomes, risk: Values, mrr_cents: Values) -> tuple[Values, Values]:
        """Share of the accounts that is contacted, riskiest first, from 0 to 1, and the profit per account in cents.

        As if three in ten took the offer, which is what `ACCEPTANCE` expects.
        """
        called, gain, cost = _by_contacted(churned, risk, self._worth(mrr_cents), **self._costs)
        alpha, beta = ACCEPTANCE
        accounts = max(len(churned), 1)
        return called / accounts, (alpha / (alpha + beta) * gain - cost) / accounts

    def measures(self, churned: Outcomes, risk: Values, mrr_cents: Values) -> list[Measure]:
        """Expected maximum profit per account (`empc_cents`), and the share of accounts to contact for it.

        A customer who stays is worth the margin on a year of MRR; one whose MRR is unknown, nothing.
        """
        worth = self._worth(mrr_cents)
        found = profit(churned, risk, worth, **self._costs, acceptance=ACCEPTANCE)
        return [
            Measure("all", "empc_cents", found.per_customer, len(churned)),
            Measure("all", "empc_contacted_share", found.contacted, len(churned)),
        ]


def profit(
    churned: Outcomes,
    risk: Values,
    lifetime_value: Values | float,
    *,
    contact_cost: float,
    offer_cost: float,
    acceptance: tuple[float, float],
) -> Profit:
    """Expected maximum profit of a retention campaign on the riskiest customers (EMPC).

    Everybody at or above some risk is contacted. Somebody about to churn takes the offer and stays with a probability
    that nobody knows beforehand, only its Beta distribution; everybody else takes the offer and would have stayed
    anyway. For each acceptance rate the best threshold is sought, and profit and fraction are averaged over the rates,
    on a fixed grid. That is the profit that the ranking allows, not what one threshold chosen beforehand earns. 0 if it
    is best to contact nobody; NaN of no rows. One unit of money throughout, such as cents.

    Parameters
    ----------
    churned, risk
        Outcomes and risks of n customers.
    lifetime_value
        What a customer who stays is worth, (n,), or one value for all as in the paper.
    contact_cost
        Of reaching one customer, whatever the answer: an account manager's time, a call.
    offer_cost
        Of the offer to one customer who takes it: the discount granted.
    acceptance
        Alpha and beta of the Beta distribution of the acceptance rate; the paper has (6, 14), which is 0.3 on average.

    Raises
    ------
    ValueError
        If a cost is negative, or alpha or beta is not positive.

    Examples
    --------
    >>> churned, risk = np.array([True, False, False, False]), np.array([0.9, 0.2, 0.2, 0.1])
    >>> found = profit(churned, risk, 200.0, contact_cost=1.0, offer_cost=10.0, acceptance=(6.0, 14.0))
    >>> round(found.per_customer, 3), round(found.contacted, 3)
    (14.0, 0.25)

    References
    ----------
    Verbraken, Verbeke, Baesens, "A Novel Profit Maximizing Metric for Measuring Classification Performance of Customer
    Churn Prediction Models", IEEE TKDE 25(5), 2013. A value for each customer: Oskarsdottir, Baesens, Vanthienen,
    "Profit-Based Model Selection for Customer Retention Using Individual Customer Lifetime Values", Big Data 6, 2018.
    """
    if min(contact_cost, offer_cost) < 0 or min(acceptance) <= 0:
        raise ValueError(f"costs {contact_cost}, {offer_cost} must be 0 or more, and Beta{acceptance} positive")
    if not len(churned):
        return Profit(float("nan"), float("nan"))
    called, gain, cost = _by_contacted(churned, risk, lifetime_value, contact_cost, offer_cost)
    rate, weight = _acceptance_rates(*acceptance)
    # One rate at a time: all at once would be a thousand times the memory.
    best = [int(np.argmax(each * gain - cost)) for each in rate.tolist()]
    most = rate * gain[best] - cost[best]
    share = weight / (weight.sum() * len(churned))
    return Profit(float(np.sum(share * most)), float(np.sum(share * called[best])))


def _acceptance_rates(alpha: float, beta: float) -> tuple[Values, Values]:
    """The grid of acceptance rates, and the density of each up to a factor."""
    rate = (np.arange(_ACCEPTANCE_POINTS) + 0.5) / _ACCEPTANCE_POINTS
    density = (alpha - 1) * np.log(rate) + (beta - 1) * np.log1p(-rate)
    return rate, np.exp(density - density.max())


def _by_contacted(
    churned: Outcomes, risk: Values, lifetime_value: Values | float, contact_cost: float, offer_cost: float
) -> tuple[Values, Values, Values]:
    """How many are contacted, nobody first; the profit of that is the acceptance rate times the gain, less the cost."""
    worth = np.broadcast_to(np.asarray(lifetime_value, np.float64), risk.shape)
    order = np.lexsort((worth, churned, -risk))
    ends = np.append(np.flatnonzero(np.diff(risk[order])), len(order) - 1)[: len(order)]
    called = np.append(0.0, ends + 1.0)
    gain = np.append(0.0, np.cumsum(np.where(churned[order], worth[order] - offer_cost, 0.0))[ends])
    cost = called * contact_cost + np.append(0, np.cumsum(~churned[order])[ends]) * offer_cost
    return called, gain, cost
