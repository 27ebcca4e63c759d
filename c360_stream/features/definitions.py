"""The names of the features, version 1, in the order of every feature matrix."""

from __future__ import annotations

FEATURE_VERSION = 1

FEATURES: tuple[str, ...] = (
    "avg_dau_7d",
    "avg_dau_14d",
    "avg_dau_30d",
    "usage_trend_ratio_7d_30d",
    "action_trend_ratio_7d_30d",
    "active_days_30d",
    "features_adopted_30d",
    "seat_utilization_30d",
    "users_commenting_30d",
    "invites_sent_30d",
    "export_requests_30d",
    "support_tickets_30d",
    "urgent_tickets_30d",
    "avg_csat_30d",
    "nps_score",
    "days_since_last_activity",
    "mrr_cents",
    "downgraded_90d",
    "payment_failures_30d",
    "account_age_days",
    "days_to_renewal",
)

INDEX: dict[str, int] = {name: column for column, name in enumerate(FEATURES)}
