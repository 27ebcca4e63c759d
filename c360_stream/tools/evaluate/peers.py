"""What the runs are compared with, on the same examples and features: a batch model, and rules that learn no weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.models.classifier import logit
from c360_stream.models.horizons import PRIOR_OUTCOMES
from c360_stream.models.prior import inactivity_curves
from c360_stream.models.version import ModelVersion
from c360_stream.tools.evaluate.matured import Examples

REFIT_DAYS = 28
ROUNDS = 100
LIGHTGBM: dict[str, Any] = {
    "objective": "binary",
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
"""Its parameters; all others are LightGBM's defaults, and so are the 100 rounds."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class WarmUp(NamedTuple):
    """Outcomes, and churned among them, before a model scores: the same for the peer as for the flow."""

    outcomes: int
    churned: int


def refitted_lightgbm(
    examples: Examples, first_day: int, horizon_days: int, warm_up: WarmUp
) -> tuple[Floats, list[int]]:
    """Risks of LightGBM refitted every 28 days, float64 of shape (n,), NaN before its first fit; and the days of fits.

    Every 28 days from the first tick it is fitted to all examples whose label is known by then, and scores the examples
    taken from that tick on until the next fit.
    """
    import lightgbm

    risk = np.full(len(examples), np.nan)
    fits: list[int] = []
    last = int(examples.as_of_day[-1]) if len(examples) else first_day
    for day in range(first_day, last + 1, REFIT_DAYS):
        known = examples.as_of_day + horizon_days <= day
        label = examples.known_churned(day)[known]
        churned = int(label.sum())
        if len(label) < warm_up.outcomes or churned < warm_up.churned or churned == len(label):
            continue
        fits.append(day)
        taken = (examples.as_of_day >= day) & (examples.as_of_day < day + REFIT_DAYS)
        if not taken.any():
            continue
        rows = lightgbm.Dataset(examples.features[known], label.astype(np.float64))
        model = lightgbm.train(LIGHTGBM, rows, ROUNDS)
        risk[taken] = model.predict(examples.features[taken], num_threads=1)
    return risk, fits


def baselines(examples: Examples, horizon_days: int, prior_rate: float) -> Mapping[str, Floats]:
    """Risks of two rules that learn no weight, computed from the stored features: shape (n,) each.

    `base-rate` gives everybody the share that has churned among the labels known by then, `inactivity-rule` shifts that
    by a fixed curve of the days since the last activity.
    """
    rate = _known_rate(examples, horizon_days, prior_rate)
    quiet = np.empty(len(examples))
    for day in np.unique(examples.as_of_day).tolist():
        rows = np.flatnonzero(examples.as_of_day == day)
        rule = ModelVersion("inactivity-rule", day, logit(float(rate[rows[0]])), inactivity_curves(), {})
        quiet[rows] = rule.score(examples.features[rows], day * US_PER_DAY).risk
    return {"inactivity-rule": quiet, "base-rate": rate}


def _known_rate(examples: Examples, horizon_days: int, prior_rate: float) -> Floats:
    """Share churned among the examples that had matured at each as-of, by what is known of them in the end."""
    known = np.searchsorted(examples.as_of_day, examples.as_of_day - horizon_days, side="right")
    churned = np.append(0, np.cumsum(examples.churned))[known]
    return np.asarray((churned + PRIOR_OUTCOMES * prior_rate) / (known + PRIOR_OUTCOMES))
