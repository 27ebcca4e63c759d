"""What scoring gives: scores with what they were made of, and outcomes with the risk that was stored for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.records import TIERS, Trigger
from c360_stream.features.definitions import INDEX
from c360_stream.features.emissions import TickLabels
from c360_stream.models.exposure import WINDOW_DAYS_MAX
from c360_stream.models.version import ModelVersion
from c360_stream.monitoring.histograms import feature_histogram, risk_histogram
from c360_stream.monitoring.lead import Leads
from c360_stream.monitoring.tick_stats import MONDAY, TickStats
from c360_stream.monitoring.value_check import ValueCheck


@dataclass(slots=True)
class ScoredRows:
    """Scores of n accounts of a shard, with what they were computed from.

    Parameters
    ----------
    trigger
        `tick` or `event`.
    ids
        Account ids, n of them.
    as_of_us
        int64, shape (n,).
    features, contributions
        float64, shape (n, 21).
    risk, previous_risk
        float64, shape (n,); the previous is NaN where there was none.
    tier, previous_tier
        int8, shape (n,): index into `TIERS`, or `NO_TIER`.
    before
        Features that the last score was made of, shape (n, 21); NaN where there was none.
    delta
        What each feature's change since then adds to the log-odds, shape (n, 21); NaN where there was no last score.
    model_delta
        What the model has learnt since then adds: with `delta` the whole change of the log-odds.
    curve_days, curve
        Horizons, ascending, and the risk over each, shape (n, horizons).
    expected_months, lifetime_value_cents
        As `scoring.value` explains; the value is NaN where MRR is unknown.
    segment
        int8, shape (n,): index into `SEGMENTS`.
    """

    trigger: Trigger
    ids: list[str]
    as_of_us: NDArray[np.int64]
    features: NDArray[np.float64]
    risk: NDArray[np.float64]
    previous_risk: NDArray[np.float64]
    tier: NDArray[np.int8]
    previous_tier: NDArray[np.int8]
    contributions: NDArray[np.float64]
    before: NDArray[np.float64]
    delta: NDArray[np.float64]
    model_delta: NDArray[np.float64]
    curve_days: tuple[int, ...]
    curve: NDArray[np.float64]
    expected_months: NDArray[np.float64]
    lifetime_value_cents: NDArray[np.float64]
    segment: NDArray[np.int8]
    version: ModelVersion


@dataclass(slots=True)
class Outcomes:
    """Labels that have become known, with the risk that was stored at their as-of."""

    ids: list[str]
    as_of_day: NDArray[np.int64]
    churned: NDArray[np.bool_]
    risk: NDArray[np.float64]


@dataclass(slots=True)
class ScoredTick:
    """Everything that a shard's tick gives to the sinks and the monitor.

    Parameters
    ----------
    labels
        What became known at this tick.
    outcomes, matured
        The labels in it, of all accounts and of the matured examples, with the risk that was stored at their as-of.
    leads
        How far ahead those were flagged who cancelled.
    value
        How predicted values of half a year ago came out, on days when that is asked.
    kept_segment
        On Mondays: accounts whose segment is that of the Monday before, and accounts that had one then.
    """

    shard: int
    day: int
    scores: ScoredRows
    gone: list[str]
    labels: TickLabels
    outcomes: Outcomes
    matured: Outcomes
    leads: Leads
    value: ValueCheck | None
    kept_segment: tuple[int, int]


@dataclass(slots=True)
class FinalOutcomes:
    """Outcomes that are known at the end of the input."""

    shard: int
    time_us: int
    outcomes: Outcomes


ScorerOutput = ScoredTick | ScoredRows | FinalOutcomes


@dataclass(frozen=True, slots=True)
class ShardStats:
    """A shard's part of what the monitors see of a tick."""

    shard: int
    stats: TickStats
    tiers: tuple[int, ...]
    """Scores of each tier, for the log."""


def shard_stats(tick: ScoredTick) -> ShardStats:
    """What monitoring sees of a shard's tick."""
    tiers = np.bincount(tick.scores.tier, minlength=len(TIERS))
    return ShardStats(tick.shard, _tick_stats(tick), tuple(tiers.tolist()))


def _tick_stats(tick: ScoredTick) -> TickStats:
    # Of accounts whose windows are filled: the others grow up, and how many of them there are is growth, not drift.
    settled = tick.scores.features[:, INDEX["account_age_days"]] >= WINDOW_DAYS_MAX
    counts, nulls = feature_histogram(tick.scores.features[settled])
    labels, matured, version = tick.labels, tick.matured, tick.scores.version
    scored = np.flatnonzero(~np.isnan(matured.risk))
    return TickStats(
        tick=tick.day,
        rows=len(tick.scores.ids),
        counts=counts,
        nulls=nulls,
        risk_counts=risk_histogram(tick.scores.risk[settled]),
        model_name=version.model_name,
        model_version=version.model_version,
        calibrated=version.calibrated,
        as_of_day=matured.as_of_day[scored],
        account_ids=[matured.ids[i] for i in scored.tolist()],
        churned=matured.churned[scored],
        risk=matured.risk[scored],
        mrr_cents=labels.mrr_cents[scored],
        plan=[labels.plan[i] for i in scored.tolist()],
        scored_risk=tick.scores.risk if tick.day % 7 == MONDAY else tick.scores.risk[:0],
        group=[labels.group[i] for i in scored.tolist()],
        opened=labels.opened,
        leads=tick.leads,
        value=tick.value,
        kept_segment=tick.kept_segment,
    )
