"""Which topics of a score are explained, and by which feature, so that the sentence agrees with the risk.

The parts of a group's features add up to the group's; its sign is what the topic does to the risk. The topic is
explained by the feature that fits: one whose value sounds bad where the risk is raised, and good where it is lowered.
Of several it is the one with the strongest part. A value that sounds neither way will do if none fits and its own part
points the same way. But where a feature has a direction it does not explain a lower risk: a middling figure is no
comfort. If there is no such feature the topic is not explained: its part counts, but a sentence about it would
contradict what a person expects.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import GROUPS, SPECS, Tone
from c360_stream.models.columns import Floats

Tones = NDArray[np.int8]

# By group, its columns of the feature matrix.
COLUMNS: tuple[tuple[int, ...], ...] = tuple(
    tuple(column for column, spec in enumerate(SPECS) if spec.group == group) for group in GROUPS
)
ACTIONABLE = np.array([spec.actionable for spec in SPECS])
# Turned so that less is worse for every feature: bad up to `_BAD_AT`, good from `_GOOD_AT`.
_SIDE = np.array([-1.0 if spec.bad == "high" else 1.0 for spec in SPECS])
_BAD_AT = _SIDE * [-_SIDE[i] * np.inf if spec.bad_at is None else spec.bad_at for i, spec in enumerate(SPECS)]
_GOOD_AT = _SIDE * [_SIDE[i] * np.inf if spec.good_at is None else spec.good_at for i, spec in enumerate(SPECS)]
_NULL = np.array([Tone.BAD if spec.null_is_bad else Tone.NEUTRAL for spec in SPECS], np.int8)
_DIRECTED = np.array([0 if spec.bad is None else 1 for spec in SPECS], np.int8)
_BAD_REPRESENTS = [spec.bad_represents_group for spec in SPECS]
# Beyond any contribution: what is set back by it comes after all that is not.
_BEHIND = 1e6


class Topics(NamedTuple):
    """Groups of n rows, each of shape (groups, n).

    Parameters
    ----------
    part
        What the group adds to the log-odds: the sum of its features' parts.
    column
        The feature that explains it.
    explained
        Whether any feature does.
    plain
        Whether the feature's value alone shows which way the risk goes.
    """

    part: Floats
    column: NDArray[np.intp]
    explained: NDArray[np.bool_]
    plain: NDArray[np.bool_]


def tones(features: Floats) -> Tones:
    """How values sound, shape (n, 21): `Tone`, as `Feature.tone` has it value by value."""
    return _tones(features, slice(None))


def _tones(values: Floats, columns: NDArray[np.intp] | slice) -> Tones:
    turned = values * _SIDE[columns]
    sound = (turned >= _GOOD_AT[columns]).astype(np.int8) - (turned <= _BAD_AT[columns])
    return np.where(np.isnan(values), _NULL[columns], sound).astype(np.int8)


def changes(before: Floats, now: Floats) -> tuple[Tones, NDArray[np.bool_]]:
    """How changes sound, shape (n, 21), and whether there is one.

    For the worse or the better by the feature's direction; where a value came or went, by how both sound.
    """
    turned = (now - before) * _SIDE
    sound = ((turned > 0).astype(np.int8) - (turned < 0)) * _DIRECTED
    changed = now != before
    cells = np.nonzero(np.isnan(turned))
    here, there = now[cells], before[cells]
    sound[cells] = np.sign(_tones(here, cells[1]) - _tones(there, cells[1]))
    changed[cells] = ~(np.isnan(here) & np.isnan(there))
    return sound.astype(np.int8), changed


def topics(parts: Floats, sounds: Tones, explainable: NDArray[np.bool_] | None = None) -> Topics:
    """The topics of n rows.

    Parameters
    ----------
    parts
        What each feature adds to the log-odds, shape (n, 21).
    sounds
        `Tone` of what would be shown of it, shape (n, 21).
    explainable
        What can be shown at all, shape (n, 21); everything if absent.
    """
    by_feature, sound = np.ascontiguousarray(parts.T), np.ascontiguousarray(sounds.T)
    group_parts = np.zeros((len(GROUPS), len(parts)))
    column, best = np.zeros(group_parts.shape, np.intp), np.full(group_parts.shape, -np.inf)
    for group, columns in enumerate(COLUMNS):
        for each in columns:  # one after another: the same bits for any number of rows
            group_parts[group] += by_feature[each]
        direction = np.sign(group_parts[group])
        for each in columns:
            fitness = _fitness(each, by_feature[each] * direction, sound[each], direction)
            if explainable is not None:
                fitness[~explainable[:, each]] = -np.inf
            better = fitness > best[group]
            column[group][better], best[group][better] = each, fitness[better]
    return Topics(group_parts, column, best > -np.inf, best > -_BEHIND / 2)


def _fitness(column: int, strength: Floats, sound: Tones, direction: Floats) -> Floats:
    """How well a feature explains its group, the better the greater; -inf where it would contradict."""
    neutral = (sound == 0) & (strength > 0) & (direction > 0 if _DIRECTED[column] else True)
    plain = (sound == -direction) & (direction != 0)
    fitness = np.where(plain, strength, np.where(neutral, strength - _BEHIND, -np.inf))
    if _BAD_REPRESENTS[column]:
        fitness[plain & (direction > 0)] = _BEHIND
    return fitness


def strongest_first(strength: Floats, most: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Of each row, the groups with the greatest strength, of equal ones the first, and whether they have any.

    Parameters
    ----------
    strength
        Shape (groups, n); -inf has none.
    most
        How many at most.

    Returns
    -------
    Both of shape (n, most).
    """
    by_row = np.ascontiguousarray(strength.T)
    order = np.argsort(-by_row, axis=1, kind="stable")[:, :most]
    return order, np.take_along_axis(by_row, order, axis=1) > -np.inf


def behind_actionable(strength: Floats, column: NDArray[np.intp]) -> Floats:
    """Strengths, shape (groups, n), by which what nobody can act on comes last."""
    return np.where(ACTIONABLE[column], strength, strength - _BEHIND)
