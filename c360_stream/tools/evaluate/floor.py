"""The best that these features allow: fitted to the true risks, out of fold by account."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from c360_stream.models.basis import Basis
from c360_stream.tools.evaluate.figures import expected_roc_auc
from c360_stream.tools.evaluate.matured import Examples
from c360_stream.tools.evaluate.newton import sigmoid, weights, with_one

FOLDS = 5
ROUNDS = 100
LIGHTGBM: dict[str, Any] = {
    "objective": "cross_entropy",
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
"""Parameters of its trees; all others are LightGBM's defaults: probabilities teach more than outcomes do."""

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

    model = lightgbm.train(LIGHTGBM, lightgbm.Dataset(features, target), ROUNDS)
    return np.asarray(model.predict(asked, num_threads=1), np.float64)


def _logistic(features: Floats, target: Floats, asked: Floats) -> Floats:
    """Logistic regression on ramps between quantiles, fitted to probabilities by Newton's method, with a ridge of 1."""
    basis = Basis.learnt(features, float(np.sum(target)))
    columns, asked_columns = (with_one(basis.transform_rows(each)) for each in (features, asked))
    found = weights(lambda: iter([(slice(0, len(columns)), columns)]), target, columns.shape[1])
    return sigmoid(asked_columns @ found)
