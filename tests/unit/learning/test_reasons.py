"""Reasons: true to the value, in words, pointing the way the contribution does."""

from __future__ import annotations

import re

import numpy as np
import pytest

from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.learning.reasons import MODEL, moves, reasons, sentence


@pytest.mark.parametrize(
    ("name", "value", "contribution", "text"),
    [
        ("avg_dau_7d", 12.4, 0.2, "12 active users a day on average over 7 days (raises the risk)"),
        ("avg_dau_14d", 0.0, 0.2, "No active users in 14 days"),
        ("avg_dau_30d", 1.23, -0.2, "1.2 active users a day on average over 30 days (lowers the risk)"),
        (
            "usage_trend_ratio_7d_30d",
            30 / 7,
            -0.1,
            "All active users of the month were in its last 7 days (lowers the risk)",
        ),
        ("days_since_last_activity", 0.01, -0.1, "Last product activity less than an hour ago (lowers the risk)"),
        ("usage_trend_ratio_7d_30d", 0.36, 0.9, "Active users fell 64% against the month's average"),
        ("usage_trend_ratio_7d_30d", 0.0, 0.9, "No active users in 7 days, after some earlier in the month"),
        ("usage_trend_ratio_7d_30d", 0.001, 0.9, "Active users fell 99% against the month's average"),
        ("usage_trend_ratio_7d_30d", 1.004, 0.1, "Active users held level with the month's average (raises the risk)"),
        ("usage_trend_ratio_7d_30d", None, 0.4, "No active users in 30 days to compare with"),
        ("action_trend_ratio_7d_30d", 1.2, -0.1, "Core actions rose 20% against the month's average (lowers the risk)"),
        ("active_days_30d", 3.0, 0.1, "Only active on 3 days of the last 30"),
        ("active_days_30d", 25.0, -0.1, "Active on 25 days of the last 30 (lowers the risk)"),
        ("features_adopted_30d", 1.0, 0.1, "Only 1 product feature used in 30 days"),
        ("seat_utilization_30d", 0.18, 0.3, "Only 18% of seats are used"),
        ("seat_utilization_30d", 0.18, -0.3, "18% of seats are used (lowers the risk)"),
        ("seat_utilization_30d", None, 0.3, "The number of seats is unknown (raises the risk)"),
        ("users_commenting_30d", 0.0, 0.1, "No users commented in 30 days (raises the risk)"),
        ("invites_sent_30d", 1.0, -0.1, "1 invite sent in 30 days (lowers the risk)"),
        ("export_requests_30d", 1234.0, 0.1, "1,234 exports requested in 30 days (raises the risk)"),
        ("support_tickets_30d", 4.0, 0.1, "4 support tickets in 30 days"),
        ("urgent_tickets_30d", 0.0, -0.1, "No urgent tickets in 30 days (lowers the risk)"),
        ("avg_csat_30d", 2.0, 0.1, "Satisfaction (CSAT) averaged 2.0 of 5 in 30 days"),
        ("avg_csat_30d", None, -0.1, "No satisfaction (CSAT) answer in 30 days (lowers the risk)"),
        ("nps_score", 9.0, -0.1, "The latest NPS answer was 9 of 10 (lowers the risk)"),
        ("days_since_last_activity", 12.2, 0.1, "No product activity for 12 days"),
        ("days_since_last_activity", 0.25, -0.1, "Last product activity 6 hours ago (lowers the risk)"),
        ("days_since_last_activity", None, 0.1, "No product activity so far"),
        ("mrr_cents", 490_050.0, 0.1, "MRR is 4,900.50 (raises the risk)"),
        ("downgraded_90d", 1.0, 0.1, "MRR was cut in the last 90 days"),
        ("payment_failures_30d", 3.0, 0.1, "3 payment failures in 30 days"),
        ("account_age_days", 400.0, -0.1, "Customer for 400 days (lowers the risk)"),
        ("days_to_renewal", 13.0, 0.1, "Renewal is due in 13 days"),
        ("days_to_renewal", -2.0, 0.1, "The renewal date passed 2 days ago (raises the risk)"),
    ],
)
def test_sentence(name: str, value: float | None, contribution: float, text: str) -> None:
    assert sentence(INDEX[name], value, contribution) == text


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("value", [0.0, 1e-6, 0.04, 0.4, 0.999, 1.0, 2.5, 7.0, 29.7, 400.0, 1e9, None])
def test_every_feature_has_a_sentence_that_agrees_with_its_contribution(name: str, value: float | None) -> None:
    raising, lowering = (sentence(INDEX[name], value, sign) for sign in (0.5, -0.5))
    assert "lowers" not in raising
    assert lowering.endswith("(lowers the risk)")
    assert not lowering.startswith("Only")
    for text in (raising, lowering):
        assert re.fullmatch(r"[A-Z0-9].{10,90}[a-z0-9)]", text)
        assert "nan" not in text


def test_the_strongest_come_first_and_weak_ones_are_left_out() -> None:
    rows, contributions = np.ones((2, len(FEATURES))), np.zeros((2, len(FEATURES)))
    rows[0, 4] = np.nan
    contributions[0, [1, 4, 7, 9]] = [0.2, -0.9, 0.5, 0.1]
    contributions[1, 3] = 0.0099
    first, second = reasons(rows, contributions).by_row()
    assert [(reason.feature, reason.value, reason.contribution) for reason in first] == [
        (FEATURES[4], None, -0.9),
        (FEATURES[7], 1.0, 0.5),
        (FEATURES[1], 1.0, 0.2),
    ]
    assert second == []
    assert [reason.feature for reason in reasons(rows, contributions, strongest=1).by_row()[0]] == [FEATURES[4]]


def test_what_moved_is_told_from_the_strongest_on() -> None:
    now, before = np.zeros((2, len(FEATURES))), np.zeros((2, len(FEATURES)))
    silence, days = INDEX["days_since_last_activity"], INDEX["active_days_30d"]
    now[0, silence], before[0, silence] = 9.0, np.nan
    now[0, days], before[0, days] = 12.0, 13.0
    moved = np.zeros((2, len(FEATURES)))
    moved[0, [silence, days]] = 0.4, -0.06
    moved[1] = np.nan
    first, second = moves(now, before, moved, np.array([-0.5, np.nan])).by_row()
    assert second == [], "there was no score before"
    assert [(each.feature, each.before, each.value, each.contribution) for each in first] == [
        (MODEL, None, None, -0.5),
        ("days_since_last_activity", None, 9.0, 0.4),
        ("active_days_30d", 13.0, 12.0, -0.06),
    ]
    assert [each.text for each in first] == [
        "The model has learnt since then (lowers the risk)",
        "No product activity for 9 days (raises the risk; before: No product activity so far)",
        "Active on 12 days of the last 30 (lowers the risk; before: Active on 13 days of the last 30)",
    ]
    assert moves(now, before, moved, np.array([0.02, 0.0]), strongest=1).by_row() == [first[1:2], []]


def test_what_hardly_moved_is_not_told_unless_it_is_the_reason_for_the_score() -> None:
    moved = np.full((1, len(FEATURES)), 0.049)
    (asked,) = moves(np.zeros_like(moved), np.zeros_like(moved), moved, np.zeros(1), asked=True).by_row()
    assert [each.text for each in asked] == ["No active users in 7 days (raises the risk)"]
    nothing = np.full_like(moved, np.nan)
    assert moves(nothing, nothing, nothing, np.full(1, np.nan), asked=True).by_row() == [[]]
    assert moves(np.zeros_like(moved), np.zeros_like(moved), moved, np.array([-0.049])).by_row() == [[]]
