"""Rules that learn no weight, on the same examples as the runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.models.additive import AdditiveVersion
from c360_stream.models.classifier import logit
from c360_stream.models.horizons import PRIOR_OUTCOMES
from c360_stream.models.prior import inactivity_curves
from c360_stream.tools.evaluate.matured import Examples

Floats = NDArray[np.float64]


def baselines(examples: Examples, horizon_days: int, prior_rate: float) -> Mapping[str, Floats]:
    """Risks of two rules that learn no weight, computed from the stored features: shape (n,) each.

    `base-rate` gives everybody the share that has churned among the labels known by then, `inactivity-rule` shifts that
    by a fixed curve of the days since the last activity.
    """
    rate = _known_rate(examples, horizon_days, prior_rate)
    quiet = np.empty(len(examples))
    for day in np.unique(examples.as_of_day).tolist():
        rows = np.flatnonzero(examples.as_of_day == day)
        rule = AdditiveVersion("inactivity-rule", day, logit(float(rate[rows[0]])), inactivity_curves(), {})
        quiet[rows] = rule.score(examples.features[rows], day * US_PER_DAY).risk
    return {"inactivity-rule": quiet, "base-rate": rate}


def _known_rate(examples: Examples, horizon_days: int, prior_rate: float) -> Floats:
    """Share churned among the examples that had matured at each as-of, by what is known of them in the end."""
    known = np.searchsorted(examples.as_of_day, examples.as_of_day - horizon_days, side="right")
    churned = np.append(0, np.cumsum(examples.churned))[known]
    return np.asarray((churned + PRIOR_OUTCOMES * prior_rate) / (known + PRIOR_OUTCOMES))
