"""What the verdict is made of: each run against rule and peer with honest errors, and its risks by band."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.monitoring.quality import RISK_MARGIN
from c360_stream.tools.evaluate import clusters
from c360_stream.tools.evaluate.clusters import Estimate
from c360_stream.tools.evaluate.figures import Judged
from c360_stream.tools.evaluate.matured import iso
from c360_stream.tools.evaluate.names import BATCH, SILENCE

Floats = NDArray[np.float64]


def judgement(judged: Judged, scores: Mapping[str, Floats], run: str, thresholds: Sequence[float]) -> dict[str, Any]:
    """Figures of one run.

    Parameters
    ----------
    judged
        The examples that count.
    scores
        By scorer: risks of shape (n,), and the order `silence`.
    run
        Which scorer is judged.
    thresholds
        Risks at which tiers begin, ascending: the bands that calibration is looked at in.

    Returns
    -------
    `first_day`, `last_day`, `examples`, `churners`, `mean_risk`. `accounts`: different accounts; `left` and `stayed`:
    those of them with an example of either outcome. `roc_auc`, `against` and `log_loss_against` (by rival, how much the
    ROC-AUC and the log loss are above its; the order has no log loss) and `gap` (share that cancelled less mean risk):
    `value` and `error`, None if it is unknown. `bands`: of each band of risks that is not empty the bounds, counts,
    means (with truth also `mean_true_risk`) and `gap`. `times`: the same of each whole block of 60 days.
    """
    churned, risk, account = judged.churned, scores[run], judged.account
    batch = {name: scores[name] for name in BATCH if name in scores}
    rivals = {SILENCE: scores[SILENCE]} | batch
    return {
        "first_day": iso(judged.first_day),
        "last_day": iso(judged.last_day),
        "examples": len(churned),
        "churners": int(churned.sum()),
        "mean_risk": float(risk.mean()),
        "accounts": len(np.unique(account)),
        "left": len(np.unique(account[churned])),
        "stayed": len(np.unique(account[~churned])),
        "roc_auc": shown(clusters.roc_auc(churned, risk, account)),
        "against": {rival: shown(clusters.roc_auc(churned, risk, account, order)) for rival, order in rivals.items()},
        "log_loss_against": {
            name: shown(clusters.mean(losses(churned, risk) - losses(churned, other), account))
            for name, other in batch.items()
        },
        "gap": shown(clusters.rate_gap(churned, risk, account)),
        "bands": list(_bands(judged, risk, thresholds)),
        "times": list(_times(judged, risk)),
    }


def _bands(judged: Judged, risk: Floats, thresholds: Sequence[float]) -> Iterator[dict[str, Any]]:
    edges = (0.0, *thresholds, 1.0)
    of = np.searchsorted(thresholds, risk, side="right")
    for band, (low, high) in enumerate(pairwise(edges)):
        rows = np.flatnonzero(of == band)
        if len(rows):
            yield {"risk_low": low, "risk_high": high} | _part(judged, risk, rows)


def _times(judged: Judged, risk: Floats) -> Iterator[dict[str, Any]]:
    for _, first, last in judged.blocks:
        rows = judged.rows(first, last)
        if first >= judged.first_day and last <= judged.last_day and len(rows):
            yield {"first_day": iso(first), "last_day": iso(last)} | _part(judged, risk, rows)


def _part(judged: Judged, risk: Floats, rows: NDArray[np.intp]) -> dict[str, Any]:
    """Mean risks and outcomes of some of the examples."""
    account = judged.account
    found = {
        "examples": len(rows),
        "accounts": len(np.unique(account[rows])),
        "mean_risk": float(risk[rows].mean()),
        "observed_rate": float(judged.churned[rows].mean()),
        "gap": shown(clusters.rate_gap(judged.churned[rows], risk[rows], account[rows])),
    }
    return found if judged.true_risk is None else found | {"mean_true_risk": float(judged.true_risk[rows].mean())}


def shown(estimate: Estimate | None) -> dict[str, float] | None:
    """An estimate as plain data."""
    return None if estimate is None else estimate._asdict()


def losses(churned: NDArray[np.bool_], risk: Floats) -> Floats:
    """Log loss of each example, shape (n,)."""
    return np.asarray(-np.log(np.clip(np.where(churned, risk, 1.0 - risk), RISK_MARGIN, 1.0)))
