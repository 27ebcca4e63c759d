"""Means over seeds, and their spread, by scenario and scorer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

METRICS = (
    "roc_auc",
    "expected_roc_auc",
    "pr_auc",
    "precision_at_recall_80",
    "lift_top_decile",
    "log_loss",
    "brier",
    "calibration_ratio",
    "calibration_ratio_true",
    "ece",
)


Figures = dict[str, Any]


def summarised(worlds: Sequence[Figures]) -> list[Figures]:
    """One row a scenario, scorer and segment: of each metric the mean over worlds and the standard deviation."""
    found = []
    for scenario, same in _by_scenario(worlds):
        for scorer in dict.fromkeys(name for world in same for name in world["scorers"]):
            there = [world["scorers"][scorer]["segments"] for world in same if scorer in world["scorers"]]
            for segment in dict.fromkeys(name for segments in there for name in segments):
                row = {"scenario": scenario, "scorer": scorer, "segment": segment, "worlds": len(there)}
                ones = [segments[segment] for segments in there if segment in segments]
                found.append(row | _means([{name: one.get(name) for name in METRICS} for one in ones]))
    return found


def runs_summarised(worlds: Sequence[Figures]) -> list[Figures]:
    """One row a scenario and run: alarms, recovery, lead time and tiers, means over the worlds that have them.

    `recovered` and `expected_recovered` count the worlds that the days of recovery are the mean of.
    """
    found = []
    for scenario, same in _by_scenario(worlds):
        for run in same[0]["runs"]:
            rows = [_run_row(world["runs"][run]) for world in same]
            counts = {
                f"{prefix}recovered": sum(row[f"{prefix}recovery_days"] is not None for row in rows)
                for prefix in ("", "expected_")
                if all(f"{prefix}recovery_days" in row for row in rows)
            }
            found.append({"scenario": scenario, "run": run, "worlds": len(rows)} | counts | _means(rows))
    return found


def _run_row(run: Figures) -> Figures:
    lead, alarms = run["lead_time"], run["alarms"]
    shares = [f"share_flagged_{days}d" for days in (7, 30, 60)]
    named = [*shares, "mrr_share_flagged_30d", "false_alarms_per_account_month"]
    kinds = {f"{kind}_alarms_per_year": count for kind, count in alarms["per_year_by_kind"].items()}
    return {
        "alarms_per_year": alarms["per_year"],
        **kinds,
        **run["recovery"],
        **{name: lead[name] for name in named},
        **run["tiers"],
    }


def detectors_summarised(worlds: Sequence[Figures]) -> list[Figures]:
    """One row a scenario and detector; `detected` counts the worlds in which it found the change.

    `delay_days` is a mean over those.
    """
    found = []
    for scenario, same in _by_scenario(worlds):
        for kind in ("runs", "river"):
            for name in same[0]["detectors"][kind]:
                rows = [world["detectors"][kind][name] for world in same]
                detected = sum(row["delay_days"] is not None for row in rows)
                about = {"scenario": scenario, "detector": name, "river": kind == "river", "worlds": len(rows)}
                found.append(about | {"detected": detected} | _means(rows))
    return found


def _by_scenario(worlds: Sequence[Figures]) -> list[tuple[str, list[Figures]]]:
    scenarios = dict.fromkeys(world["world"]["scenario"] for world in worlds)
    return [(name, [world for world in worlds if world["world"]["scenario"] == name]) for name in scenarios]


def _means(rows: Sequence[Figures]) -> Figures:
    """Of every figure the mean and standard deviation over the rows that have it."""
    means: Figures = {}
    for metric in dict.fromkeys(name for row in rows for name in row):
        values = [value for row in rows if (value := row.get(metric)) is not None and not math.isnan(value)]
        if values:
            means[metric] = {"mean": fmean(values), "sd": stdev(values) if len(values) > 1 else None}
    return means
