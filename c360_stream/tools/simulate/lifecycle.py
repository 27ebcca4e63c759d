"""The moving state of the accounts: who is a customer, how engaged, and who cancels today."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c360_stream.tools.simulate import hazard
from c360_stream.tools.simulate.events import DAY_MS, DayEvents, times_of_day
from c360_stream.tools.simulate.population import Bools, Floats, Ints, Population
from c360_stream.tools.simulate.scenario import LARGE_SEATS, SimulationSpec
from c360_stream.tools.simulate.weights import Weights

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
    outreach
        Decayed contacts, shape (playbooks of the scenario, accounts).
    weights, weighed_by
        Weights of the hazard, and the index of each account's.
    live_from_ms, live_until_ms
        When today the account may produce events; the whole day unless it starts or cancels.
    """

    def __init__(self, spec: SimulationSpec, population: Population, rng: np.random.Generator) -> None:
        count = spec.accounts
        self._spec = spec
        self._population = population
        self._rng = rng
        self._fade_pull = spec.world.fade_pull
        world = spec.world
        self.weights: tuple[Weights, ...] = (world.weights, *([world.weights_large] if world.weights_large else []))
        self._tables = [hazard.risk_table(self._fade_pull, weights) for weights in self.weights]
        self.weighed_by: Ints = np.where(population.seats >= LARGE_SEATS, len(self.weights) - 1, 0)
        self._starts_on = population.start_day.copy()
        self.active: Bools = np.zeros(count, np.bool_)
        self.age: Ints = np.zeros(count, np.int64)
        self.engagement: Floats = np.zeros(count)
        self.regime: Ints = np.zeros(count, np.int64)
        self.failures: Floats = np.zeros(count)
        self.incidents: Floats = np.zeros(count)
        self.outreach: Floats = np.zeros((len(world.playbooks), count))
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
        self.outreach[:, starting] = 0.0
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
        self.outreach *= np.array([playbook.decay for playbook in self._spec.world.playbooks]).reshape(-1, 1)
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
            block = accounts[rows]
            group = self.weighed_by[block]
            for index in np.unique(group).tolist():
                mine = group == index
                hazards[rows][mine], risks[rows][mine] = self._probabilities(block[mine], day, index)
        return Truth(accounts, hazards, risks)

    def _probabilities(self, accounts: Ints, day: int, index: int) -> tuple[Floats, Floats]:
        """Of accounts with the same weights: those at an index."""
        population, x, weights = self._population, self.engagement[accounts], self.weights[index]
        log_hazard = hazard.baseline(
            population, accounts, self.age[accounts], weights, day=day, price_day=self._spec.price_day
        )
        failure_rate = population.failure_rate[accounts] * hazard.FAILURES_A_RUN / hazard.BILLING_DAYS
        log_hazard += hazard.shocks_ahead(self.failures[accounts], failure_rate, hazard.FAILURE_DECAY, weights.failure)
        log_hazard += hazard.shocks_ahead(
            self.incidents[accounts], population.incident_rate[accounts], hazard.INCIDENT_DECAY, weights.incident
        )
        for level, playbook in zip(self.outreach, self._spec.world.playbooks, strict=True):
            rate = np.full(len(accounts), playbook.rate)
            log_hazard += hazard.shocks_ahead(level[accounts], rate, playbook.decay, playbook.weight)
        today = -np.expm1(-np.exp(log_hazard[:, 0] + hazard.walk_effect(x, weights)))
        return today, self._tables[index].risk(log_hazard, x, self.regime[accounts])
