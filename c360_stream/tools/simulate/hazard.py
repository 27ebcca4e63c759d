r"""The hazard of cancelling, and its projection over 60 days.

An account's state at midnight of day t is its engagement x (a mean-reverting walk), its regime (keen or fading), the
recent payment failures f and the recent serious tickets k (each decays by a constant factor a day), and what is fixed:
traits, age, contract. The probability of cancelling on that day is

.. math:: hazard_{1d} = 1 - \exp(-\exp(a_t + w_f f_t + w_k k_t - \beta x_t))

with a_t what `baseline` gives, w and beta the `Weights`. A scenario may bend the line -beta x into a U, give large
accounts other weights, and add outreach, whose level decays like the shocks' and whose weight is negative. Each day
the state moves whatever happened (doubly stochastic: the walk does not know whether the account cancels), so with H the
sum of the 60 daily rates, risk_60d = 1 - E[exp(-H) | state].

`RiskTable` computes that expectation without sampling. For a constant baseline A it is a backward recursion over
(regime, x), exact but for the grid (Gauss-Hermite nodes for the walk's step). A moving baseline is replaced by the
constant one with the same E[H | state], which is computed exactly: weights E[exp(-beta x_s) | x, regime] from the same
recursion, times exp(a_s), times the expected effect of the shocks to come, whose arrivals are Poisson
(E exp(w k_s) = exp(w k r^s + rate * sum_u (exp(w r^u) - 1)), Campbell's theorem). Failed invoices are
spread evenly over the month for this. Against brute-force sampling the table is within about 3% of the risk. What the
schedule of a scenario holds for those 60 days is part of the state: before a price increase, the truth knows of it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from c360_stream.tools.simulate.population import Floats, Ints, Population
from c360_stream.tools.simulate.weights import Weights

HORIZON_DAYS = 60

# The walk: regime 0 is keen, 1 fading. A day, x goes the pull's share of the way to the regime's target, plus noise.
KEEN_PULL = 0.02
TARGETS = (0.0, -2.4)
STEP_NOISE = 0.13
ONSET = 0.0009
ONSET_SLOPE = 2.4
ONSET_MAX = 0.04
RECOVERY = 0.006

FAILURE_DECAY, INCIDENT_DECAY = 0.955, 0.95
BILLING_DAYS = 30
# A failed invoice is tried again and fails again with probability 0.4: mean length of a run of failures.
FAILURES_A_RUN = 1.6

# Accounts that have adopted the features stay. Once prices have risen that counts for little, and unused paid seats
# count for much: small companies with idle seats leave, the others a little less than before.
PRICE_ADOPTION_WEIGHT = -1.0
PRICE_JUMP = 9.0
PRICE_RELIEF = -1.5


def drifted(x: Floats, regime: Ints, fade_pull: float) -> Floats:
    """Where engagement is expected one day on, in a regime."""
    pull = np.where(regime == 1, fade_pull, KEEN_PULL)
    return x + pull * (np.where(regime == 1, TARGETS[1], TARGETS[0]) - x)


def switches(x: Floats, regime: Ints) -> Floats:
    """Probability of changing the regime today: accounts of little engagement begin to fade sooner."""
    onset = np.minimum(ONSET * np.exp(-ONSET_SLOPE * x), ONSET_MAX)
    return np.where(regime == 1, RECOVERY, onset)


def adoption(ceiling: Floats, pace_days: Floats, age: Ints) -> Floats:
    """Share of the feature categories adopted at that age (days), 0..1."""
    return np.asarray(ceiling * (1.0 - np.exp(-(age + 12.0) / pace_days)))


def traits(population: Population, weights: Weights) -> Floats:
    """The part of every account's log hazard that never changes."""
    plan = np.array(weights.plans)[population.plan] if weights.plans else weights.plan * (population.plan - 0.8)
    fixed = weights.fill * (population.fill - 0.72) + weights.fit * population.fit + plan
    if weights.ceiling:
        fixed = fixed + weights.ceiling * (population.ceiling - 0.4)
    if weights.misfill:
        fixed = fixed + weights.misfill * (np.abs(population.fill - 0.72) - 0.16)
    if weights.size:
        fixed = fixed + weights.size * np.log2(population.seats / 10)
    if weights.calls:
        fixed = fixed + weights.calls * (np.abs(population.asking) - 0.8)
    return np.asarray(fixed)


def at_ages(ages: Ints, weights: Weights) -> Floats:
    """The part of the log hazard that a scenario adds at some ages (days), in their shape."""
    added = np.where(ages < weights.early_days, weights.early, 0.0) + np.where(ages >= weights.old_days, weights.old, 0)
    for middle in weights.bump_days:
        added += weights.bump * np.exp(-0.5 * ((ages - middle) / weights.bump_width_days) ** 2)
    return np.asarray(added)


def walk_effect(x: Floats, weights: Weights) -> Floats:
    """The part of the log hazard that engagement makes."""
    effect = -weights.engagement * x
    return effect + weights.intense * np.maximum(x - weights.intense_from, 0.0) if weights.intense else effect


def baseline(
    population: Population, accounts: Ints, age: Ints, weights: Weights, *, day: int, price_day: int | None
) -> Floats:
    """The part of the log hazard that does not depend on the walk or on shocks, today and on the days to come.

    Parameters
    ----------
    population
        Traits of all accounts.
    accounts
        Which of them, shape (n,).
    age
        Days since their subscription started, shape (n,).
    weights
        Of all of these accounts.
    day
        Today, counted from the simulation's first day.
    price_day
        Day of the price increase, or None.

    Returns
    -------
    Log hazard on today and the 59 days after, shape (n, 60).
    """
    ahead = np.arange(HORIZON_DAYS)
    ages = age[:, None] + ahead
    taken_up = adoption(population.ceiling[accounts, None], population.pace_days[accounts, None], ages)
    risen = np.zeros(HORIZON_DAYS, np.bool_) if price_day is None else day + ahead >= price_day
    log_hazard = np.where(risen, PRICE_ADOPTION_WEIGHT, weights.adoption) * (taken_up - 0.4)
    log_hazard += weights.young * np.exp(-ages / 45.0)
    term = population.term_days[accounts, None]
    to_renewal = term - ages % np.maximum(term, 1)
    log_hazard += np.where(term > 0, weights.renewal * np.exp(-to_renewal / 14.0) + weights.in_term, 0.0)
    log_hazard += weights.base + traits(population, weights)[accounts, None]
    log_hazard += at_ages(ages, weights)
    hurt = PRICE_JUMP * population.price_sensitivity[accounts] + PRICE_RELIEF
    log_hazard += np.where(risen, hurt[:, None], 0.0)
    return np.asarray(log_hazard)


def shocks_ahead(level: Floats, rate: Floats, decay: float, weight: float) -> Floats:
    """Log of the expected factor on the hazard of decaying Poisson shocks, shape (n, 60).

    Parameters
    ----------
    level
        Sum of the decayed past shocks, shape (n,).
    rate
        Shocks per day to come, shape (n,).
    decay
        Factor a day.
    weight
        Of one fresh shock in the log hazard.
    """
    left = decay ** np.arange(HORIZON_DAYS)
    to_come = np.concatenate(([0.0], np.cumsum(np.exp(weight * left[1:]) - 1.0)))
    return np.asarray(weight * level[:, None] * left + rate[:, None] * to_come)


class RiskTable:
    """Expectations of the walk's future, tabulated over (regime, engagement) and a constant baseline.

    Parameters
    ----------
    fade_pull
        The scenario's share of the way that a fading account falls a day.
    weights
        What engagement does to the hazard; the others do not matter.
    """

    def __init__(self, fade_pull: float, weights: Weights) -> None:
        self._low, self._step = -5.0, 0.05
        self._x = np.asarray(self._low + self._step * np.arange(151), np.float64)
        # Where the level is low, more below.
        below = max(0, -9 - math.floor(weights.base))
        self._base_low, self._base_step = -14.0 - below, 0.2
        bases = self._base_low + self._base_step * np.arange(76 + 5 * below)
        rate = np.exp(walk_effect(self._x, weights))
        nodes, shares = np.polynomial.hermite_e.hermegauss(7)
        self._nodes = [(float(z), float(w / shares.sum())) for z, w in zip(nodes, shares, strict=True)]
        self._fade_pull = fade_pull

        ahead = [np.stack([rate, rate])[:, :, None]]
        survival = np.ones((2, len(self._x), len(bases)))
        daily = np.exp(-rate[:, None] * np.exp(bases))
        for _ in range(HORIZON_DAYS - 1):
            ahead.append(self._tomorrow(ahead[-1]))
            survival = daily * self._tomorrow(survival)
        survival = daily * self._tomorrow(survival)
        # Shape (2, x, 60): expected rate, at baseline 0, s days on. Shape (2, x, bases): risk at a constant baseline.
        self._ahead = np.concatenate(ahead, axis=2)
        self._risk = 1.0 - survival

    def _tomorrow(self, values: Floats) -> Floats:
        """Expectation one day ahead of values tabulated over (regime, x, anything)."""
        expected = np.zeros_like(values)
        for regime in (0, 1):
            centre = drifted(self._x, np.full(len(self._x), regime), self._fade_pull)
            leaves = switches(self._x, np.full(len(self._x), regime))[:, None]
            for node, weight in self._nodes:
                at, share = self._locate(centre + STEP_NOISE * node)
                next_day = values[:, at] * (1 - share[:, None]) + values[:, at + 1] * share[:, None]
                expected[regime] += weight * ((1 - leaves) * next_day[regime] + leaves * next_day[1 - regime])
        return expected

    def _locate(self, x: Floats) -> tuple[Ints, Floats]:
        position = np.clip((x - self._low) / self._step, 0, len(self._x) - 1.000001)
        at = position.astype(np.int64)
        return at, position - at

    def risk(self, log_hazard: Floats, x: Floats, regime: Ints) -> Floats:
        """Probability of cancelling within the 60 days.

        Parameters
        ----------
        log_hazard
            Everything but the walk, on each of the 60 days, shape (n, 60).
        x, regime
            State of the walk, shape (n,).
        """
        at, share = self._locate(x)
        weights = self._ahead[regime, at] * (1 - share[:, None]) + self._ahead[regime, at + 1] * share[:, None]
        base = np.log((weights * np.exp(log_hazard)).sum(axis=1) / weights.sum(axis=1))
        position = np.clip((base - self._base_low) / self._base_step, 0, self._risk.shape[2] - 1.000001)
        column = position.astype(np.int64)
        part = position - column
        below = self._risk[regime, at, column] * (1 - share) + self._risk[regime, at + 1, column] * share
        above = self._risk[regime, at, column + 1] * (1 - share) + self._risk[regime, at + 1, column + 1] * share
        return np.asarray(below * (1 - part) + above * part)


@lru_cache(maxsize=8)
def risk_table(fade_pull: float, weights: Weights) -> RiskTable:
    """The table of a scenario, computed once."""
    return RiskTable(fade_pull, weights)
