"""How good were the stored scores? Measures on matured outcomes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Fewer outcomes of either kind, and a week's ROC-AUC is noise: it is left out.
CLASS_SIZE_MIN = 10
# Keeps the loss of a certain and wrong risk finite.
_RISK_MARGIN = 1e-6

Outcomes = NDArray[np.bool_]
Values = NDArray[np.float64]


class Measure(NamedTuple):
    """One measured value."""

    segment: str
    metric: str
    value: float
    examples: int


def roc_auc(churned: Outcomes, risk: Values) -> float:
    """Area under the ROC curve by ranks, ties at their middle rank (Mann-Whitney); NaN with one class only.

    Ranks are halves of integers and their sum is exact: the order of the rows does not matter.

    >>> roc_auc(np.array([False, True, True, False]), np.array([0.1, 0.4, 0.35, 0.35]))
    0.875
    """
    positives = int(np.count_nonzero(churned))
    negatives = len(churned) - positives
    if not positives or not negatives:
        return float("nan")
    _, place, ties = np.unique(risk, return_inverse=True, return_counts=True)
    rank = np.cumsum(ties) - (ties - 1) / 2
    above = float(rank[place[churned]].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def log_loss(churned: Outcomes, risk: Values) -> float:
    """Mean negative log likelihood, risks kept off 0 and 1 by a millionth."""
    right = np.clip(np.where(churned, risk, 1.0 - risk), _RISK_MARGIN, 1.0)
    return float(-np.mean(np.log(right)))


def brier(churned: Outcomes, risk: Values) -> float:
    """Mean squared distance of the risk from the outcome."""
    return float(np.mean((risk - churned) ** 2))


def measure(segment: str, churned: Outcomes, risk: Values) -> list[Measure]:
    """Every measure of one segment.

    `calibration_ratio` (mean risk over observed rate) needs somebody to have churned. In place of a `roc_auc` on fewer
    than 10 churned or 10 others there is a `roc_auc_skipped` of 1.
    """
    examples = len(churned)
    if not examples:
        return []
    rate = float(np.mean(churned))
    values = {
        "base_rate": rate,
        "log_loss": log_loss(churned, risk),
        "brier": brier(churned, risk),
    }
    if rate > 0:
        values["calibration_ratio"] = float(np.mean(risk)) / rate
    churners = int(np.count_nonzero(churned))
    if min(churners, examples - churners) < CLASS_SIZE_MIN:
        values["roc_auc_skipped"] = 1.0
    else:
        values["roc_auc"] = roc_auc(churned, risk)
    return [Measure(segment, metric, value, examples) for metric, value in values.items()]


def measure_by_band(churned: Outcomes, risk: Values, mrr_cents: Values) -> list[Measure]:
    """Every measure of all examples, then of those with a low, middle and high MRR: thirds of the known ones."""
    measures = measure("all", churned, risk)
    known = mrr_cents[~np.isnan(mrr_cents)]
    if not len(known):
        return measures
    low, high = np.quantile(known, (1 / 3, 2 / 3), method="lower")
    bands = {
        "mrr_low": mrr_cents <= low,
        "mrr_mid": (mrr_cents > low) & (mrr_cents <= high),
        "mrr_high": mrr_cents > high,
    }
    for segment, rows in bands.items():
        measures += measure(segment, churned[rows], risk[rows])
    return measures
