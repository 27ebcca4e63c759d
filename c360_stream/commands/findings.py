"""What a finished run found out, read from its tables, and how well, held against the truth of the simulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from c360_stream.connectors.clickhouse import TableStore
from c360_stream.learning.prior import MODEL_NAME as PRIOR_RULE
from c360_stream.learning.quality import roc_auc

RISKIEST = 8
TOP_SHARE = 0.1
EXAMPLES_MAX = 500_000

Row = dict[str, Any]
Floats = NDArray[np.float64]

_RISKIEST = f"""
SELECT account_id, tier, risk, mrr_at_risk_cents, arrayMap(r -> r.4, arrayFilter(r -> r.3 > 0, reasons)) AS texts
FROM risk_active ORDER BY risk DESC, account_id LIMIT {RISKIEST}
"""  # noqa: S608 - no text from outside
_TIERS = """
SELECT tier, count() AS accounts, avg(risk) AS mean_risk, sum(mrr_cents) AS mrr_cents,
       sum(mrr_at_risk_cents) AS mrr_at_risk_cents
FROM risk_active GROUP BY tier ORDER BY mean_risk DESC
"""
_SCORES = """
SELECT countIf(trigger = 'tick') AS ticks, countIf(trigger = 'event') AS between,
       max(as_of) AS last, minOrNullIf(as_of, model_name != {prior:String}) AS learnt_from
FROM risk_scores FINAL
"""
_ALARMS = "SELECT as_of, kind, subject, severity, detail FROM drift_alarms FINAL ORDER BY as_of, kind, subject"
# Churn is known as soon as it happens, staying only at the end of the horizon: as-ofs after the last account known
# to have stayed would have churned accounts alone.
_KNOWN = "SELECT min(as_of) AS first, maxIf(as_of, NOT churned) AS last FROM outcomes FINAL WHERE isNotNull(risk)"
_IN_WINDOW = "outcomes FINAL WHERE isNotNull(risk) AND as_of >= {first:DateTime64(3)} AND as_of <= {last:DateTime64(3)}"
_COUNT = f"SELECT count() AS examples FROM {_IN_WINDOW}"  # noqa: S608 - no text from outside
_OUTCOMES = f"""
SELECT account_id, formatDateTime(as_of, '%Y-%m-%dT00:00:00Z', 'UTC') AS midnight, churned, risk FROM {_IN_WINDOW}
AND toRelativeDayNum(as_of) % {{step:UInt32}} = 0
"""  # noqa: S608 - no text from outside


class _Truth(msgspec.Struct):
    account_id: str
    as_of: str
    risk_60d: float


@dataclass(frozen=True)
class Quality:
    """Stored scores against what happened afterwards and against the true probabilities.

    Attributes
    ----------
    first, last
        As-of times of the earliest and latest score that counts.
    examples
        How many scores.
    auc, true_auc
        ROC-AUC against what happened: of the scores, and of the true probabilities.
    predicted, true, observed
        Mean score, mean true probability, and share that churned.
    top, true_top
        Share that churned among the tenth with the highest scores, and the highest true probabilities.
    agreement
        Rank correlation (Spearman) of scores and true probabilities.
    """

    first: datetime
    last: datetime
    examples: int
    auc: float
    true_auc: float
    predicted: float
    true: float
    observed: float
    top: float
    true_top: float
    agreement: float


@dataclass(frozen=True)
class Findings:
    """Everything that the summary shows of the tables."""

    riskiest: list[Row]
    tiers: list[Row]
    scores: Row
    alarms: list[Row]
    dead_letters: int
    quality: Quality | None


def read_findings(tables: TableStore, truth: Path) -> Findings:
    """Query the tables of a finished run.

    Parameters
    ----------
    truth
        `truth.jsonl` of the simulation.

    Raises
    ------
    TransportError
        If the tables refuse.
    """
    (scores,) = tables.query(_SCORES, {"prior": PRIOR_RULE})
    (letters,) = tables.query("SELECT count() AS number FROM dead_letters FINAL")
    return Findings(
        tables.query(_RISKIEST),
        tables.query(_TIERS),
        scores,
        tables.query(_ALARMS),
        letters["number"],
        _quality(tables, truth),
    )


def _quality(tables: TableStore, truth: Path) -> Quality | None:
    """Measure the last third of the ticks whose outcome is known; None if there is none.

    The longest history has its days thinned out, so that no more than `EXAMPLES_MAX` scores are held.
    """
    (known,) = tables.query(_KNOWN)
    if known["last"] < known["first"]:
        return None
    first = known["first"] + (known["last"] - known["first"]) * 2 / 3
    window = {"first": first, "last": known["last"]}
    step = 1 + tables.query(_COUNT, window)[0]["examples"] // EXAMPLES_MAX
    rows = {(row["account_id"], row["midnight"]): row for row in tables.query(_OUTCOMES, window | {"step": step})}
    true = {key: risk for key, risk in _truth(truth) if key in rows}
    if not true:
        return None
    keys = sorted(true)
    return measure(
        (datetime.fromisoformat(min(key[1] for key in keys)), datetime.fromisoformat(max(key[1] for key in keys))),
        np.array([rows[key]["churned"] for key in keys], np.bool_),
        np.array([rows[key]["risk"] for key in keys]),
        np.array([true[key] for key in keys]),
    )


def measure(span: tuple[datetime, datetime], churned: NDArray[np.bool_], risk: Floats, true: Floats) -> Quality:
    """Compare scores with outcomes and true probabilities, row by row; `span` is the first and last as-of."""
    return Quality(
        *span,
        examples=len(risk),
        auc=roc_auc(churned, risk),
        true_auc=roc_auc(churned, true),
        predicted=float(risk.mean()),
        true=float(true.mean()),
        observed=float(churned.mean()),
        top=_top_rate(churned, risk),
        true_top=_top_rate(churned, true),
        agreement=rank_correlation(risk, true),
    )


def _top_rate(churned: NDArray[np.bool_], risk: Floats) -> float:
    """Share that churned in the tenth with the highest risk."""
    top = np.argsort(-risk, kind="stable")[: max(1, round(TOP_SHARE * len(risk)))]
    return float(churned[top].mean())


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's rank correlation, ties at their middle rank; NaN if either is constant.

    >>> round(rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 20.0])), 3)
    0.866
    """
    ranks = [_ranks(values) for values in (first, second)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: Floats) -> Floats:
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    middle: Floats = np.cumsum(ties) - (ties - 1) / 2
    return middle[place]


def _truth(path: Path) -> Iterator[tuple[tuple[str, str], float]]:
    decode = msgspec.json.Decoder(_Truth).decode
    with path.open("rb") as lines:
        for line in lines:
            truth = decode(line)
            yield (truth.account_id, truth.as_of), truth.risk_60d
