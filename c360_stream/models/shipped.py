"""Breakpoints to begin with: they hold until enough outcomes are known for a company's own (`models/basis.py`)."""

from __future__ import annotations

SHIPPED_BREAKPOINTS: dict[str, tuple[float, ...]] = {
    "usage_trend_ratio_7d_30d": (0.0, 0.5, 1.0, 2.0),
    "action_trend_ratio_7d_30d": (0.0, 1.0, 2.0),
    "active_days_30d": (0.0, 10.0, 20.0, 30.0),
    "features_adopted_30d": (0.0, 3.0, 8.0),
    "seat_utilization_30d": (0.0, 0.25, 0.5, 1.0),
    "avg_csat_30d": (1.0, 3.5, 5.0),
    "nps_score": (0.0, 6.0, 10.0),
    "downgraded_90d": (0.0, 1.0),
    "avg_dau_7d": (0.0, 3.0, 30.0, 1e3),
    "avg_dau_14d": (0.0, 30.0),
    "avg_dau_30d": (0.0, 3.0, 30.0, 1e3),
    "users_commenting_30d": (0.0, 10.0, 100.0),
    "invites_sent_30d": (0.0, 30.0),
    "export_requests_30d": (0.0, 30.0),
    "support_tickets_30d": (0.0, 2.0, 10.0),
    "urgent_tickets_30d": (0.0, 4.0),
    "days_since_last_activity": (0.0, 2.0, 7.0, 30.0),
    "mrr_cents": (0.0, 1e4, 1e5, 1e7),
    "payment_failures_30d": (0.0, 1.0, 4.0),
    "account_age_days": (0.0, 60.0),
    "days_to_renewal": (0.0, 60.0),
}
