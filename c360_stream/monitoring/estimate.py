"""How good are the scores of a tick likely to be? An estimate from the risks alone, before any label is known."""

from __future__ import annotations

import numpy as np

from c360_stream.monitoring.quality import RISK_MARGIN, Measure, Values


def estimated_roc_auc(risk: Values) -> float:
    """Expected pairs ranked rightly over expected pairs, if each label were drawn with its risk; NaN without pairs.

    A pair is somebody who churns and somebody else who does not; equal risks count half. The expectation of the ratio
    itself has no closed form; it differed by 0.002 in a simulation with 5 expected churners, by 0.0003 with 50.

    >>> estimated_roc_auc(np.array([0.0, 0.0, 1.0]))
    1.0
    >>> estimated_roc_auc(np.full(5, 0.2))
    0.5
    >>> round(estimated_roc_auc(np.array([0.1, 0.4])), 4)
    0.8571
    """
    distinct, rows = np.unique(risk, return_counts=True)
    churn, stay = rows * distinct, rows * (1.0 - distinct)
    none = np.zeros(1)
    below = np.concatenate([none, np.cumsum(stay)])[:-1]
    above = np.concatenate([none, np.cumsum(stay[::-1])])[-2::-1]
    # An account is no pair with itself.
    tied = float(np.sum(rows * (rows - 1) * (distinct * (1.0 - distinct)))) / 2
    right = float(np.sum(churn * below)) + tied
    wrong = float(np.sum(churn * above)) + tied
    return right / (right + wrong) if right + wrong > 0 else float("nan")


def estimate(segment: str, risk: Values) -> list[Measure]:
    """Expected base rate, log loss, Brier score and ROC-AUC of one segment's risks (n,), the same in any row order.

    What `quality.measure` will give once the labels are known, two months later, had each label been drawn with its
    risk. What it sees is whether the accounts have become harder or easier to distinguish. It is no second opinion on
    the model. It assumes

    - calibrated risks: a model that is too sure of itself is estimated better than it is, and a wrong ranking is not
      seen at all;
    - no concept drift: that what risks mean has not changed since they were calibrated. If it has, the estimate is
      confidently wrong, so it must be suppressed while a concept-drift alarm is on.

    That accounts churn independently is not assumed: but for the ROC-AUC these are sums, and only how far a realised
    value scatters around them depends on it. No rows, no measures; and no `estimated_roc_auc` where only one class can
    come about.

    >>> [(each.metric, round(each.value, 3)) for each in estimate("all", np.array([0.5, 0.5]))]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('estimated_base_rate', 0.5), ('estimated_log_loss', 0.693), ('estimated_brier', 0.25),
     ('estimated_roc_auc', 0.5)]

    References
    ----------
    Confidence-based performance estimation (CBPE): NannyML, "How it works: performance estimation"; Bialek, Kivimaki,
    Kuberski, Perrakis, "Estimating Model Performance Under Covariate Shift Without Labels", arXiv 2401.08348.
    """
    examples = len(risk)
    if not examples:
        return []
    # Sorted, so that neither a sum nor a logarithm depends on where a row lies.
    churn = np.sort(risk)
    stay = 1.0 - churn
    loss = -(churn * np.log(np.maximum(churn, RISK_MARGIN)) + stay * np.log(np.maximum(stay, RISK_MARGIN)))
    values = {
        "estimated_base_rate": float(np.mean(churn)),
        "estimated_log_loss": float(np.mean(loss)),
        "estimated_brier": float(np.mean(churn * stay)),
    }
    auc = estimated_roc_auc(churn)
    if not np.isnan(auc):
        values["estimated_roc_auc"] = auc
    return [Measure(segment, metric, value, examples) for metric, value in values.items()]
