"""What values say: every feature's bad, neutral, good and missing values, in words that fit."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.features.definitions import FEATURES, GROUPS, INDEX, SPECS, Feature, Tone
from c360_stream.scoring.facts import fact
from c360_stream.scoring.reason_groups import tones

BAD, NEUTRAL, GOOD = Tone.BAD, Tone.NEUTRAL, Tone.GOOD

FACTS: list[tuple[str, float | None, Tone, str]] = [
    ("avg_dau_7d", 0.0, BAD, "No active users in 7 days"),
    ("avg_dau_7d", 3 / 7, BAD, "Only 0.4 active users a day on average over 7 days"),
    ("avg_dau_7d", 12.4, GOOD, "12 active users a day on average over 7 days"),
    ("avg_dau_7d", None, NEUTRAL, "Active users over 7 days are unknown"),
    ("avg_dau_14d", 0.01, BAD, "Under 0.1 active users a day on average over 14 days"),
    ("avg_dau_14d", 2.0, NEUTRAL, "2.0 active users a day on average over 14 days"),
    ("avg_dau_14d", 3.0, GOOD, "3.0 active users a day on average over 14 days"),
    ("avg_dau_14d", None, NEUTRAL, "Active users over 14 days are unknown"),
    ("avg_dau_30d", 0.0, BAD, "No active users in 30 days"),
    ("avg_dau_30d", 1.23, NEUTRAL, "1.2 active users a day on average over 30 days"),
    ("avg_dau_30d", 1234.0, GOOD, "1,234 active users a day on average over 30 days"),
    ("avg_dau_30d", None, NEUTRAL, "Active users over 30 days are unknown"),
    ("usage_trend_ratio_7d_30d", 0.0, BAD, "No active users in 7 days, after some earlier in the month"),
    ("usage_trend_ratio_7d_30d", 0.001, BAD, "Active users fell 99% against the month's average"),
    ("usage_trend_ratio_7d_30d", 0.36, BAD, "Active users fell 64% against the month's average"),
    ("usage_trend_ratio_7d_30d", 0.902, NEUTRAL, "Active users held level with the month's average"),
    ("usage_trend_ratio_7d_30d", 1.098, NEUTRAL, "Active users held level with the month's average"),
    ("usage_trend_ratio_7d_30d", 1.2, GOOD, "Active users rose 20% against the month's average"),
    ("usage_trend_ratio_7d_30d", 30 / 7, GOOD, "All active users of the month were in its last 7 days"),
    ("usage_trend_ratio_7d_30d", None, BAD, "No active users in 30 days to compare with"),
    ("action_trend_ratio_7d_30d", 0.5, BAD, "Core actions fell 50% against the month's average"),
    ("action_trend_ratio_7d_30d", 1.0, NEUTRAL, "Core actions held level with the month's average"),
    ("action_trend_ratio_7d_30d", 1.5, GOOD, "Core actions rose 50% against the month's average"),
    ("action_trend_ratio_7d_30d", None, BAD, "No core actions in 30 days to compare with"),
    ("active_days_30d", 0.0, BAD, "Not active on any of the last 30 days"),
    ("active_days_30d", 1.0, BAD, "Only active on 1 day of the last 30"),
    ("active_days_30d", 12.0, NEUTRAL, "Active on 12 days of the last 30"),
    ("active_days_30d", 25.0, GOOD, "Active on 25 days of the last 30"),
    ("active_days_30d", None, NEUTRAL, "Active days in 30 days are unknown"),
    ("features_adopted_30d", 0.0, BAD, "No product feature used in 30 days"),
    ("features_adopted_30d", 1.0, BAD, "Only 1 product feature used in 30 days"),
    ("features_adopted_30d", 4.0, NEUTRAL, "4 product features used in 30 days"),
    ("features_adopted_30d", 8.0, GOOD, "8 product features used in 30 days"),
    ("features_adopted_30d", None, NEUTRAL, "Product features used in 30 days are unknown"),
    ("seat_utilization_30d", 0.0, BAD, "No seat was used in 30 days"),
    ("seat_utilization_30d", 0.002, BAD, "Under 1% of seats are used"),
    ("seat_utilization_30d", 0.18, BAD, "Only 18% of seats are used"),
    ("seat_utilization_30d", 0.5, NEUTRAL, "50% of seats are used"),
    ("seat_utilization_30d", 1.0, GOOD, "100% of seats are used"),
    ("seat_utilization_30d", None, NEUTRAL, "The number of seats is unknown"),
    ("users_commenting_30d", 0.0, NEUTRAL, "No users commented in 30 days"),
    ("users_commenting_30d", 3.0, GOOD, "3 users commented in 30 days"),
    ("users_commenting_30d", None, NEUTRAL, "Users who comment are unknown"),
    ("invites_sent_30d", 0.0, NEUTRAL, "No invites sent in 30 days"),
    ("invites_sent_30d", 1.0, GOOD, "1 invite sent in 30 days"),
    ("invites_sent_30d", None, NEUTRAL, "Invites sent are unknown"),
    ("export_requests_30d", 0.0, NEUTRAL, "No exports requested in 30 days"),
    ("export_requests_30d", 1234.0, NEUTRAL, "1,234 exports requested in 30 days"),
    ("export_requests_30d", None, NEUTRAL, "Exports requested are unknown"),
    ("support_tickets_30d", 0.0, GOOD, "No support tickets in 30 days"),
    ("support_tickets_30d", 1.0, NEUTRAL, "1 support ticket in 30 days"),
    ("support_tickets_30d", 4.0, BAD, "4 support tickets in 30 days"),
    ("support_tickets_30d", None, NEUTRAL, "Support tickets are unknown"),
    ("urgent_tickets_30d", 0.0, GOOD, "No urgent tickets in 30 days"),
    ("urgent_tickets_30d", 1.0, BAD, "1 urgent ticket in 30 days"),
    ("urgent_tickets_30d", None, NEUTRAL, "Urgent tickets are unknown"),
    ("avg_csat_30d", 2.0, BAD, "Satisfaction (CSAT) averaged 2.0 of 5 in 30 days"),
    ("avg_csat_30d", 3.5, NEUTRAL, "Satisfaction (CSAT) averaged 3.5 of 5 in 30 days"),
    ("avg_csat_30d", 5.0, GOOD, "Satisfaction (CSAT) averaged 5.0 of 5 in 30 days"),
    ("avg_csat_30d", None, NEUTRAL, "No satisfaction (CSAT) answer in 30 days"),
    ("nps_score", 6.0, BAD, "The latest NPS answer was 6 of 10"),
    ("nps_score", 7.0, NEUTRAL, "The latest NPS answer was 7 of 10"),
    ("nps_score", 9.0, GOOD, "The latest NPS answer was 9 of 10"),
    ("nps_score", None, NEUTRAL, "No NPS answer so far"),
    ("days_since_last_activity", 12.2, BAD, "No product activity for 12 days"),
    ("days_since_last_activity", 2.2, NEUTRAL, "Last product activity 2 days ago"),
    ("days_since_last_activity", 0.98, GOOD, "Last product activity 1 day ago"),
    ("days_since_last_activity", 0.25, GOOD, "Last product activity 6 hours ago"),
    ("days_since_last_activity", 0.01, GOOD, "Last product activity less than an hour ago"),
    ("days_since_last_activity", None, BAD, "No product activity so far"),
    ("mrr_cents", 490_050.0, NEUTRAL, "MRR is 4,900.50"),
    ("mrr_cents", 0.0, NEUTRAL, "MRR is zero"),
    ("mrr_cents", None, NEUTRAL, "No billing event so far, MRR is unknown"),
    ("downgraded_90d", 1.0, BAD, "MRR was cut in the last 90 days"),
    ("downgraded_90d", 0.0, GOOD, "MRR was not cut in the last 90 days"),
    ("downgraded_90d", None, NEUTRAL, "Changes of MRR in 90 days are unknown"),
    ("payment_failures_30d", 3.0, BAD, "3 payment failures in 30 days"),
    ("payment_failures_30d", 0.0, GOOD, "No payment failures in 30 days"),
    ("payment_failures_30d", None, NEUTRAL, "Payment failures are unknown"),
    ("account_age_days", 0.5, NEUTRAL, "Customer for 12 hours"),
    ("account_age_days", 400.0, NEUTRAL, "Customer for 400 days"),
    ("account_age_days", None, NEUTRAL, "The account's age is unknown"),
    ("days_to_renewal", -2.0, BAD, "The renewal date passed 2 days ago"),
    ("days_to_renewal", 13.0, BAD, "Renewal is due in 13 days"),
    ("days_to_renewal", 75.0, NEUTRAL, "Renewal is due in 75 days"),
    ("days_to_renewal", 250.0, GOOD, "Renewal is due in 250 days"),
    ("days_to_renewal", None, NEUTRAL, "The renewal date is unknown"),
]
EDGES = [0.0, 1e-6, 0.04, 0.4, 0.999, 1.0, 2.5, 7.0, 29.7, 400.0, 1e9]


@pytest.mark.parametrize(("name", "value", "tone", "text"), FACTS)
def test_fact(name: str, value: float | None, tone: Tone, text: str) -> None:
    assert fact(INDEX[name], value) == (text, tone)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_tone_that_a_feature_can_have_is_tried(spec: Feature) -> None:
    possible = {spec.tone(value) for value in (*EDGES, *np.linspace(0.0, 100.0, 1001), None)}
    assert {tone for name, _, tone, _ in FACTS if name == spec.name} == possible
    assert any(name == spec.name and value is None for name, value, *_ in FACTS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("value", [*EDGES, None])
def test_a_text_is_a_short_phrase_and_belittles_only_what_sounds_bad(spec: Feature, value: float | None) -> None:
    text, tone = fact(INDEX[spec.name], value)
    assert re.fullmatch(r"[A-Z0-9].{9,70}[a-z0-9]", text)
    assert "nan" not in text
    assert not text.startswith("Only") or tone is Tone.BAD


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_tones_follow_the_declared_direction(spec: Feature) -> None:
    heard = [spec.tone(value) for value in np.linspace(-10.0, 500.0, 5101).tolist()]
    assert heard == sorted(heard, reverse=spec.bad == "high")
    if spec.bad is None:
        assert set(heard) == {Tone.NEUTRAL}
    else:
        assert Tone.GOOD in heard


@given(st.lists(st.none() | st.floats(-1e9, 1e9) | st.sampled_from(EDGES), min_size=21, max_size=21))
def test_the_tones_of_a_matrix_are_those_of_its_values(values: list[float | None]) -> None:
    row = np.array([[np.nan if value is None else value for value in values]])
    assert tones(row)[0].tolist() == [spec.tone(value) for spec, value in zip(SPECS, values, strict=True)]


def test_every_feature_is_in_a_group_and_names_are_unique() -> None:
    assert len(set(FEATURES)) == len(SPECS)
    assert {spec.group for spec in SPECS} == set(GROUPS)
    for group in GROUPS:
        actionable = {spec.actionable for spec in SPECS if spec.group == group}
        assert len(actionable) == 1, group
