"""Rows of `model_metrics` that the learner gives: the contest's standings, and the calibration of each horizon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.learning.contest import Contest
from c360_stream.models.horizons import Judged
from c360_stream.models.version import ModelVersion
from c360_stream.monitoring.monitor import MetricRow
from c360_stream.monitoring.quality import measure


def contest_rows(day: int, versions: Mapping[str, ModelVersion], contest: Contest, champion: str) -> list[MetricRow]:
    """How every model stands in the contest: rows of the segment `contest`."""
    rows = []
    for name, version in versions.items():
        standing = contest.standing(name, champion)
        values = {"log_loss": contest.loss(name), "gain": standing.gain, "gain_t": standing.t}
        rows += [
            MetricRow(
                as_of_us=day * US_PER_DAY,
                model_name=name,
                model_version=version.model_version,
                segment="contest",
                metric=metric,
                value=value,
                examples=int(standing.examples),
            )
            for metric, value in values.items()
            if not np.isnan(value)
        ]
    return rows


def horizon_rows(day: int, version: ModelVersion, settled: Sequence[Judged]) -> list[MetricRow]:
    """How well the risks of each horizon were calibrated, on the examples fully observed since the last time."""
    rows: list[MetricRow] = []
    if not settled:
        return rows
    after = np.concatenate([each.cancelled_after for each in settled])
    predicted = np.concatenate([each.predicted for each in settled]).astype(np.float64)
    for days, risk in zip(settled[0].days, predicted.T, strict=True):
        churned = (after > 0) & (after <= days)
        rows += [
            MetricRow(day * US_PER_DAY, version.model_name, version.model_version, *each)
            for each in measure(f"horizon_{days}d", churned, np.ascontiguousarray(risk))
        ]
    return rows
