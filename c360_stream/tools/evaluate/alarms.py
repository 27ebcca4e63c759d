"""Alarms of a run: how many a year, how soon after a change, and how soon after an outage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from c360_stream.contracts.records import DriftAlarm
from c360_stream.scoring.tiers import NO_TIER
from c360_stream.tools.evaluate.ledger import Matrices
from c360_stream.tools.evaluate.matured import day_of, iso

DAYS_A_YEAR = 365.25


def alarm_figures(alarms: Sequence[DriftAlarm], first_day: int, last_day: int, change: int | None) -> dict[str, Any]:
    """All alarms, counts a year by kind, and days from the change to the first concept-drift alarm."""
    ordered = sorted(alarms, key=lambda each: (each.as_of, each.kind, each.subject, each.method))
    years = max(last_day - first_day, 1) / DAYS_A_YEAR
    counts = Counter(each.kind for each in ordered)
    found: dict[str, Any] = {
        "list": [_shown(each) for each in ordered],
        "per_year": len(ordered) / years,
        "per_year_by_kind": {kind: counts[kind] / years for kind in sorted(counts)},
    }
    if change is not None:
        concept = [
            day for each in ordered if each.kind == "concept_drift" and (day := day_of(each.as_of.date())) > change
        ]
        found["concept_delay_days"] = concept[0] - change if concept else None
        found["promoted_after_change"] = [
            iso(day_of(each.as_of.date()))
            for each in ordered
            if _is_promotion(each) and day_of(each.as_of.date()) > change
        ]
    return found


def concept_days(alarms: Sequence[DriftAlarm]) -> list[int]:
    """Days of the concept-drift alarms."""
    return sorted(day_of(each.as_of.date()) for each in alarms if each.kind == "concept_drift")


def _is_promotion(alarm: DriftAlarm) -> bool:
    return alarm.kind == "performance" and alarm.method == "paired_log_loss"


def _shown(alarm: DriftAlarm) -> dict[str, Any]:
    named = ("kind", "subject", "method", "statistic", "threshold", "severity", "action", "detail")
    return {"as_of": alarm.as_of.isoformat(), **{name: getattr(alarm, name) for name in named}}


def outage_figures(
    alarms: Sequence[DriftAlarm], window: tuple[datetime, datetime], own: Matrices, twin: Matrices
) -> dict[str, Any]:
    """What an outage of the product's events did.

    Parameters
    ----------
    alarms
        Of the world with the outage.
    window
        When events were lost.
    own, twin
        The scores of every account, with the outage and in the same world without it.

    Returns
    -------
    Hours of event time from its begin to the first alarm of either kind, and the share of accounts whose tier changed
    at a tick from its begin to the first after its end, against the last tick before: in both worlds, and the
    difference. And account by account: the share that changed to a tier that it has not in the other world at the same
    tick (`tier_changed_share_because`), and the share whose tier differs between both for whatever reason, also because
    the outage hid what would have changed it (`tier_differs_share`).
    """
    hours = {kind: _hours(alarms, kind, window[0]) for kind in ("freshness", "volume")}
    first, last = day_of(window[0].date()) + 1, day_of(window[1].date()) + 1
    changed, changed_twin = (_changed_share(each, first, last) for each in (own, twin))
    return {
        "begin": window[0].isoformat(),
        "end": window[1].isoformat(),
        "hours_to_freshness": hours["freshness"],
        "hours_to_volume": hours["volume"],
        "tier_changed_share": changed,
        "tier_changed_share_without": changed_twin,
        "tier_changed_share_beyond": None if changed is None or changed_twin is None else changed - changed_twin,
        **_against_twin(own, twin, first, last),
    }


def _hours(alarms: Sequence[DriftAlarm], kind: str, begin: datetime) -> float | None:
    after = [each.as_of for each in alarms if each.kind == kind and each.as_of >= begin]
    return (min(after) - begin).total_seconds() / 3600 if after else None


def _rows(matrices: Matrices, first: int, last: int) -> slice:
    return slice(first - matrices.first_day, last - matrices.first_day + 1)


def _changed_share(matrices: Matrices, first: int, last: int) -> float | None:
    before = matrices.tier[first - 1 - matrices.first_day]
    tiers = matrices.tier[_rows(matrices, first, last)]
    there = before != NO_TIER
    moved = ((tiers != before) & (tiers != NO_TIER)).any(axis=0)
    return float(moved[there].mean()) if there.any() else None


def _against_twin(own: Matrices, twin: Matrices, first: int, last: int) -> dict[str, float | None]:
    """Shares of the accounts scored in both worlds, at one of the ticks or more."""
    place = {account: column for column, account in enumerate(twin.ids)}
    pairs = [(column, place[account]) for column, account in enumerate(own.ids) if account in place]
    columns, others = np.array(pairs, np.int64).reshape(-1, 2).T
    mine, theirs = own.tier[_rows(own, first, last)][:, columns], twin.tier[_rows(twin, first, last)][:, others]
    before = own.tier[first - 1 - own.first_day, columns]
    both = (mine != NO_TIER) & (theirs != NO_TIER)
    differs = (mine != theirs) & both
    moved = differs & (mine != before) & (before != NO_TIER)
    scored = both.any(axis=0)
    if not scored.any():
        return {"tier_changed_share_because": None, "tier_differs_share": None}
    because, differing = (float(each.any(axis=0)[scored].mean()) for each in (moved, differs))
    return {"tier_changed_share_because": because, "tier_differs_share": differing}
