"""Simulated lives without usage (which moves nothing): states, truth and cancellations as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from c360_stream.tools.simulate import SimulationSpec, hazard
from c360_stream.tools.simulate.company import Company
from c360_stream.tools.simulate.population import Bools, Floats, Ints, Population

HORIZON = hazard.HORIZON_DAYS


@dataclass(frozen=True)
class Lives:
    """Arrays of shape (days, accounts), at the midnight that opens each day; NaN where an account is not active."""

    population: Population
    hazard_1d: Floats
    risk_60d: Floats
    cancels: Bools
    age: Ints
    engagement: Floats
    incidents: Floats
    mrr_cents: Ints
    outreach: Floats
    """Of shape (playbooks, days, accounts)."""
    reasons: list[tuple[int, int, str]]
    """Day, account and reason of each cancellation; empty if none was given."""

    @property
    def active(self) -> Bools:
        """Who is a customer at each midnight."""
        return np.asarray(~np.isnan(self.risk_60d))

    @property
    def known(self) -> Bools:
        """Account-days whose 60 days lie within the simulation."""
        inside = np.arange(len(self.cancels))[:, None] + HORIZON <= len(self.cancels)
        return np.asarray(inside & self.active)

    @property
    def churned(self) -> Bools:
        """Whether a cancellation falls in the 60 days from each midnight on."""
        total = np.vstack([np.zeros(self.cancels.shape[1]), np.cumsum(self.cancels, axis=0)])
        ends = np.minimum(np.arange(len(self.cancels)) + HORIZON, len(self.cancels))
        return np.asarray(total[ends] > total[:-1])

    def cancelling(self, rows: Bools) -> float:
        """Cancellations an account-day, of the active among some account-days."""
        return float(self.cancels[rows & self.active].mean())


@lru_cache(maxsize=16)
def lives(scenario: str, accounts: int = 2500, days: int = 300) -> Lives:
    """Step a company without its product events. Not to be changed."""
    company = Company(SimulationSpec(accounts, days, seed=21, scenario=scenario))
    life, billing = company._lifecycle, company._billing
    shape = (days, accounts)
    seen = Lives(
        population=company.population,
        hazard_1d=np.full(shape, np.nan),
        risk_60d=np.full(shape, np.nan),
        cancels=np.zeros(shape, np.bool_),
        age=np.zeros(shape, np.int64),
        engagement=np.zeros(shape),
        incidents=np.zeros(shape),
        mrr_cents=np.zeros(shape, np.int64),
        outreach=np.zeros((len(life.outreach), *shape)),
        reasons=[],
    )
    price = [billing._mrr_cents(account) for account in range(accounts)]
    for day in range(days):
        truth, starting, leaving = life.open_day(day)
        seen.hazard_1d[day, truth.accounts] = truth.hazard_1d
        seen.risk_60d[day, truth.accounts] = truth.risk_60d
        seen.cancels[day, leaving] = True
        seen.age[day], seen.engagement[day], seen.incidents[day] = life.age, life.engagement, life.incidents
        seen.mrr_cents[day], seen.outreach[:, day] = price, life.outreach
        events = billing.day(life, day, starting, leaving)
        kinds, fields = events.event_type.table, events.first.table
        for kind, field, account in zip(kinds, fields, events.account.tolist(), strict=True):
            if kind in {b"subscription_started", b"subscription_changed"}:
                price[account] = billing._mrr_cents(account)
            elif kind == b"subscription_cancelled":
                seen.reasons.append((day, account, field.partition(b'"reason":"')[2].rstrip(b'"').decode()))
        company._support.day(life, day)
        life.close_day(day, leaving)
    return seen
