"""Why an account leaves: the part of its hazard that stands out most."""

from __future__ import annotations

import numpy as np

from c360_stream.tools.simulate import hazard
from c360_stream.tools.simulate.lifecycle import Lifecycle
from c360_stream.tools.simulate.population import Population

OTHERWISE = 0.6
"""A cause has to add this much to the log hazard: otherwise somebody else's offer was better."""


def main_cause(lifecycle: Lifecycle, population: Population, account: int) -> str:
    """The cause with the greatest part in an account's log hazard today, as a reason for leaving.

    Parameters
    ----------
    lifecycle
        State of all accounts.
    population
        Their traits.
    account
        Index of the account.
    """
    weights = lifecycle.weights[lifecycle.weighed_by[account]]
    rows = np.array([account])
    taken_up = hazard.adoption(population.ceiling[rows], population.pace_days[rows], lifecycle.age[rows])
    few_features = weights.adoption * (taken_up - 0.4) + weights.ceiling * (population.ceiling[rows] - 0.4)
    parts = {
        "not_using_it": float(hazard.walk_effect(lifecycle.engagement[rows], weights)[0]),
        "missing_features": float(few_features[0]),
        "budget": float(weights.failure * lifecycle.failures[account]),
        "support_experience": float(weights.incident * lifecycle.incidents[account]),
        "switched_vendor": OTHERWISE,
    }
    return max(parts, key=lambda name: parts[name])
