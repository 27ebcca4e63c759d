"""Estimates with standard errors that take all examples of an account together.

One cancellation settles the labels of some nine weekly examples of its account, and an account that is ranked wrongly
is ranked wrongly for weeks: errors that take examples as independent are far too small. Here accounts are what is
independent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CLUSTERS_MIN = 2

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Clusters = NDArray[np.int64]


class Estimate(NamedTuple):
    """A figure and its standard error."""

    value: float
    error: float


def roc_auc_placements(churned: Flags, risk: Floats) -> Floats:
    """Of each row the share of the other class that it is ranked rightly against, ties by half: float64 of shape (n,).

    The mean over those that churned is the ROC-AUC, and so is the mean over the others.

    >>> roc_auc_placements(np.array([False, True, True, False]), np.array([0.1, 0.4, 0.35, 0.35])).tolist()
    [1.0, 1.0, 0.75, 0.75]
    """
    distinct, place = np.unique(risk, return_inverse=True)
    churners = np.bincount(place[churned], minlength=len(distinct))
    others = np.bincount(place[~churned], minlength=len(distinct))
    below = (np.cumsum(others) - others / 2) / others.sum()
    above = 1 - (np.cumsum(churners) - churners / 2) / churners.sum()
    return np.asarray(np.where(churned, below[place], above[place]), np.float64)


def roc_auc(churned: Flags, risk: Floats, account: Clusters, beside: Floats | None = None) -> Estimate | None:
    """ROC-AUC, or how much it is above that of the risks `beside`; None with fewer than two accounts of either class.

    Parameters
    ----------
    churned, risk, beside
        Of each example, shape (n,).
    account
        Number of each example's account, shape (n,).

    References
    ----------
    Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53, 1997; for two risks by the
    differences of its components.
    """
    if min(len(np.unique(account[rows])) for rows in (churned, ~churned)) < CLUSTERS_MIN:
        return None
    placement = roc_auc_placements(churned, risk)
    if beside is not None:
        placement = placement - roc_auc_placements(churned, beside)
    value = float(placement[churned].mean())
    sums, variance = [], 0.0
    for rows in (churned, ~churned):
        count, clusters = int(rows.sum()), len(np.unique(account[rows]))
        sums.append(np.bincount(account[rows], placement[rows] - value, minlength=int(account.max()) + 1) / count)
        variance += float(np.sum(sums[-1] ** 2)) * clusters / (clusters - 1)
    clusters = len(np.unique(account))
    variance += 2 * float(np.sum(sums[0] * sums[1])) * clusters / (clusters - 1)
    return Estimate(value, math.sqrt(max(variance, 0.0)))


def rate_gap(churned: Flags, risk: Floats, account: Clusters) -> Estimate | None:
    """Share that churned less mean risk; None with fewer than two accounts."""
    return mean(churned - risk, account)


def mean(values: Floats, account: Clusters) -> Estimate | None:
    """Mean over examples, shape (n,); None with fewer than two accounts.

    The error is that of a ratio of sums over accounts (linearised).
    """
    clusters = len(np.unique(account))
    if clusters < CLUSTERS_MIN:
        return None
    value = float(values.mean())
    residual = np.bincount(account, values - value)
    return Estimate(value, math.sqrt(float(np.sum(residual**2)) * clusters / (clusters - 1)) / len(values))


def sum_over(sums: Floats, count: int) -> Estimate | None:
    """Sum over accounts (of what each adds) by a count that is given; None with fewer than two accounts."""
    clusters = len(sums)
    if clusters < CLUSTERS_MIN:
        return None
    variance = float(np.sum((sums - sums.mean()) ** 2)) * clusters / (clusters - 1)
    return Estimate(float(sums.sum()) / count, math.sqrt(variance) / count)
