"""Reasons: a topic appears once, with a value that agrees with what it does to the risk, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from c360_stream.contracts.records import Reason
from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.scoring.reasons import MODEL, NO_TOPIC, Reasons, reasons, risk_deltas

Floats = NDArray[np.float64]
Given = dict[str, tuple[float, float]]
# Features whose absence is bad news.
NEUTRAL = {"usage_trend_ratio_7d_30d": 1.0, "action_trend_ratio_7d_30d": 1.0, "days_since_last_activity": 2.0}


def row(given: Given) -> tuple[Floats, Floats]:
    """Features and contributions of one row: those given, and others that sound neutral and add nothing."""
    features, contributions = np.full((1, len(FEATURES)), np.nan), np.zeros((1, len(FEATURES)))
    for name, value in NEUTRAL.items():
        features[0, INDEX[name]] = value
    for name, (value, part) in given.items():
        features[0, INDEX[name]], contributions[0, INDEX[name]] = value, part
    return features, contributions


def reasons_of(given: Given, needed: bool = False) -> tuple[list[Reason], list[Reason]]:
    raising, lowering = reasons(*row(given), np.array([needed]))
    return raising.by_row()[0], lowering.by_row()[0]


def texts(given: Given, needed: bool = False) -> tuple[list[str], list[str]]:
    raising, lowering = reasons_of(given, needed)
    return [each.text for each in raising], [each.text for each in lowering]


def test_correlated_windows_of_opposite_weights_speak_once_with_their_sum() -> None:
    raising, lowering = reasons_of({"avg_dau_7d": (0.0, 0.9), "avg_dau_14d": (0.0, 0.2), "avg_dau_30d": (0.4, -0.5)})
    assert [(each.feature, each.value, each.text) for each in raising] == [
        ("avg_dau_7d", 0.0, "No active users in 7 days")
    ]
    assert raising[0].contribution == pytest.approx(0.6)
    assert lowering == []


def test_a_topic_is_explained_by_the_value_that_agrees_however_weak_its_part() -> None:
    given = {"avg_csat_30d": (5.0, 0.4), "nps_score": (3.0, -0.1)}
    assert texts(given) == (["The latest NPS answer was 3 of 10"], [])
    given = {"avg_csat_30d": (5.0, 0.1), "nps_score": (3.0, -0.4)}
    assert texts(given) == ([], ["Satisfaction (CSAT) averaged 5.0 of 5 in 30 days"])


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("avg_csat_30d", 5.0, 0.5),
        ("avg_csat_30d", 1.0, -0.5),
        ("avg_dau_7d", 20.0, 0.5),
        ("avg_dau_30d", 0.0, -0.5),
        ("days_since_last_activity", 40.0, -0.5),
        ("support_tickets_30d", 0.0, 0.5),
        ("payment_failures_30d", 2.0, -0.5),
        ("days_to_renewal", 300.0, 0.5),
        ("days_to_renewal", 5.0, -0.5),
        ("nps_score", 7.0, -0.5),
    ],
)
def test_what_contradicts_sense_is_not_shown(name: str, value: float, part: float) -> None:
    assert texts({name: (value, part)}) == ([], [])


def test_a_neutral_value_speaks_with_a_rider_if_its_own_part_agrees_and_none_fits() -> None:
    assert texts({"nps_score": (7.0, 0.2)})[0] == ["The latest NPS answer was 7 of 10 (such accounts leave more often)"]
    assert texts({"nps_score": (7.0, -0.2), "avg_csat_30d": (4.5, 0.4)}) == ([], [])
    assert texts({"mrr_cents": (266_560.0, -0.2)})[1] == ["MRR is 2,665.60 (such accounts leave less often)"]
    assert texts({"features_adopted_30d": (4.0, 0.4), "invites_sent_30d": (0.0, -0.1)})[0] == [
        "4 product features used in 30 days (such accounts leave more often)"
    ]


def test_long_silence_makes_the_rest_of_its_topic_go_without_saying() -> None:
    given = {"avg_dau_7d": (0.0, 0.9), "active_days_30d": (3.0, 0.3), "days_since_last_activity": (12.2, 0.1)}
    assert texts(given)[0] == ["No product activity for 12 days"]
    assert texts(given | {"days_since_last_activity": (5.0, 0.1)})[0] == ["No active users in 7 days"]


def test_the_strongest_come_first_and_what_nobody_can_act_on_last() -> None:
    given = {
        "mrr_cents": (100.0, 0.9),
        "nps_score": (2.0, 0.1),
        "urgent_tickets_30d": (1.0, 0.3),
        "account_age_days": (9.0, 0.2),
        "payment_failures_30d": (1.0, 0.04),
        "downgraded_90d": (0.0, -0.1),
        "days_to_renewal": (200.0, -0.3),
    }
    assert texts(given) == (
        [
            "1 urgent ticket in 30 days",
            "The latest NPS answer was 2 of 10",
            "MRR is 1.00 (such accounts leave more often)",
        ],
        ["Renewal is due in 200 days", "MRR was not cut in the last 90 days"],
    )
    assert texts({name: given[name] for name in ("mrr_cents", "account_age_days")})[0] == [
        "MRR is 1.00 (such accounts leave more often)",
        "Customer for 9 days (such accounts leave more often)",
    ]


def test_where_no_topic_can_be_explained_a_needed_reason_says_so() -> None:
    given = {"avg_csat_30d": (5.0, 0.5), "support_tickets_30d": (0.0, 0.3), "nps_score": (9.0, -0.1)}
    assert reasons_of(given) == ([], [])
    (alone,), lowering = reasons_of(given, needed=True)
    assert (alone.feature, alone.value, alone.text) == (MODEL, None, NO_TOPIC)
    assert alone.contribution == pytest.approx(0.7)
    assert lowering == []
    assert reasons_of({"avg_csat_30d": (1.0, 0.5)}, needed=True)[0][0].feature == "avg_csat_30d"
    assert reasons_of({"avg_csat_30d": (5.0, -0.5)}, needed=True)[0] == [], "nothing raises the risk"


def test_a_needed_reason_stands_in_its_own_row() -> None:
    features, contributions = (
        np.vstack(each)
        for each in zip(
            row({"nps_score": (2.0, 0.3)}),
            row({"avg_csat_30d": (5.0, 0.5)}),
            row({"nps_score": (1.0, 0.2)}),
            strict=True,
        )
    )
    raising, _ = reasons(features, contributions, np.array([True, True, True]))
    assert isinstance(raising, Reasons)
    assert [[each.feature for each in one] for one in raising.by_row()] == [["nps_score"], [MODEL], ["nps_score"]]


def moved_texts(
    given: dict[str, tuple[float, float, float]], model_delta: float = 0.0, *, keep_strongest: bool = False
) -> list[str]:
    """What moved a row, from (before, now, part) of some features."""
    now, moved = row({name: (after, part) for name, (_, after, part) in given.items()})
    before, _ = row({name: (then, part) for name, (then, _, part) in given.items()})
    (found,) = risk_deltas(now, before, moved, np.array([model_delta]), keep_strongest=keep_strongest).by_row()
    return [each.text for each in found]


def test_what_moved_is_explained_by_a_change_that_agrees() -> None:
    assert moved_texts(
        {
            "days_since_last_activity": (8.0, 9.0, 0.4),
            "avg_dau_7d": (0.3, 0.0, -0.1),
            "nps_score": (np.nan, 3.0, 0.2),
            "support_tickets_30d": (5.0, 2.0, -0.6),
        },
        -0.5,
    ) == [
        "2 support tickets in 30 days (before: 5 support tickets in 30 days)",
        "The model has learnt since then (lowers the risk)",
        "No product activity for 9 days (before: No product activity for 8 days)",
    ]
    assert moved_texts({"avg_csat_30d": (4.9, 4.2, 0.2)}) == [
        "Satisfaction (CSAT) averaged 4.2 of 5 in 30 days (before: Satisfaction (CSAT) averaged 4.9 of 5 in 30 days)"
    ]
    assert moved_texts({"mrr_cents": (100.0, 200.0, 0.2)}) == ["MRR is 2.00 (raises the risk; before: MRR is 1.00)"]


def test_a_change_that_contradicts_or_cannot_be_seen_is_not_shown() -> None:
    assert moved_texts({"avg_csat_30d": (4.2, 4.9, 0.2)}) == []
    assert moved_texts({"avg_dau_7d": (5.0, 1.0, -0.2)}) == []
    assert moved_texts({"avg_csat_30d": (4.21, 4.2, 0.2)}) == [], "both read 4.2"
    assert moved_texts({"nps_score": (3.0, 3.0, 0.2)}) == [], "it has not changed"
    assert moved_texts({"avg_csat_30d": (4.21, 4.2, 0.2), "nps_score": (np.nan, 3.0, 0.1)}) == []
    assert moved_texts({"avg_csat_30d": (4.21, 4.2, 0.2), "days_to_renewal": (9.0, 8.0, 0.1)}) == [
        "Renewal is due in 8 days (before: Renewal is due in 9 days)"
    ]


def test_what_hardly_moved_is_not_told_unless_it_is_the_reason_for_the_score() -> None:
    little = {"days_to_renewal": (9.0, 8.0, 0.04), "nps_score": (9.0, 3.0, 0.03)}
    assert moved_texts(little) == []
    assert moved_texts(little, keep_strongest=True) == ["Renewal is due in 8 days (before: Renewal is due in 9 days)"]
    inexplicable = {"avg_csat_30d": (2.0, 4.0, 0.045), "nps_score": (9.0, 9.0, 0.0)}
    assert moved_texts(little | inexplicable, keep_strongest=True) == [], "what moved it most cannot be explained"
    nothing = np.full((1, len(FEATURES)), np.nan)
    assert risk_deltas(nothing, nothing, nothing, np.full(1, np.nan), keep_strongest=True).by_row() == [[]]
