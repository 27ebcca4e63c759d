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
from c360_stream.records import MoveOut, ReasonOut

# In log-odds. Less moves a risk by at most a quarter of a percentage point: not worth a sentence.
CONTRIBUTION_MIN = 0.01
# What moved has to have moved the risk by a percentage point or so, or the text would be the same every day.
MOVE_MIN = 0.05
MODEL = "model"


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
            ReasonOut(FEATURES[column], _nullable(value), strength, sentence(column, value, strength))
            for column, value, strength in zip(*row, strict=True)
            if abs(strength) >= CONTRIBUTION_MIN
        ]
        for row in zip(order.tolist(), values, strengths, strict=True)
    ]


def moves(
    features: Floats, before: Floats, moved: Floats, model_moved: Floats, strongest: int = 3, *, asked: bool = False
) -> list[list[MoveOut]]:
    """What moved each score since the last one, the strongest first; nothing where there was no last one.

    Parameters
    ----------
    features, before
        Shape (n, 21): now and at the last score, NaN for null.
    moved
        Shape (n, 21): what each feature's change adds to the log-odds; NaN where there was no last score.
    model_moved
        Shape (n,): what the model's change adds. It appears as a feature named `model`.
    strongest
        How many at most. Less than 0.05 is left out, but for the strongest where `asked`.
    asked
        Whether a score has been made because something moved.
    """
    parts = np.nan_to_num(np.column_stack([moved, model_moved]))
    order = np.argsort(-np.abs(parts), axis=1, kind="stable")[:, :strongest]
    strengths = np.take_along_axis(parts, order, axis=1)
    found: list[list[MoveOut]] = [[] for _ in range(len(parts))]
    told = np.abs(strengths) >= MOVE_MIN
    if asked:
        told[:, 0] |= strengths[:, 0] != 0.0
    for row, place in np.argwhere(told).tolist():
        column, strength = int(order[row, place]), float(strengths[row, place])
        if column == len(FEATURES):
            found[row].append(
                MoveOut(MODEL, None, None, strength, f"The model has learnt since then ({_way(strength)})")
            )
            continue
        now, then = float(features[row, column]), float(before[row, column])
        said, said_before = fact(column, now).text, fact(column, then).text
        before_that = "" if said == said_before else f"; before: {said_before}"
        text = f"{said} ({_way(strength)}{before_that})"
        found[row].append(MoveOut(FEATURES[column], _nullable(then), _nullable(now), strength, text))
    return found


def _nullable(value: float) -> float | None:
    return None if isnan(value) else value


def _way(strength: float) -> str:
    return "raises the risk" if strength > 0 else "lowers the risk"


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
