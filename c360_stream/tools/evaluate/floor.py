"""The best that these features allow: fitted to the true risks, out of fold by account."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import FEATURES
from c360_stream.models.classifier import logit
from c360_stream.models.curves import CURVES, NULLABLE
from c360_stream.models.preprocessing import Ramps
from c360_stream.tools.evaluate.figures import expected_roc_auc
from c360_stream.tools.evaluate.matured import Examples
from c360_stream.tools.evaluate.peers import LIGHTGBM, ROUNDS

FOLDS = 5
_RIDGE = 1.0
_RIDGE_CONSTANT = 1e-3
_STEPS_MAX, _HALVINGS_MAX = 25, 20
_LOSS_GAIN_MIN = 1e-9
_NULLABLE = [FEATURES.index(name) for name in NULLABLE]

Floats = NDArray[np.float64]


def floor(examples: Examples, change: int | None) -> tuple[Floats, dict[str, str]]:
    """Out-of-fold risks of the best model that these features allow, and which kind it is in each part.

    Fitted to the true risks, by folds of accounts, separately before and after a change. Boosted trees and logistic
    curves are both tried; in each part the one whose expected ROC-AUC is higher is taken.
    """
    true_risk = examples.true_risk
    if true_risk is None:
        raise ValueError("there is no floor without truth")
    fold = np.array([crc32(account.encode()) % FOLDS for account in examples.ids], np.int64)
    before = examples.as_of_day < change if change is not None else np.ones(len(examples), np.bool_)
    risk, kinds = np.full(len(examples), np.nan), {}
    for part, rows in (("before", before), ("after", ~before)):
        at = np.flatnonzero(rows)
        if not len(at):
            continue
        tried = {
            kind: _out_of_fold(fit, examples.features[at], true_risk[at], fold[at])
            for kind, fit in (("lightgbm", _boosted), ("logistic", _logistic))
        }
        kinds[part] = max(tried, key=lambda kind: (expected_roc_auc(true_risk[at], tried[kind]), kind))
        risk[at] = tried[kinds[part]]
    return risk, kinds


def _out_of_fold(fit: Any, features: Floats, target: Floats, fold: NDArray[np.int64]) -> Floats:
    risk = np.full(len(target), float(np.mean(target)))
    for number in range(FOLDS):
        held = fold == number
        if held.any() and not held.all():
            risk[held] = fit(features[~held], target[~held], features[held])
    return risk


def _boosted(features: Floats, target: Floats, asked: Floats) -> Floats:
    import lightgbm

    model = lightgbm.train(LIGHTGBM | {"objective": "cross_entropy"}, lightgbm.Dataset(features, target), ROUNDS)
    return np.asarray(model.predict(asked, num_threads=1), np.float64)


def _logistic(features: Floats, target: Floats, asked: Floats) -> Floats:
    """Logistic regression on the flow's curves, fitted to probabilities by Newton's method, with a ridge of 1."""
    known = np.isfinite(features)
    means = np.where(known, features, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    columns, asked_columns = _curves(features, means), _curves(asked, means)
    centre, spread = columns.mean(axis=0), np.maximum(columns.std(axis=0), 0.1)
    columns, asked_columns = (_with_one((each - centre) / spread) for each in (columns, asked_columns))
    return _sigmoid(asked_columns @ _weights(columns, target))


def _weights(columns: Floats, target: Floats) -> Floats:
    """Newton's method, its steps halved where they would overshoot; the last column, a constant, is not held back."""
    weights = np.zeros(columns.shape[1])
    weights[-1] = logit(float(np.clip(target.mean(), 1e-6, 1 - 1e-6)))
    penalty = np.full(len(weights), _RIDGE)
    penalty[-1] = _RIDGE_CONSTANT
    loss = _loss(columns, target, weights, penalty)
    for _ in range(_STEPS_MAX):
        predicted = _sigmoid(columns @ weights)
        gradient = columns.T @ (predicted - target) + penalty * weights
        curvature = (columns * (predicted * (1 - predicted))[:, None]).T @ columns + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        for _ in range(_HALVINGS_MAX):
            tried = _loss(columns, target, weights - step, penalty)
            if tried <= loss:
                break
            step = step / 2
        else:
            break
        weights, gained, loss = weights - step, loss - tried, tried
        if gained < _LOSS_GAIN_MIN * len(target):
            break
    return weights


def _loss(columns: Floats, target: Floats, weights: Floats, penalty: Floats) -> float:
    log_odds = columns @ weights
    return float(np.sum(np.logaddexp(0.0, log_odds) - target * log_odds) + np.sum(penalty * weights**2) / 2)


def _curves(features: Floats, means: Floats) -> Floats:
    known = np.isfinite(features)
    ramps = Ramps(CURVES, FEATURES).transform_rows(np.where(known, features, means))
    return np.concatenate([ramps, ~known[:, _NULLABLE]], axis=1)


def _with_one(columns: Floats) -> Floats:
    return np.concatenate([columns, np.ones((len(columns), 1))], axis=1)


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -40.0, 40.0))))
