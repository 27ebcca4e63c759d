"""Reasons in words: what raises a score's risk and what lowers it, as sentences for a customer-success manager.

A contribution compares the account with the average one, and features that move together share a weight among them as
it happens to fall. So parts are added up by topic, and a topic is shown with a value that agrees with what it does to
the risk, or not at all (`scoring/reason_groups.py`). The sentence states what was measured; only where that sounds
neither good nor bad, it ends with what such accounts do.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import compress, pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.records import Move, Reason
from c360_stream.features.definitions import FEATURES
from c360_stream.models.columns import Floats, nullable
from c360_stream.scoring.facts import fact
from c360_stream.scoring.reason_groups import Topics, behind_actionable, changes, strongest_first, tones, topics

# In log-odds. Less moves a risk by a percentage point at most: not worth a sentence.
CONTRIBUTION_MIN = 0.05
# Nor is what moved it by less: the text would be the same every day.
MOVE_MIN = 0.05
MODEL = "model"
NO_TOPIC = "No single sign stands out: accounts with several such small signs leave more often"
_NAMES = (*FEATURES, MODEL)
_LEARNT = {raises: f"The model has learnt since then ({raises})" for raises in ("raises the risk", "lowers the risk")}
# Counts and sevenths and thirtieths of counts come again and again, among accounts and from one day to the next:
# wording them anew each time took 0.3 s of the 1.5 s that a tick's rows of 100,000 accounts cost. Some 5 MB.
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

    def by_row(self) -> list[list[Reason]]:
        """A list of reasons per row."""
        return _by_row(self.offsets, list(map(Reason, *self[1:])))


class RiskDeltas(NamedTuple):
    """What moved the scores of n rows, in columns as `Reasons` are."""

    offsets: NDArray[np.int32]
    feature: list[str]
    before: list[float | None]
    value: list[float | None]
    contribution: list[float]
    text: list[str]

    def by_row(self) -> list[list[Move]]:
        """A list of moves per row."""
        return _by_row(self.offsets, list(map(Move, *self[1:])))


def reasons(
    features: Floats, contributions: Floats, needed: NDArray[np.bool_] | None = None, most: int = 3
) -> tuple[Reasons, Reasons]:
    """What raises the risk of each row, and what lowers it.

    Parameters
    ----------
    features
        Shape (n, 21), as measured, NaN for null.
    contributions
        Shape (n, 21), from `ModelVersion.score`.
    needed
        Which rows need a reason, shape (n,): where no topic can be explained, one stands for their sum.
    most
        How many of either kind at most. Topics that add less than 0.05 are left out.
    """
    found = topics(contributions, tones(features))
    raising, lowering = (np.where(found.explained, sign * found.part, -np.inf) for sign in (1.0, -1.0))
    raising, lowering = (np.where(each >= CONTRIBUTION_MIN, each, -np.inf) for each in (raising, lowering))
    order, shown = strongest_first(behind_actionable(raising, found.column), most)
    rest = _unexplained(found.part, shown[:, 0] | ~needed) if needed is not None else np.zeros(len(features))
    return _reasons(features, found, order, shown, rest), _reasons(features, found, *strongest_first(lowering, most))


def _unexplained(part: Floats, shown: NDArray[np.bool_]) -> Floats:
    """What the topics that raise the risk add together in rows without a reason; 0 where it is not worth one."""
    together = np.zeros(len(shown))
    for each in part:
        together += np.maximum(each, 0.0)
    return np.where(shown | (together < CONTRIBUTION_MIN), 0.0, together)


def _reasons(
    features: Floats, found: Topics, order: NDArray[np.intp], shown: NDArray[np.bool_], rest: Floats | None = None
) -> Reasons:
    row, group = np.nonzero(shown)[0], order[shown]
    column, part, plain = found.column[group, row], found.part[group, row], found.plain[group, row]
    value, counts = features[row, column], shown.sum(axis=1)
    if rest is not None and rest.any():
        alone = np.flatnonzero(rest)
        at = np.searchsorted(row, alone)
        column, value = np.insert(column, at, len(FEATURES)), np.insert(value, at, np.nan)
        part, plain = np.insert(part, at, rest[alone]), np.insert(plain, at, True)
        counts[alone] = 1
    values, columns = nullable(value), column.tolist()
    text = list(map(_sentence, columns, values, (part > 0).tolist(), plain.tolist()))
    return Reasons(_offsets(counts), [_NAMES[i] for i in columns], values, part.tolist(), text)


def risk_deltas(
    features: Floats, before: Floats, delta: Floats, model_delta: Floats, most: int = 3, *, keep_strongest: bool = False
) -> RiskDeltas:
    """What moved each score since the last one; nothing where there was no last one.

    Topics as in `reasons`, each explained by a feature that has changed for the worse where the risk has risen, and
    for the better where it has fallen.

    Parameters
    ----------
    features, before
        Shape (n, 21): now and at the last score, NaN for null.
    delta
        Shape (n, 21): what each feature's change adds to the log-odds; NaN where there was no last score.
    model_delta
        Shape (n,): what the model's change adds. It appears as a feature named `model`.
    most
        How many at most. Less than 0.05 is left out, but for the strongest of all where `keep_strongest`.
    keep_strongest
        For scores made because something moved: they need a reason.
    """
    found = topics(np.nan_to_num(delta), *changes(before, features))
    part = np.vstack([found.part, np.nan_to_num(model_delta)])
    column = np.vstack([found.column, np.full(len(features), len(FEATURES))])
    plain = np.vstack([found.plain, np.zeros(len(features), np.bool_)])
    eligible = np.vstack([found.explained, np.ones(len(features), np.bool_)]) & (part != 0.0)
    order, shown = strongest_first(np.where(eligible, np.abs(part), -np.inf), most)
    weak = np.abs(np.take_along_axis(part.T, order, axis=1)) < MOVE_MIN
    if keep_strongest:
        weak[:, 0] &= part[order[:, 0], np.arange(len(features))] != _strongest(part)
    shown &= ~weak
    row, group = np.nonzero(shown)[0], order[shown]
    of_row = column[group, row]
    # The model has no value, now or before.
    measured, of_feature = of_row < len(FEATURES), np.minimum(of_row, len(FEATURES) - 1)
    then, now = (nullable(np.where(measured, each[row, of_feature], np.nan)) for each in (before, features))
    columns, strength = of_row.tolist(), part[group, row].tolist()
    text = list(map(_move, columns, then, now, strength, plain[group, row].tolist()))
    if not all(text):  # both values read the same: no change to show
        shown[shown] = visible = np.array([bool(each) for each in text])
        columns, then, now, strength, text = (
            list(compress(each, visible)) for each in (columns, then, now, strength, text)
        )
    return RiskDeltas(_offsets(shown.sum(axis=1)), [_NAMES[i] for i in columns], then, now, strength, text)


def _strongest(part: Floats) -> Floats:
    """The strongest part of each row, shown or not; `part` is of shape (parts, n)."""
    return np.asarray(part[np.argmax(np.abs(part), axis=0), np.arange(part.shape[1])], np.float64)


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)


def _by_row(offsets: NDArray[np.int32], items: list[T]) -> list[list[T]]:
    return [items[start:end] for start, end in pairwise(offsets.tolist())]


def sentence(column: int, value: float | None, raises: bool, plain: bool) -> str:
    """What was measured in a column; where that is ambiguous, also what such accounts do.

    >>> sentence(FEATURES.index("usage_trend_ratio_7d_30d"), 0.36, True, True)
    "Active users fell 64% against the month's average"
    >>> sentence(FEATURES.index("account_age_days"), 34.0, True, False)
    'Customer for 34 days (such accounts leave more often)'
    """
    if column == len(FEATURES):
        return NO_TOPIC
    text = fact(column, value).text
    return text if plain else f"{text} (such accounts leave {'more' if raises else 'less'} often)"


_sentence = lru_cache(maxsize=16_384)(sentence)


def _move(column: int, then: float | None, now: float | None, strength: float, plain: bool) -> str:
    direction = "raises the risk" if strength > 0 else "lowers the risk"
    if column == len(FEATURES):
        return _LEARNT[direction]
    text, before = _fact(column, now).text, _fact(column, then).text
    if text == before:
        return ""
    return f"{text} (before: {before})" if plain else f"{text} ({direction}; before: {before})"
