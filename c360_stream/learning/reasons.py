"""Reasons in words: the strongest contributions to a score, as sentences for a customer-success manager.

A contribution compares the account with the average one, so a good-looking value can raise the risk and a bad-looking
one lower it. The sentence states what was measured; unless it plainly sounds the way it acts, it ends with
what it does to the risk.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import FEATURES
from c360_stream.learning.columns import Floats, nullable
from c360_stream.learning.facts import fact
from c360_stream.records import MoveOut, ReasonOut

# In log-odds. Less moves a risk by at most a quarter of a percentage point: not worth a sentence.
CONTRIBUTION_MIN = 0.01
# What moved has to have moved the risk by a percentage point or so, or the text would be the same every day.
MOVE_MIN = 0.05
MODEL = "model"
_NAMES = (*FEATURES, MODEL)
_LEARNT = {raises: f"The model has learnt since then ({raises})" for raises in ("raises the risk", "lowers the risk")}
# Counts and sevenths and thirtieths of counts come again and again, among accounts and from one day to the next:
# saying them anew at each took 0.3 s of the 1.5 s that a tick's rows of 100,000 accounts cost. Some 5 MB.
_fact = lru_cache(maxsize=16_384)(fact)

T = TypeVar("T")


class Reasons(NamedTuple):
    """Reasons of n rows in columns: those of row i are at `offsets[i]` up to `offsets[i + 1]`, the strongest first.

    Columns, because that is how a table takes them; `by_row` gives what a record has.
    """

    offsets: NDArray[np.int32]
    feature: list[str]
    value: list[float | None]
    contribution: list[float]
    text: list[str]

    def by_row(self) -> list[list[ReasonOut]]:
        """A list of reasons a row."""
        return _by_row(self.offsets, list(map(ReasonOut, *self[1:])))


class Moves(NamedTuple):
    """What moved the scores of n rows, in columns as `Reasons` are."""

    offsets: NDArray[np.int32]
    feature: list[str]
    before: list[float | None]
    value: list[float | None]
    contribution: list[float]
    text: list[str]

    def by_row(self) -> list[list[MoveOut]]:
        """A list of moves a row."""
        return _by_row(self.offsets, list(map(MoveOut, *self[1:])))


def reasons(features: Floats, contributions: Floats, strongest: int = 3) -> Reasons:
    """The strongest contributions of each row.

    Parameters
    ----------
    features
        Shape (n, 21), as measured, NaN for null.
    contributions
        Shape (n, 21), from `ModelVersion.score`.
    strongest
        How many at most. Contributions under 0.01 are left out.
    """
    order, strengths = _strongest(contributions, strongest)
    told = np.abs(strengths) >= CONTRIBUTION_MIN
    row, column, strength = np.nonzero(told)[0], order[told], strengths[told].tolist()
    value, column = nullable(features[row, column]), column.tolist()
    text = list(map(sentence, column, value, strength))
    return Reasons(_offsets(told), [_NAMES[i] for i in column], value, strength, text)


def moves(
    features: Floats, before: Floats, moved: Floats, model_moved: Floats, strongest: int = 3, *, asked: bool = False
) -> Moves:
    """What moved each score since the last one; nothing where there was no last one.

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
    order, strengths = _strongest(np.nan_to_num(np.column_stack([moved, model_moved])), strongest)
    told = np.abs(strengths) >= MOVE_MIN
    if asked:
        told[:, 0] |= strengths[:, 0] != 0.0
    row, column, strength = np.nonzero(told)[0], order[told], strengths[told].tolist()
    # The model has no value, now or before.
    measured, of_feature = column < len(FEATURES), np.minimum(column, len(FEATURES) - 1)
    then, now = (nullable(np.where(measured, each[row, of_feature], np.nan)) for each in (before, features))
    column = column.tolist()
    text = list(map(_move, column, then, now, strength))
    return Moves(_offsets(told), [_NAMES[i] for i in column], then, now, strength, text)


def _strongest(parts: Floats, strongest: int) -> tuple[NDArray[np.int64], Floats]:
    """Columns of the strongest parts of each row, of equal ones the first, and these parts."""
    order = np.argsort(-np.abs(parts), axis=1, kind="stable")[:, :strongest]
    return order, np.take_along_axis(parts, order, axis=1)


def _offsets(told: NDArray[np.bool_]) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(told.sum(axis=1))]).astype(np.int32)


def _by_row(offsets: NDArray[np.int32], told: Sequence[T]) -> list[list[T]]:
    return [list(told[start:end]) for start, end in pairwise(offsets.tolist())]


def sentence(column: int, value: float | None, contribution: float) -> str:
    """What was measured in a column, and which way it moves the risk.

    >>> sentence(FEATURES.index("usage_trend_ratio_7d_30d"), 0.36, 0.8)
    "Active users fell 64% against the month's average"
    >>> sentence(FEATURES.index("usage_trend_ratio_7d_30d"), 1.2, -0.3)
    "Active users rose 20% against the month's average (lowers the risk)"
    """
    text, bad = _fact(column, value)
    if contribution < 0:
        return f"{text} (lowers the risk)"
    return bad or f"{text} (raises the risk)"


def _move(column: int, then: float | None, now: float | None, strength: float) -> str:
    way = "raises the risk" if strength > 0 else "lowers the risk"
    if column == len(FEATURES):
        return _LEARNT[way]
    said, said_before = _fact(column, now).text, _fact(column, then).text
    return f"{said} ({way})" if said == said_before else f"{said} ({way}; before: {said_before})"
