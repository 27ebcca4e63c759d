"""How good were the stored scores? Measures on matured outcomes, the same to the bit in any order of the rows.

Sums of floats depend on their order in the last bit: they are taken over sorted values. Counts are exact anyway.
Throughout, `churned` is bool and `risk` float64, both of shape (n,); MRR is in cents, NaN where it is unknown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Fewer outcomes of either kind, and how a week's risks rank is noise: `measure` leaves those measures out.
CLASS_SIZE_MIN = 10
# Keeps the loss of a certain and wrong risk finite.
RISK_MARGIN = 1e-6
# Of the normal distribution: 95% lie this many standard deviations around the mean.
Z_95 = 1.959963984540054
_BINS = 10
_RECALL = 0.8
# Plans beyond the most frequent ones have no segment of their own.
_PLANS_MAX = 8

Outcomes = NDArray[np.bool_]
Values = NDArray[np.float64]
Sizes = NDArray[np.int64]


class Measure(NamedTuple):
    """One measured value."""

    segment: str
    metric: str
    value: float
    examples: int


class ReliabilityRow(NamedTuple):
    """One bin of `reliability`: its risks from lowest to highest, both of them in it, and what happened."""

    risk_low: float
    risk_high: float
    mean_risk: float
    observed_rate: float
    examples: int


class _Groups(NamedTuple):
    """Rows by distinct risk, lowest first: how many of each there are, and how many of those churned."""

    risk: Values
    churned: Sizes
    rows: Sizes


def _groups(churned: Outcomes, risk: Values) -> _Groups:
    distinct, place, rows = np.unique(risk, return_inverse=True, return_counts=True)
    return _Groups(distinct, np.bincount(place[churned], minlength=len(distinct)), rows)


def _from_the_top(groups: _Groups) -> tuple[Sizes, Sizes]:
    """Churned rows, and rows, at or above each distinct risk, the highest first."""
    return np.cumsum(groups.churned[::-1]), np.cumsum(groups.rows[::-1])


def _mean(values: Values) -> float:
    return float(np.mean(np.sort(values)))


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


def roc_auc_interval(churned: Outcomes, risk: Values) -> tuple[float, float]:
    """95% confidence interval of `roc_auc`; NaN with fewer than two of either class.

    DeLong's variance, on the logit scale: that keeps the interval inside 0 and 1 and, on small classes, its coverage at
    95% where the plain one covers 88-94%. Where the ranks separate the classes wholly that variance is 0, and the
    largest that any two classes can have, AUC (1 - AUC) / the smaller class, takes its place: a Wilson interval.

    >>> churned, risk = np.arange(40) >= 20, (np.arange(40) * 17 % 40 + np.arange(40)) / 80
    >>> round(roc_auc(churned, risk), 3)
    0.858
    >>> [round(bound, 3) for bound in roc_auc_interval(churned, risk)]
    [0.708, 0.937]

    References
    ----------
    DeLong, DeLong, Clarke-Pearson, "Comparing the Areas under Two or More Correlated Receiver Operating Characteristic
    Curves", Biometrics 44, 1988; by counts as in Sun and Xu, IEEE Signal Processing Letters 21, 2014. Logit: Pepe, "The
    Statistical Evaluation of Medical Tests", 2003. Largest variance: Birnbaum and Klose, Ann. Math. Statist. 28, 1957.
    """
    groups = _groups(churned, risk)
    others = groups.rows - groups.churned
    positives, negatives = int(groups.churned.sum()), int(others.sum())
    smaller = min(positives, negatives)
    if smaller < 2:
        return float("nan"), float("nan")
    auc = roc_auc(churned, risk)
    if auc in {0.0, 1.0}:
        return wilson_interval(auc * smaller, smaller)
    # Of one row of each distinct risk: the share of the other class that it is ranked rightly against.
    of_churned = (np.cumsum(others) - others / 2) / negatives
    of_others = 1 - (np.cumsum(groups.churned) - groups.churned / 2) / positives
    variance = float(np.sum(groups.churned * (of_churned - auc) ** 2)) / (positives - 1) / positives
    variance += float(np.sum(others * (of_others - auc) ** 2)) / (negatives - 1) / negatives
    odds = auc / (1 - auc)
    factor = math.exp(Z_95 * math.sqrt(variance) / (auc * (1 - auc)))
    return odds / (odds + factor), odds / (odds + 1 / factor)


def pr_auc(churned: Outcomes, risk: Values) -> float:
    """Average precision: precision at each distinct risk, weighted by the recall gained there; NaN if nobody churned.

    Unlike `roc_auc` it does not credit a rare outcome with the many easy others; a useless model has the base rate.

    >>> round(pr_auc(np.array([False, True, True, False]), np.array([0.1, 0.4, 0.35, 0.35])), 4)
    0.8333
    """
    groups = _groups(churned, risk)
    found, called = _from_the_top(groups)
    if not len(found) or not found[-1]:
        return float("nan")
    return float(np.sum(groups.churned[::-1] * (found / called))) / int(found[-1])


def precision_at_recall(churned: Outcomes, risk: Values, recall: float) -> float:
    """Precision at the highest threshold that finds `recall` (0 to 1) of the churned or more; NaN if nobody churned.

    >>> precision_at_recall(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1]), 0.8)
    0.6666666666666666
    """
    found, called = _from_the_top(_groups(churned, risk))
    if not len(found) or not found[-1]:
        return float("nan")
    at = int(np.argmax(found / found[-1] >= recall))
    return float(found[at] / called[at])


def _top_decile(churned: Outcomes, risk: Values) -> tuple[float, int]:
    """Churned, and rows, among the riskiest 10%."""
    rows = max(1, len(churned) // 10)
    groups = _groups(churned, risk)
    found, called = _from_the_top(groups)
    cut = int(np.searchsorted(called, rows))
    tied, tied_churned = int(groups.rows[-1 - cut]), int(groups.churned[-1 - cut])
    above, above_churned = int(called[cut]) - tied, int(found[cut]) - tied_churned
    return above_churned + (rows - above) * tied_churned / tied, rows


def lift_top_decile(churned: Outcomes, risk: Values) -> float:
    """Churn rate among the riskiest 10% (rounded down, at least one row) over the base rate; NaN if nobody churned.

    Of rows tied at the cut a part is taken, and the same part of those that churned.

    >>> lift_top_decile(np.arange(20) < 4, np.array([0.9, 0.5, 0.5, 0.1, 0.5, 0.5, *[0.1] * 14]))
    3.75
    """
    if not np.any(churned):
        return float("nan")
    found, rows = _top_decile(churned, risk)
    return found / rows / (int(np.count_nonzero(churned)) / len(churned))


def lift_top_decile_interval(churned: Outcomes, risk: Values) -> tuple[float, float]:
    """95% confidence interval of `lift_top_decile`; NaN if nobody churned, or of fewer than two rows.

    The lift follows from how the churn rate of the remaining rows compares with the decile's. The two are independent,
    so the Wilson intervals of both give that of the ratio (MOVER). Wilson's of the decile alone, over the base rate, is
    too narrow for a good model: where nearly all of the decile churn, the lift varies with the base rate only.

    >>> churned, risk = np.arange(200) % 20 < 3, np.where(np.arange(200) % 20 < 2, 0.5, 0.1)
    >>> round(lift_top_decile(churned, risk), 2), [round(bound, 2) for bound in lift_top_decile_interval(churned, risk)]
    (6.67, [5.21, 7.85])

    References
    ----------
    Donner and Zou, "Closed-form confidence intervals for functions of the normal mean and standard deviation",
    Statistical Methods in Medical Research 21, 2012.
    """
    churners = int(np.count_nonzero(churned))
    if not churners or len(churned) < 2:
        return float("nan"), float("nan")
    found, rows = _top_decile(churned, risk)
    others = len(churned) - rows
    rest, top = (churners - found) / others, found / rows
    rest_low, rest_high = wilson_interval(churners - found, others)
    top_low, top_high = wilson_interval(found, rows)
    both = rest * top
    # The limits of rest / top, in forms that divide by no difference that may be 0.
    least, most = rest_low * (2 * rest - rest_low), rest_high * (2 * rest - rest_high)
    high, low = top_high * (2 * top - top_high), top_low * (2 * top - top_low)
    ratio_low = least / (both + math.sqrt(max(0.0, both * both - least * high))) if least > 0 else 0.0
    ratio_high = (both + math.sqrt(max(0.0, both * both - most * low))) / low if low > 0 else math.inf
    share = rows / len(churned)
    return 1 / (share + (1 - share) * ratio_high), 1 / (share + (1 - share) * ratio_low)


def wilson_interval(count: float, examples: int) -> tuple[float, float]:
    """95% confidence interval of a rate, `count` in `examples`; NaN if there are none.

    Unlike the normal interval it neither leaves 0 and 1 nor vanishes at them.

    >>> [round(bound, 4) for bound in wilson_interval(5, 100)]
    [0.0215, 0.1118]

    References
    ----------
    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.
    """
    if not examples:
        return float("nan"), float("nan")
    rate = count / examples
    square = Z_95 * Z_95 / examples
    centre = (rate + square / 2) / (1 + square)
    half = math.sqrt(square * (rate * (1 - rate) + square / 4)) / (1 + square)
    # Rounding must not put a bound on the wrong side of the rate, nor past 0 or 1.
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def log_loss(churned: Outcomes, risk: Values) -> float:
    """Mean negative log likelihood, risks kept off 0 and 1 by a millionth."""
    # Sorted first: a logarithm's last bit may depend on its place in the array.
    right = np.sort(np.clip(np.where(churned, risk, 1.0 - risk), RISK_MARGIN, 1.0))
    return float(-np.mean(np.log(right)))


def brier(churned: Outcomes, risk: Values) -> float:
    """Mean squared distance of the risk from the outcome."""
    return _mean((risk - churned) ** 2)


def reliability(churned: Outcomes, risk: Values, bins: int = _BINS) -> list[ReliabilityRow]:
    """What happened by predicted risk, in at most `bins` bins of as equal a count as ties allow, lowest risks first.

    Rows of one risk are never parted: all go to the bin that the middle of them falls into. A bin that this leaves
    empty is left out.

    >>> for row in reliability(np.array([False, False, True, True]), np.array([0.1, 0.3, 0.3, 0.8]), bins=3):
    ...     print(row.risk_low, row.risk_high, row.observed_rate, row.examples)
    0.1 0.1 0.0 1
    0.3 0.3 0.5 2
    0.8 0.8 1.0 1
    """
    groups = _groups(churned, risk)
    if not len(groups.rows):
        return []
    upto = np.cumsum(groups.rows)
    # Twice the middle place, so that it is an integer.
    bin_of = (2 * upto - groups.rows) * bins // (2 * len(churned))
    first = np.flatnonzero(np.diff(bin_of, prepend=-1))
    low, high = groups.risk[first], groups.risk[np.append(first[1:], len(bin_of)) - 1]
    examples = np.add.reduceat(groups.rows, first)
    # Rounding must not put the mean of equal risks beside them.
    mean_risk = np.clip(np.add.reduceat(groups.rows * groups.risk, first) / examples, low, high)
    rate = np.add.reduceat(groups.churned, first) / examples
    columns = (low, high, mean_risk, rate, examples)
    return [ReliabilityRow(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def ece(churned: Outcomes, risk: Values, bins: int = _BINS) -> float:
    """Expected calibration error: mean distance of observed rate from mean risk over `reliability`; NaN of no rows.

    It is never negative, so chance alone makes it positive: that of a perfectly calibrated model is expected to be up
    to about sqrt(0.64 * base rate * (1 - base rate) * bins / rows).

    >>> ece(np.array([True, False, False, False]), np.full(4, 0.5))
    0.25

    References
    ----------
    Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015; bins of
    equal count as in Nguyen and O'Connor, EMNLP 2015.
    """
    if not len(churned):
        return float("nan")
    rows = reliability(churned, risk, bins)
    return sum(row.examples * abs(row.observed_rate - row.mean_risk) for row in rows) / len(churned)


def _rank_measures(churned: Outcomes, risk: Values) -> dict[str, float]:
    """What is noise on few outcomes of either kind."""
    auc_low, auc_high = roc_auc_interval(churned, risk)
    lift_low, lift_high = lift_top_decile_interval(churned, risk)
    return {
        "roc_auc": roc_auc(churned, risk),
        "roc_auc_low": auc_low,
        "roc_auc_high": auc_high,
        "pr_auc": pr_auc(churned, risk),
        "precision_at_recall_80": precision_at_recall(churned, risk, _RECALL),
        "lift_top_decile": lift_top_decile(churned, risk),
        "lift_top_decile_low": lift_low,
        "lift_top_decile_high": lift_high,
        "ece": ece(churned, risk),
    }


def measure(segment: str, churned: Outcomes, risk: Values) -> list[Measure]:
    """Every measure of one segment, and 95% confidence intervals (`_low`, `_high`) of some.

    `calibration_ratio` (mean risk over observed rate) and its interval need somebody to have churned. In place of
    `roc_auc`, `pr_auc`, `precision_at_recall_80`, `lift_top_decile`, `ece` and their intervals on fewer than 10 churned
    or 10 others there is a `roc_auc_skipped` of 1.

    The intervals take rows as independent, and they are if all are of one week of as-ofs: an account has one example a
    week. They are not across weeks: one cancellation settles the labels of about nine weekly examples of its account.
    So weeks next to each other err alike, and pooled or averaged they are worth hardly more than one of them.

    The base rate has Wilson's interval. So has the observed rate that `calibration_ratio` divides the mean risk by;
    that one is wider than need be (it covers 98% or more), as it puts down to chance what the risks explain.
    """
    examples = len(churned)
    if not examples:
        return []
    churners = int(np.count_nonzero(churned))
    rate = churners / examples
    rate_low, rate_high = wilson_interval(churners, examples)
    values = {
        "base_rate": rate,
        "base_rate_low": rate_low,
        "base_rate_high": rate_high,
        "log_loss": log_loss(churned, risk),
        "brier": brier(churned, risk),
    }
    if churners:
        mean_risk = _mean(risk)
        values["calibration_ratio"] = mean_risk / rate
        values["calibration_ratio_low"] = mean_risk / rate_high
        values["calibration_ratio_high"] = mean_risk / rate_low
    if min(churners, examples - churners) < CLASS_SIZE_MIN:
        values["roc_auc_skipped"] = 1.0
    else:
        values |= _rank_measures(churned, risk)
    return [Measure(segment, metric, value, examples) for metric, value in values.items()]


MRR_BANDS = {"mrr_low": "of low MRR", "mrr_mid": "of middle MRR", "mrr_high": "of high MRR"}
"""Segment -> in words: thirds of the accounts with a known MRR."""


def measure_by_segment(churned: Outcomes, risk: Values, mrr_cents: Values, plan: Sequence[str]) -> list[Measure]:
    """Every measure of all examples, then of segments.

    Those with a low, middle and high MRR (`mrr_low`, ...: thirds of the known ones), and those of each of the eight
    most frequent plans (`plan:<name>`; ties by name).
    """
    measures = measure("all", churned, risk)
    known = mrr_cents[~np.isnan(mrr_cents)]
    bands: dict[str, Outcomes] = {}
    if len(known):
        low, high = np.quantile(known, (1 / 3, 2 / 3), method="lower")
        bands = {
            "mrr_low": mrr_cents <= low,
            "mrr_mid": (mrr_cents > low) & (mrr_cents <= high),
            "mrr_high": mrr_cents > high,
        }
    counts = Counter(name for name in plan if name)
    names = np.array(plan, object)
    for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_PLANS_MAX]:
        bands[f"plan:{name}"] = np.asarray(names == name, np.bool_)
    for segment, rows in bands.items():
        measures += measure(segment, churned[rows], risk[rows])
    return measures


def reliability_measures(churned: Outcomes, risk: Values) -> list[Measure]:
    """The table of `reliability` as measures of the segments `bin:01`, ...: the lowest risks first."""
    return [
        Measure(f"bin:{number:02d}", metric, value, row.examples)
        for number, row in enumerate(reliability(churned, risk), 1)
        for metric, value in (("mean_risk", row.mean_risk), ("observed_rate", row.observed_rate))
    ]
