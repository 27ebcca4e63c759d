"""What monitoring sees of a tick: counts of its features and risks, and the outcomes that matured at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c360_stream.labels.contacts import Group
from c360_stream.monitoring.histograms import Counts
from c360_stream.monitoring.lead import Leads
from c360_stream.monitoring.value_check import ValueCheck

MONDAY = 4
"""Of the days since the epoch modulo 7: day 0 was a Thursday."""


@dataclass(slots=True)
class TickStats:
    """One shard's, or all shards', part of a tick.

    Parameters
    ----------
    tick
        The as-of time: the midnight that opens this day since the epoch.
    rows
        Accounts with a feature row.
    counts, nulls
        Of `feature_histogram`: shapes (features, BINS) and (features,). Only of accounts whose windows are filled.
    risk_counts
        Of `risk_histogram`, of the same accounts.
    model_name, model_version
        The model that scored this tick.
    calibrated
        Whether its risks can be taken for probabilities.
    as_of_day, account_ids, churned, risk, mrr_cents, plan
        The examples whose label became known at this tick, once each, m of them: as-of day, account, outcome, the risk
        that was stored at the as-of (never NaN), the MRR then (NaN if unknown) and the newest plan (empty if unknown).
    scored_risk
        On Mondays the risks of this tick, in no particular order; else empty.
    group
        The group of each of the m examples in a comparison of contacted and other accounts, see `Contacts.groups`.
    opened, leads, value, kept_segment
        As in `ScoredTick`.
    """

    tick: int
    rows: int
    counts: Counts
    nulls: Counts
    risk_counts: Counts
    model_name: str
    model_version: str
    calibrated: bool
    as_of_day: NDArray[np.int64]
    account_ids: list[str]
    churned: NDArray[np.bool_]
    risk: NDArray[np.float64]
    mrr_cents: NDArray[np.float64]
    plan: list[str]
    scored_risk: NDArray[np.float64]
    group: list[Group]
    opened: int
    leads: Leads
    value: ValueCheck | None
    kept_segment: tuple[int, int]


def merge(parts: Sequence[TickStats]) -> TickStats:
    """All shards' parts of one tick as one: the same whatever the order of the parts.

    Raises
    ------
    ValueError
        If the parts are of different ticks or models.
    """
    first = parts[0]
    scored_by = {(part.tick, part.model_name, part.model_version) for part in parts}
    if len(scored_by) != 1:
        raise ValueError(f"parts of different ticks or models: {sorted(scored_by)}")
    as_of_day = np.concatenate([part.as_of_day for part in parts])
    plan = [each for part in parts for each in part.plan]
    account_ids = [account for part in parts for account in part.account_ids]
    group = [each for part in parts for each in part.group]
    order = sorted(range(len(account_ids)), key=lambda row: (as_of_day[row], account_ids[row]))
    return TickStats(
        tick=first.tick,
        rows=sum(part.rows for part in parts),
        counts=np.sum([part.counts for part in parts], axis=0),
        nulls=np.sum([part.nulls for part in parts], axis=0),
        risk_counts=np.sum([part.risk_counts for part in parts], axis=0),
        model_name=first.model_name,
        model_version=first.model_version,
        calibrated=first.calibrated,
        as_of_day=as_of_day[order],
        account_ids=[account_ids[row] for row in order],
        churned=np.concatenate([part.churned for part in parts])[order],
        risk=np.concatenate([part.risk for part in parts])[order],
        mrr_cents=np.concatenate([part.mrr_cents for part in parts])[order],
        plan=[plan[row] for row in order],
        scored_risk=np.concatenate([part.scored_risk for part in parts]),
        group=[group[row] for row in order],
        opened=sum(part.opened for part in parts),
        leads=Leads.merged([part.leads for part in parts]),
        value=ValueCheck.merged([part.value for part in parts if part.value is not None]),
        kept_segment=(sum(part.kept_segment[0] for part in parts), sum(part.kept_segment[1] for part in parts)),
    )
