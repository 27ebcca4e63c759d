"""How each feature may bend: the breakpoints and ramps that a learnt curve is made of.

The breakpoints are fixed and mean the same in every version: they follow from what the features count, not from one
company's customers. Features that span orders of magnitude get ramps that are straight in log(1 + value / unit).
Between the points such a ramp is linear in the value itself, so a score takes no logarithm: its last bit would depend
on the machine and on how the array lies in memory.
"""

from __future__ import annotations

import math
from itertools import pairwise

from c360_stream.features.definitions import FEATURES
from c360_stream.models.preprocessing import Tables

NULLABLE: tuple[str, ...] = (
    "usage_trend_ratio_7d_30d",
    "action_trend_ratio_7d_30d",
    "seat_utilization_30d",
    "avg_csat_30d",
    "nps_score",
    "days_since_last_activity",
    "mrr_cents",
    "days_to_renewal",
)

# Between neighbours lies one ramp, straight in the value ...
_STRAIGHT: dict[str, tuple[float, ...]] = {
    "usage_trend_ratio_7d_30d": (0.0, 0.5, 1.0, 2.0),
    "action_trend_ratio_7d_30d": (0.0, 1.0, 2.0),
    "active_days_30d": (0.0, 10.0, 20.0, 30.0),
    "features_adopted_30d": (0.0, 3.0, 8.0),
    "seat_utilization_30d": (0.0, 0.25, 0.5, 1.0),
    "avg_csat_30d": (1.0, 3.5, 5.0),
    "nps_score": (0.0, 6.0, 10.0),
    "downgraded_90d": (0.0, 1.0),
}
# ... or straight in log(1 + value / unit): name -> (unit, breakpoints).
_LOGARITHMIC: dict[str, tuple[float, tuple[float, ...]]] = {
    "avg_dau_7d": (1.0, (0.0, 3.0, 30.0, 1e3)),
    "avg_dau_14d": (1.0, (0.0, 30.0)),
    "avg_dau_30d": (1.0, (0.0, 3.0, 30.0, 1e3)),
    "users_commenting_30d": (1.0, (0.0, 10.0, 100.0)),
    "invites_sent_30d": (1.0, (0.0, 30.0)),
    "export_requests_30d": (1.0, (0.0, 30.0)),
    "support_tickets_30d": (1.0, (0.0, 2.0, 10.0)),
    "urgent_tickets_30d": (1.0, (0.0, 4.0)),
    "days_since_last_activity": (1.0, (0.0, 2.0, 7.0, 30.0)),
    "mrr_cents": (1e3, (0.0, 1e4, 1e5, 1e7)),
    "payment_failures_30d": (1.0, (0.0, 1.0, 4.0)),
    # These two move with the calendar: customers who came together are always older than any of them whose label
    # is known. Further ramps would extrapolate, and did: monthly mean risk over true risk varied by 14-22%
    # (standard deviation, two simulated companies), by 3-11% without them, and ROC-AUC rose by 0.005-0.018.
    "account_age_days": (1.0, (0.0, 60.0)),
    "days_to_renewal": (1.0, (0.0, 60.0)),
}
# Points inside one logarithmic ramp: the chord stays within 2% of the ramp's height.
_POINTS_A_RAMP = 5

Table = tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]


def _straight(breakpoints: tuple[float, ...]) -> Table:
    ramps = len(breakpoints) - 1
    heights = tuple(tuple(float(i > ramp) for i in range(ramps + 1)) for ramp in range(ramps))
    return breakpoints, heights


def _logarithmic(unit: float, breakpoints: tuple[float, ...]) -> Table:
    logs = [math.log1p(value / unit) for value in breakpoints]
    points: list[float] = [breakpoints[0]]
    for low, high, end in zip(logs, logs[1:], breakpoints[1:], strict=False):
        inner = (low + (high - low) * k / _POINTS_A_RAMP for k in range(1, _POINTS_A_RAMP))
        # Rounded, so that the points are readable and no last bit of a logarithm is left in them.
        points.extend(float(f"{unit * math.expm1(log):.3g}") for log in inner)
        points.append(end)
    spans = list(pairwise(logs))
    at = [math.log1p(point / unit) for point in points]
    heights = tuple(
        tuple(round(min(max((log - low) / (high - low), 0.0), 1.0), 9) for log in at) for low, high in spans
    )
    return tuple(points), heights


CURVES: Tables = {
    name: _straight(_STRAIGHT[name]) if name in _STRAIGHT else _logarithmic(*_LOGARITHMIC[name]) for name in FEATURES
}
