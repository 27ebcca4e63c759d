"""Reasons in words: the strongest contributions to a score, as sentences for a customer-success manager.

A contribution compares the account with the average one, so a good-looking value can raise the risk and a bad-looking
one lower it. The sentence states what was measured; unless it plainly sounds the way it acts, it ends with
what it does to the risk.
"""

from __future__ import annotations

from math import isnan

import numpy as np

from c360_stream.features.definitions import FEATURES
from c360_stream.learning.columns import Floats
from c360_stream.learning.facts import fact
from c360_stream.records import ReasonOut

# In log-odds. Less moves a risk by at most a quarter of a percentage point: not worth a sentence.
CONTRIBUTION_MIN = 0.01


def reasons(features: Floats, contributions: Floats, strongest: int = 3) -> list[list[ReasonOut]]:
    """The strongest contributions of each row, the strongest first.

    Parameters
    ----------
    features
        Shape (n, 21), as measured, NaN for null.
    contributions
        Shape (n, 21), from `ModelVersion.score`.
    strongest
        How many at most. Contributions under 0.01 are left out.
    """
    order = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :strongest]
    values = np.take_along_axis(features, order, axis=1).tolist()
    strengths = np.take_along_axis(contributions, order, axis=1).tolist()
    return [
        [
            ReasonOut(FEATURES[column], None if isnan(value) else value, strength, sentence(column, value, strength))
            for column, value, strength in zip(*row, strict=True)
            if abs(strength) >= CONTRIBUTION_MIN
        ]
        for row in zip(order.tolist(), values, strengths, strict=True)
    ]


def sentence(column: int, value: float, contribution: float) -> str:
    """What was measured in a column, and which way it moves the risk.

    >>> sentence(FEATURES.index("usage_trend_ratio_7d_30d"), 0.36, 0.8)
    "Active users fell 64% against the month's average"
    >>> sentence(FEATURES.index("usage_trend_ratio_7d_30d"), 1.2, -0.3)
    "Active users rose 20% against the month's average (lowers the risk)"
    """
    text, bad = fact(column, value)
    if contribution < 0:
        return f"{text} (lowers the risk)"
    return bad or f"{text} (raises the risk)"
