"""What a finished run found out, read from its tables, and how well, held against the truth of the simulation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.logs.refusals import Refusals
from c360_stream.models.prior import MODEL_NAME as PRIOR_RULE
from c360_stream.monitoring.quality import roc_auc

CALLED_MAX = 8
CALLED_TIERS = ("high", "critical")
TOP_SHARE = 0.1
EXAMPLES_MAX = 500_000
CURRENT_DAYS = 30

Row = dict[str, Any]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Whom to call: the tiers that ask for it, most money first. If nobody is in them, who has most to lose anyway.
_TO_CALL = f"""
SELECT account_id, tier, risk, mrr_cents, mrr_at_risk_cents,
       arrayMap(r -> r.4, arrayFilter(r -> r.3 > 0, reasons)) AS texts
FROM risk_active
ORDER BY tier IN {CALLED_TIERS} DESC, mrr_at_risk_cents DESC NULLS LAST, risk DESC, account_id LIMIT {CALLED_MAX}
"""  # noqa: S608 - no text from outside
_TIERS = """
SELECT tier, count() AS accounts, avg(risk) AS mean_risk, sum(mrr_cents) AS mrr_cents,
       sum(mrr_at_risk_cents) AS mrr_at_risk_cents
FROM risk_active GROUP BY tier ORDER BY mean_risk DESC
"""
_SCORES = """
SELECT countIf(trigger = 'tick') AS ticks, countIf(trigger = 'event') AS between, uniqExact(account_id) AS accounts,
       max(as_of) AS last, minOrNullIf(as_of, model_name != {prior:String}) AS learnt_from
FROM risk_scores FINAL
"""
_ALARMS = "SELECT as_of, kind, subject, severity, detail FROM drift_alarms FINAL ORDER BY as_of, kind, subject"
# Where a record breaks off is no reason of its own, as in `logs.refusals.without_position`.
_REFUSALS = """
SELECT topic, replaceRegexpOne(exception_message, ' [(]byte [0-9]+[)]$', '') AS reason, count() AS number
FROM dead_letters FINAL GROUP BY ALL
"""
# Churn is known as soon as it happens, staying only at the end of the horizon: as-ofs after the last account known
# to have stayed would have churned accounts alone.
_KNOWN = "SELECT min(as_of) AS first, maxIf(as_of, NOT churned) AS last FROM outcomes FINAL WHERE isNotNull(risk)"
_IN_WINDOW = "outcomes FINAL WHERE isNotNull(risk) AND as_of >= {first:DateTime64(3)} AND as_of <= {last:DateTime64(3)}"
_COUNT = f"SELECT count() AS examples FROM {_IN_WINDOW}"  # noqa: S608 - no text from outside
# Beside every score, what the plain rule goes by: the days since anybody used the product, none if nobody ever did.
_OUTCOMES = f"""
SELECT account_id, formatDateTime(as_of, '%Y-%m-%dT00:00:00Z', 'UTC') AS midnight, churned, risk, silent_days
FROM (SELECT account_id, as_of, churned, risk FROM {_IN_WINDOW} AND toRelativeDayNum(as_of) % {{step:UInt32}} = 0) AS o
LEFT JOIN
(
    SELECT account_id, as_of, days_since_last_activity AS silent_days FROM account_features FINAL
    WHERE as_of >= {{first:DateTime64(3)}} AND as_of <= {{last:DateTime64(3)}}
) AS f USING (account_id, as_of)
"""  # noqa: S608 - no text from outside


class _Truth(msgspec.Struct):
    account_id: str
    as_of: str
    risk_60d: float


@dataclass(frozen=True)
class Ranking:
    """How well an order of the scores, riskiest first, finds those that churned.

    Attributes
    ----------
    auc
        ROC-AUC.
    top, caught
        Share that churned among the first tenth, and what share of all that churned those are; NaN if there are none.
    """

    auc: float
    top: float
    caught: float


@dataclass(frozen=True)
class Quality:
    """Stored scores against what happened afterwards, a plain rule and the true probabilities.

    Attributes
    ----------
    first, last
        As-of times of the earliest and latest score that counts.
    examples, left
        How many scores, and how many different accounts of those that churned.
    scores, rule, truth
        The order by stored risk, by days since the last activity, and by true probability.
    predicted, observed
        Mean score, and share that churned.
    """

    first: datetime
    last: datetime
    examples: int
    left: int
    scores: Ranking
    rule: Ranking
    truth: Ranking
    predicted: float
    observed: float


@dataclass(frozen=True)
class Findings:
    """Everything that the summary shows of the tables.

    Attributes
    ----------
    to_call
        Customers in `CALLED_TIERS`, most MRR at risk first; if there are none, the others in that order.
    tiers
        Customers by tier.
    scores, alarms, refusals, quality
        Counts of the scores, all alarms by time, refused events by topic and reason, and how good the scores were, if
        that can be known.
    """

    to_call: list[Row]
    tiers: list[Row]
    scores: Row
    alarms: list[Row]
    refusals: Refusals
    quality: Quality | None

    @property
    def customers(self) -> int:
        """Accounts that are customers at the end."""
        return sum(row["accounts"] for row in self.tiers)

    @property
    def gone(self) -> int:
        """Accounts that were customers once and are no more."""
        accounts: int = self.scores["accounts"]
        return accounts - self.customers

    @property
    def current_alarms(self) -> list[Row]:
        """Alarms of the last days; what is older is history."""
        since = self.scores["last"] - timedelta(days=CURRENT_DAYS)
        return [row for row in self.alarms if row["as_of"] > since]


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
    letters = tables.query(_REFUSALS)
    return Findings(
        tables.query(_TO_CALL),
        tables.query(_TIERS),
        scores,
        tables.query(_ALARMS),
        Counter({(row["topic"], row["reason"]): row["number"] for row in letters}),
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
    silent_days = [rows[key]["silent_days"] for key in keys]
    return measure(
        (datetime.fromisoformat(min(key[1] for key in keys)), datetime.fromisoformat(max(key[1] for key in keys))),
        [key[0] for key in keys],
        np.array([rows[key]["churned"] for key in keys], np.bool_),
        risk=np.array([rows[key]["risk"] for key in keys]),
        silent_days=np.array([math.inf if days is None else days for days in silent_days]),
        true=np.array([true[key] for key in keys]),
    )


def measure(
    span: tuple[datetime, datetime],
    accounts: Sequence[str],
    churned: Flags,
    *,
    risk: Floats,
    silent_days: Floats,
    true: Floats,
) -> Quality:
    """Compare orders with outcomes, row by row.

    Parameters
    ----------
    span
        The first and last as-of.
    accounts, churned, risk, silent_days, true
        Of each score: whose it is, whether the account churned, the stored risk, days since the last activity
        (infinite if there was none), and the true probability.
    """
    return Quality(
        *span,
        examples=len(risk),
        left=len({account for account, left in zip(accounts, churned.tolist(), strict=True) if left}),
        scores=_ranking(churned, risk),
        rule=_ranking(churned, silent_days),
        truth=_ranking(churned, true),
        predicted=float(risk.mean()),
        observed=float(churned.mean()),
    )


def _ranking(churned: Flags, order: Floats) -> Ranking:
    top = np.argsort(-order, kind="stable")[: max(1, round(TOP_SHARE * len(order)))]
    hits, all_hits = int(churned[top].sum()), int(churned.sum())
    return Ranking(roc_auc(churned, order), hits / len(top), hits / all_hits if all_hits else math.nan)


def _truth(path: Path) -> Iterator[tuple[tuple[str, str], float]]:
    decode = msgspec.json.Decoder(_Truth).decode
    with path.open("rb") as lines:
        for line in lines:
            truth = decode(line)
            yield (truth.account_id, truth.as_of), truth.risk_60d
