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


def summarised(worlds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a scenario, scorer and segment: of each metric the mean over worlds and the standard deviation."""
    found = []
    for scenario in dict.fromkeys(world["world"]["scenario"] for world in worlds):
        same = [world for world in worlds if world["world"]["scenario"] == scenario]
        for scorer in dict.fromkeys(name for world in same for name in world["scorers"]):
            there = [world["scorers"][scorer]["segments"] for world in same if scorer in world["scorers"]]
            for segment in dict.fromkeys(name for segments in there for name in segments):
                row = {"scenario": scenario, "scorer": scorer, "segment": segment, "worlds": len(there)}
                found.append(row | _means([segments[segment] for segments in there if segment in segments]))
    return found


def _means(segments: Sequence[dict[str, Any]]) -> dict[str, Any]:
    means: dict[str, Any] = {}
    for metric in METRICS:
        values = [value for one in segments if (value := one.get(metric)) is not None and not math.isnan(value)]
        if values:
            means[metric] = {"mean": fmean(values), "sd": stdev(values) if len(values) > 1 else None}
    return means
