"""Scorers side by side on the very same examples: figures with intervals, differences, calibration by thirds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.tools.evaluate.figures import Judged, calibration
from c360_stream.tools.evaluate.matured import iso
from c360_stream.tools.evaluate.names import BATCH, SILENCE, STORED
from c360_stream.tools.evaluate.resamples import Draws, Resamples, interval

THIRDS = 3
CONTENDER_SHARE_MIN = 0.5
"""Of what the model that predicted most did, another has to have predicted, to be compared on what all predicted."""
_DIFFERENCES = ("roc_auc", "pr_auc", "log_loss")

Floats = NDArray[np.float64]


def comparison(judged: Judged, scores: Mapping[str, Floats], runs: Sequence[str]) -> dict[str, Any]:
    """Figures of all scorers.

    Parameters
    ----------
    judged
        The examples, n of them; one at least.
    scores
        By scorer: risks of shape (n,), and for `silence` an order.
    runs
        Which scorers the others are compared with.

    Returns
    -------
    Counts and days; `scorers`: by name `roc_auc`, `pr_auc`, `log_loss` and `calibration_ratio`, each `value`, `low` and
    `high` or None, and `thirds`, the examples by its own risks, lowest first: `mean_risk`, `observed_rate`,
    `calibration_ratio` with its interval; `differences`: by run and other scorer how much the run's figure is above the
    other's; `best_peer`: by `log_loss` and `roc_auc` which batch model is the best, if there is one.
    """
    resamples = Resamples(judged.account, judged.churned)
    draws = {name: _draws(resamples, name, risk) for name, risk in scores.items()}
    return {
        "first_day": iso(judged.first_day),
        "last_day": iso(judged.last_day),
        "examples": len(judged.churned),
        "churners": int(judged.churned.sum()),
        "accounts": len(np.unique(judged.account)),
        "scorers": {
            name: {metric: shown(values) for metric, values in draws[name].items()}
            | ({} if name == SILENCE else {"thirds": thirds(judged, risk)})
            for name, risk in scores.items()
        },
        "differences": {
            run: {name: _difference(draws[run], other) for name, other in draws.items() if name != run} for run in runs
        },
        "best_peer": best_peers(draws),
    }


def segment_comparisons(judged: Judged, scores: Mapping[str, Floats], runs: Sequence[str]) -> dict[str, Any]:
    """A comparison of each segment that has examples, by its name."""
    found = {}
    for name, (first, last) in judged.segments.items():
        rows = judged.rows(first, last)
        if len(rows):
            found[name] = comparison(judged.of(rows), {each: risk[rows] for each, risk in scores.items()}, runs)
    return found


def contest_comparison(
    judged: Judged, scores: Mapping[str, Floats], run: str, contenders: Mapping[str, Floats]
) -> dict[str, Any] | None:
    """All models of a run's contest, by the risks that each gave when an example was taken, on those that all gave.

    Parameters
    ----------
    judged
        The examples, n of them.
    scores
        Of the run, as stored, and of what it is compared with, shape (n,).
    run
        Its name; here it is called `stored`.
    contenders
        By model its risks, shape (n,), NaN where it had none: it was not warm, or joined later.

    Returns
    -------
    A comparison, and `left_out`: how many examples those models predicted that had too few to be compared on all. None
    if there is no example that all predicted.
    """
    predicted = {name: ~np.isnan(risk) for name, risk in contenders.items()}
    most = max((int(known.sum()) for known in predicted.values()), default=0)
    enough = {name for name, known in predicted.items() if known.sum() >= max(CONTENDER_SHARE_MIN * most, 1)}
    rows = np.flatnonzero(
        np.all([np.ones(len(judged.churned), np.bool_), *(predicted[name] for name in enough)], axis=0)
    )
    if not len(rows):
        return None
    others = {name: risk for name, risk in scores.items() if name != run}
    together = {STORED: scores[run]} | others | {name: contenders[name] for name in contenders if name in enough}
    found = comparison(judged.of(rows), {name: risk[rows] for name, risk in together.items()}, [STORED])
    left_out = {name: int(known.sum()) for name, known in predicted.items() if name not in enough}
    return found | {"models": [name for name in contenders if name in enough], "left_out": left_out}


def _draws(resamples: Resamples, name: str, risk: Floats) -> Draws:
    return resamples.ranking(risk) | ({} if name == SILENCE else resamples.probabilities(risk))


def _difference(own: Draws, other: Draws) -> dict[str, Any]:
    return {metric: shown(own[metric] - other[metric]) for metric in _DIFFERENCES if metric in other}


def shown(draws: Floats) -> dict[str, float | None] | None:
    """A figure and its interval as plain data."""
    found = interval(draws)
    return None if found is None else found._asdict()


def best_peers(draws: Mapping[str, Draws]) -> dict[str, str]:
    """The batch model with the least log loss, and that with the highest ROC-AUC; nothing without batch models."""
    peers = [name for name in BATCH if name in draws and np.isfinite(draws[name]["roc_auc"][0])]
    if not peers:
        return {}
    return {
        "log_loss": min(peers, key=lambda name: float(draws[name]["log_loss"][0])),
        "roc_auc": max(peers, key=lambda name: float(draws[name]["roc_auc"][0])),
    }


def thirds(judged: Judged, risk: Floats) -> list[dict[str, Any]]:
    """Calibration in each third of the examples, ordered by risk (ties by as-of and account), lowest first."""
    order = np.argsort(risk, kind="stable")
    return [
        {"examples": len(rows)} | calibration(judged.churned[rows], risk[rows], judged.account[rows])
        for rows in np.array_split(order, THIRDS)
        if len(rows)
    ]
