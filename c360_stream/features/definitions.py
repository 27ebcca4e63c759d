"""The features, version 1, in the order of every feature matrix, and what a person makes of each.

What is declared here beside the name decides how reasons show a feature (`scoring/reasons.py`). Features of one group
are one topic with one reason; the direction is which values a person takes for bad news.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

FEATURE_VERSION = 1


class Tone(IntEnum):
    """How a value sounds to a customer-success manager."""

    BAD = -1
    NEUTRAL = 0
    GOOD = 1


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    Parameters
    ----------
    name
        Unique; column of the feature matrix and of `account_features`.
    group
        Its topic: a group has one reason, so it holds features that mean the same and move together.
    bad
        Which values a person takes for bad news; None where a person expects nothing.
    bad_at, good_at
        From here on towards its side a value plainly sounds bad, or good; in between it is neutral.
    null_is_bad
        Whether the absence of a value is bad news; else it is neutral.
    bad_represents_group
        Whether a bad value implies those of the others in its group, so that it represents the group.
    actionable
        Whether somebody can do something about it. What cannot be acted on comes last.
    """

    name: str
    group: str
    bad: Literal["high", "low"] | None = None
    bad_at: float | None = None
    good_at: float | None = None
    null_is_bad: bool = False
    bad_represents_group: bool = False
    actionable: bool = True

    def tone(self, value: float | None) -> Tone:
        """How a value sounds, None for null.

        >>> Feature("tickets", "support", "high", bad_at=1, good_at=0).tone(2.0)
        <Tone.BAD: -1>
        """
        if value is None:
            return Tone.BAD if self.null_is_bad else Tone.NEUTRAL
        side = -1.0 if self.bad == "high" else 1.0
        if self.bad_at is not None and value * side <= self.bad_at * side:
            return Tone.BAD
        return Tone.GOOD if self.good_at is not None and value * side >= self.good_at * side else Tone.NEUTRAL


# Levels, trends and silence are one topic: they are worked out from the same days of use, models give them weights of
# opposite sign, and "nobody was active for 12 days" implies the last 7.
SPECS: tuple[Feature, ...] = (
    Feature("avg_dau_7d", "usage", "low", bad_at=0.5, good_at=3),
    Feature("avg_dau_14d", "usage", "low", bad_at=0.5, good_at=3),
    Feature("avg_dau_30d", "usage", "low", bad_at=0.5, good_at=3),
    Feature("usage_trend_ratio_7d_30d", "usage", "low", bad_at=0.9, good_at=1.1, null_is_bad=True),
    Feature("action_trend_ratio_7d_30d", "usage", "low", bad_at=0.9, good_at=1.1, null_is_bad=True),
    Feature("active_days_30d", "usage", "low", bad_at=9, good_at=15),
    Feature("features_adopted_30d", "adoption", "low", bad_at=2, good_at=5),
    Feature("seat_utilization_30d", "usage", "low", bad_at=0.4, good_at=0.7),
    Feature("users_commenting_30d", "usage", "low", good_at=3),
    Feature("invites_sent_30d", "adoption", "low", good_at=1),
    # Many exports may be heavy use, or somebody who packs up.
    Feature("export_requests_30d", "exports"),
    Feature("support_tickets_30d", "support", "high", bad_at=2, good_at=0),
    Feature("urgent_tickets_30d", "support", "high", bad_at=1, good_at=0),
    Feature("avg_csat_30d", "satisfaction", "low", bad_at=3, good_at=4),
    # Detractors give 0 to 6, promoters 9 and 10.
    Feature("nps_score", "satisfaction", "low", bad_at=6, good_at=9),
    Feature(
        "days_since_last_activity", "usage", "high", bad_at=6.5, good_at=1, null_is_bad=True, bad_represents_group=True
    ),
    Feature("mrr_cents", "size", actionable=False),
    Feature("downgraded_90d", "downgrade", "high", bad_at=1, good_at=0),
    Feature("payment_failures_30d", "payments", "high", bad_at=1, good_at=0),
    Feature("account_age_days", "tenure", actionable=False),
    Feature("days_to_renewal", "renewal", "low", bad_at=60, good_at=180),
)

FEATURES: tuple[str, ...] = tuple(spec.name for spec in SPECS)
INDEX: dict[str, int] = {name: column for column, name in enumerate(FEATURES)}
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(spec.group for spec in SPECS))
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
"""Features that have no value for some accounts."""
