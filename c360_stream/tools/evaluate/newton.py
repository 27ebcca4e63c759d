"""Batch logistic regression with a ridge, by Newton's method: few passes over the rows, which may come in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from c360_stream.models.classifier import logit

RIDGE = 1.0
_RIDGE_CONSTANT = 1e-3
_STEPS_MAX, _HALVINGS_MAX = 25, 20
_LOSS_GAIN_MIN = 1e-9

Floats = NDArray[np.float64]
Parts = Callable[[], Iterator[tuple[slice, Floats]]]
"""Gives the columns anew for each pass: which rows, and their columns, float64 of shape (rows, width)."""


def weights(parts: Parts, target: Floats, width: int) -> Floats:
    """Weights of the columns, float64 of shape (width,).

    Steps are halved where they would overshoot. The last column, a constant, is not held back.

    Parameters
    ----------
    parts
        The columns.
    target
        Outcomes or probabilities, shape (n,).
    width
        How many columns there are.
    """
    found = np.zeros(width)
    found[-1] = logit(float(np.clip(target.mean(), 1e-6, 1 - 1e-6)))
    penalty = np.full(width, RIDGE)
    penalty[-1] = _RIDGE_CONSTANT
    log_odds = _times(parts, found, len(target))
    loss = _loss(log_odds, target, found, penalty)
    for _ in range(_STEPS_MAX):
        step = _step(parts, log_odds, target, found, penalty)
        ahead = _times(parts, step, len(target))
        for halvings in range(_HALVINGS_MAX):
            share = 0.5**halvings
            tried = _loss(log_odds - share * ahead, target, found - share * step, penalty)
            if tried <= loss:
                break
        else:
            break
        found, log_odds = found - share * step, log_odds - share * ahead
        gained, loss = loss - tried, tried
        if gained < _LOSS_GAIN_MIN * len(target):
            break
    return found


def _step(parts: Parts, log_odds: Floats, target: Floats, found: Floats, penalty: Floats) -> Floats:
    gradient, curvature = penalty * found, np.diag(penalty)
    for rows, columns in parts():
        predicted = sigmoid(log_odds[rows])
        gradient += columns.T @ (predicted - target[rows])
        curvature += (columns * (predicted * (1 - predicted))[:, None]).T @ columns
    return np.asarray(np.linalg.solve(curvature, gradient))


def _times(parts: Parts, factor: Floats, count: int) -> Floats:
    product = np.empty(count)
    for rows, columns in parts():
        product[rows] = columns @ factor
    return product


def _loss(log_odds: Floats, target: Floats, found: Floats, penalty: Floats) -> float:
    return float(np.sum(np.logaddexp(0.0, log_odds) - target * log_odds) + np.sum(penalty * found**2) / 2)


def sigmoid(values: Floats) -> Floats:
    """Probabilities of log-odds, which are held within 40."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -40.0, 40.0))))


def with_one(columns: Floats) -> Floats:
    """The columns, and a constant after them."""
    return np.concatenate([columns, np.ones((len(columns), 1))], axis=1)
