"""What features are worth: refits without some of them, and predictions with some of them shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.tools.evaluate.comparison import shown
from c360_stream.tools.evaluate.contributions import COLUMNS_OF
from c360_stream.tools.evaluate.refits import LIGHTGBM, Boosted, Peer, Refit, refitted
from c360_stream.tools.evaluate.resamples import Draws, Resamples

_SEED = 1

Floats = NDArray[np.float64]


def ablation(
    features: Floats, refits: Sequence[Refit], peer: Peer, rows: NDArray[np.int64], resamples: Resamples
) -> dict[str, Any]:
    """LightGBM refitted without one group of features, or one feature, against LightGBM with all.

    Each refit has the rounds of the one with all features, so that nothing but the columns differs.

    Parameters
    ----------
    features
        Of all examples, shape (n, 21).
    refits, peer
        The days of fits, and LightGBM with all features.
    rows
        The examples that are judged, shape (m,).
    resamples
        Of these.

    Returns
    -------
    `groups` and `features`: by name `roc_auc` and `log_loss`, each how much it is higher without, with its interval.
    A group of one feature is among both.
    """
    rounds = [each.rounds for each in peer.fitted if isinstance(each, Boosted)]
    whole = draws(resamples, peer.risk[rows])
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    parts = {"groups": COLUMNS_OF, "features": {name: [INDEX[name]] for name in FEATURES}}
    shown_parts: dict[str, Any] = {}
    for part, named in parts.items():
        shown_parts[part] = {}
        for name, columns in named.items():
            key = tuple(columns)
            if key not in found:
                risk = _without(features, refits, columns, rounds)
                found[key] = difference(draws(resamples, risk[rows]), whole)
            shown_parts[part][name] = found[key]
    return shown_parts


def _without(features: Floats, refits: Sequence[Refit], columns: Sequence[int], rounds: Sequence[int]) -> Floats:
    kept = np.delete(features, columns, axis=1)
    by_day = {refit.day: count for refit, count in zip(refits, rounds, strict=True)}

    def fit(rows: Floats, refit: Refit) -> Boosted:
        return Boosted(rows[refit.known], refit.label, LIGHTGBM, by_day[refit.day])

    return refitted(kept, refits, fit).risk


def importance(
    features: Floats, refits: Sequence[Refit], peer: Peer, rows: NDArray[np.int64], resamples: Resamples
) -> dict[str, Any]:
    """By group of features, how much worse LightGBM is if the group's values are those of another example.

    Within the examples that one fit scores, rows of the group's columns are shuffled together, with a fixed seed.
    Parameters are those of `ablation`. By group `roc_auc` and `log_loss`, each how much it is higher if shuffled.
    """
    whole = draws(resamples, peer.risk[rows])
    found = {}
    for group, columns in COLUMNS_OF.items():
        generator = np.random.default_rng(_SEED)
        risk = peer.risk.copy()
        for refit, model in zip(refits, peer.fitted, strict=True):
            asked = features[refit.taken].copy()
            if len(asked):
                asked[:, columns] = asked[generator.permutation(len(asked))][:, columns]
                risk[refit.taken] = model.predict(asked)
        found[group] = difference(draws(resamples, risk[rows]), whole)
    return found


def draws(resamples: Resamples, risk: Floats) -> Draws:
    """All figures of risks over the resamples."""
    return resamples.ranking(risk) | resamples.probabilities(risk)


def difference(changed: Draws, whole: Draws) -> dict[str, Any]:
    """How much ROC-AUC and log loss are higher than with all features."""
    return {metric: shown(changed[metric] - whole[metric]) for metric in ("roc_auc", "log_loss")}
