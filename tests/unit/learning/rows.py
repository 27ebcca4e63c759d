"""Feature rows with a known churn mechanism, for the tests of learning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import FEATURES, INDEX, NULLABLE
from c360_stream.models.shipped import SHIPPED_BREAKPOINTS

DAY_US = 86_400_000_000
Floats = NDArray[np.float64]


def feature_rows(count: int, seed: int, null_share: float = 0.1) -> Floats:
    """Rows that cover and exceed the range of every feature, with nulls where nulls may be."""
    random = np.random.default_rng(seed)
    rows = np.empty((count, len(FEATURES)))
    for name, column in INDEX.items():
        points = SHIPPED_BREAKPOINTS[name]
        rows[:, column] = np.abs(random.normal(0.4, 0.5, count)) * (points[-1] - points[0]) + points[0]
        if name in NULLABLE:
            rows[random.random(count) < null_share, column] = np.nan
    rows[:, INDEX["downgraded_90d"]] = random.random(count) < 0.1
    return rows


def true_risk(rows: Floats) -> Floats:
    """A mechanism with a threshold, a slope and a null that means something."""
    silence = rows[:, INDEX["days_since_last_activity"]]
    seats_used = np.nan_to_num(rows[:, INDEX["seat_utilization_30d"]], nan=0.5).clip(0, 1)
    log_odds = -1.5 + 1.5 * (silence > 7) + 1.0 * np.isnan(silence) - 1.5 * seats_used
    return np.asarray(1 / (1 + np.exp(-log_odds)), np.float64)


def outcomes(rows: Floats, seed: int) -> Floats:
    """Churn drawn from the true risk."""
    return (np.random.default_rng(seed).random(len(rows)) < true_risk(rows)).astype(np.float64)


def as_dict(row: Floats) -> dict[str, float | None]:
    """A row as River sees it."""
    return {name: None if np.isnan(value) else value for name, value in zip(FEATURES, row.tolist(), strict=True)}
