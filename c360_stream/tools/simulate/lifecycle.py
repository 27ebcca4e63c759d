"""The moving state of the accounts: who is a customer, how engaged, and who cancels today."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c360_stream.tools.simulate import hazard
from c360_stream.tools.simulate.events import DAY_MS, DayEvents, times_of_day
from c360_stream.tools.simulate.population import Bools, Floats, Ints, Population
from c360_stream.tools.simulate.scenario import SimulationSpec

RETURN_SHARE = 0.1
# Accounts projected at once: bounds memory, and 60 days of them stay in the processor's cache.
BLOCK = 2048


@dataclass(frozen=True, slots=True)
class Truth:
    """True probabilities at a midnight, for the accounts that are active then (ascending)."""

    accounts: Ints
    hazard_1d: Floats
    risk_60d: Floats


class Lifecycle:
    """State of every account, moved day by day.

    The walk and the coin of cancelling are drawn for every account on every day, customers or not, from a stream
    of their own: so scenarios that leave the hazard alone have the same cancellations and the same truth.

    Attributes
    ----------
    active
        Customers at some time today.
    age
        Days since the subscription started.
    engagement, regime
        State of the walk; regime 1 is fading.
    failures, incidents
        Decayed payment failures and serious tickets.
    live_from_ms, live_until_ms
        When today the account may produce events; the whole day unless it starts or cancels.
    """

    def __init__(self, spec: SimulationSpec, population: Population, rng: np.random.Generator) -> None:
        count = spec.accounts
        self._spec = spec
        self._population = population
        self._rng = rng
        self._fade_pull = spec.world.fade_pull
        self._table = hazard.risk_table(self._fade_pull)
        self._starts_on = population.start_day.copy()
        self.active: Bools = np.zeros(count, np.bool_)
        self.age: Ints = np.zeros(count, np.int64)
        self.engagement: Floats = np.zeros(count)
        self.regime: Ints = np.zeros(count, np.int64)
        self.failures: Floats = np.zeros(count)
        self.incidents: Floats = np.zeros(count)
        self.live_from_ms: Ints = np.zeros(count, np.int64)
        self.live_until_ms: Ints = np.full(count, DAY_MS)

    def open_day(self, day: int) -> tuple[Truth, Ints, Ints]:
        """Let accounts start and cancel.

        Returns
        -------
        The truth at this midnight, the accounts that start today and those that cancel today (ascending).
        """
        count = self._spec.accounts
        self.live_from_ms[:] = 0
        self.live_until_ms[:] = DAY_MS
        coin, walk, moment = self._rng.random(count), self._rng.normal(0, 1, count), times_of_day(self._rng, count)
        truth = self._truth(day)
        leaving = truth.accounts[coin[truth.accounts] < truth.hazard_1d]
        self.live_until_ms[leaving] = moment[leaving]

        starting = np.flatnonzero(self._starts_on == day)
        self.active[starting] = True
        self.age[starting] = 0
        self.engagement[starting] = 0.2 + 0.4 * walk[starting]
        self.regime[starting] = 0
        self.failures[starting] = self.incidents[starting] = 0.0
        self.live_from_ms[starting] = moment[starting]
        return truth, starting, leaving

    def close_day(self, day: int, leaving: Ints) -> None:
        """Move every state to the next midnight; some of those who left will come back in 2 to 9 weeks."""
        count = self._spec.accounts
        switch, comeback, weeks = (self._rng.random(count) for _ in range(3))
        turn = switch < hazard.switches(self.engagement, self.regime)
        self.engagement = hazard.drifted(self.engagement, self.regime, self._fade_pull)
        self.engagement += self._rng.normal(0, hazard.STEP_NOISE, count)
        self.regime = np.where(turn, 1 - self.regime, self.regime)
        self.failures *= hazard.FAILURE_DECAY
        self.incidents *= hazard.INCIDENT_DECAY
        self.age += 1
        self.active[leaving] = False
        back = leaving[comeback[leaving] < RETURN_SHARE]
        self._starts_on[back] = day + 14 + (weeks[back] * 50).astype(np.int64)

    def keep_live(self, events: DayEvents) -> Bools:
        """Which events fall into their account's time as a customer today."""
        late_enough = events.at_ms >= self.live_from_ms[events.account]
        return np.asarray(late_enough & (events.at_ms <= self.live_until_ms[events.account]))

    def _truth(self, day: int) -> Truth:
        accounts = np.flatnonzero(self.active)
        hazards, risks = np.empty(len(accounts)), np.empty(len(accounts))
        for begin in range(0, len(accounts), BLOCK):
            rows = slice(begin, begin + BLOCK)
            hazards[rows], risks[rows] = self._probabilities(accounts[rows], day)
        return Truth(accounts, hazards, risks)

    def _probabilities(self, accounts: Ints, day: int) -> tuple[Floats, Floats]:
        population, x = self._population, self.engagement[accounts]
        log_hazard = hazard.baseline(population, accounts, self.age[accounts], day, self._spec.price_day)
        failure_rate = population.failure_rate[accounts] * hazard.FAILURES_A_RUN / hazard.BILLING_DAYS
        log_hazard += hazard.shocks_ahead(
            self.failures[accounts], failure_rate, hazard.FAILURE_DECAY, hazard.FAILURE_WEIGHT
        )
        log_hazard += hazard.shocks_ahead(
            self.incidents[accounts],
            population.incident_rate[accounts],
            hazard.INCIDENT_DECAY,
            hazard.INCIDENT_WEIGHT,
        )
        today = -np.expm1(-np.exp(log_hazard[:, 0] - hazard.SLOPE * x))
        return today, self._table.risk(log_hazard, x, self.regime[accounts])
