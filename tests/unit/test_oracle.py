"""The oracle against cases worked out by hand: it judges the flow, so it must not be judged by the flow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.reference.oracle import Event, Outcome, Truth, truth_of


def at(day: int, clock: str = "00:00:00") -> str:
    """A time on a day of January 2024 or later; day 1 is the first."""
    return (datetime(2024, 1, 1) + timedelta(days=day - 1)).strftime("%Y-%m-%d") + f"T{clock}Z"


def tick(day: int) -> datetime:
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day - 1)


def event(occurred_at: str, event_type: str, event_id: str = "", **fields: object) -> Event:
    identity = {"event_id": event_id or f"{event_type} {occurred_at} {fields}", "account_id": "a"}
    return identity | {"event_type": event_type, "occurred_at": occurred_at} | fields


def used(occurred_at: str, event_type: str = "page_viewed", **fields: object) -> Event:
    return event(occurred_at, event_type, f"{event_type} {occurred_at} {fields}") | fields


def started(occurred_at: str, event_id: str = "", **fields: object) -> Event:
    terms = {"plan": "p", "mrr_cents": 100, "seats": 4}
    return event(occurred_at, "subscription_started", event_id) | terms | fields


def cancelled(occurred_at: str, event_id: str = "") -> Event:
    return event(occurred_at, "subscription_cancelled", event_id)


def changed(occurred_at: str, event_id: str = "", **fields: object) -> Event:
    return event(occurred_at, "subscription_changed", event_id, **fields)


def world(*events: Event, until: int, horizon_days: int = 60) -> Truth:
    """The truth of account `a` once the log reaches the midnight of day `until` through another account."""
    topics: dict[str, list[Event]] = {"product": [], "billing": [], "support": []}
    for one in events:
        billing = one["event_type"].startswith(("subscription_", "invoice_paid", "invoice_payment_failed"))
        support = one["event_type"] in {"ticket_opened", "csat_submitted", "nps_submitted"}
        topics["billing" if billing else "support" if support else "product"].append(one)
    topics["product"].append(used(at(until)) | {"account_id": "clock"})
    return truth_of(topics, horizon_days)


def ticks(truth: Truth) -> list[int]:
    return [(as_of - tick(1)).days + 1 for account, as_of in truth.features if account == "a"]


def feature(truth: Truth, name: str, day: int) -> float | None:
    return truth.features["a", tick(day)][name]


def test_ticks_run_from_the_midnight_after_the_first_event_to_the_watermark() -> None:
    assert ticks(world(used(at(1, "23:59:59.999999")), until=4)) == [2, 3, 4]
    assert ticks(world(used(at(2)), until=4)) == [3, 4]
    assert ticks(world(used("2024-01-02T01:00:00+05:30"), until=3)) == [2, 3]


def test_a_cancelled_account_has_no_ticks_until_it_starts_again() -> None:
    truth = world(started(at(1, "08:00:00")), cancelled(at(3)), changed(at(4)), started(at(6)), until=8)
    assert ticks(truth) == [2, 3, 7, 8]


def test_at_one_instant_the_greater_id_comes_last() -> None:
    now = at(2, "12:00:00")
    assert ticks(world(used(at(1)), cancelled(now, "1"), started(now, "2"), until=3)) == [2, 3]
    assert ticks(world(used(at(1)), cancelled(now, "2"), started(now, "1"), until=3)) == [2]


def test_daily_users_are_distinct_by_day_and_events_without_a_user_count_as_activity_only() -> None:
    truth = world(
        *(used(at(1, f"0{n}:00:00"), user_id="u") for n in range(5)),
        *(used(at(2), user_id="u"), used(at(2, "01:00:00"), user_id="v")),
        *(used(at(3, "06:00:00")), used(at(4), user_id="v")),
        started(at(1), seats=4),
        until=9,
    )
    assert feature(truth, "avg_dau_7d", 4) == 3 / 7
    assert feature(truth, "avg_dau_30d", 4) == 3 / 30
    assert feature(truth, "usage_trend_ratio_7d_30d", 4) == pytest.approx(30 / 7)
    assert feature(truth, "active_days_30d", 4) == 3
    assert feature(truth, "seat_utilization_30d", 4) == 2 / 4
    assert feature(truth, "days_since_last_activity", 4) == 0.75
    assert feature(truth, "days_since_last_activity", 9) == 5
    assert feature(truth, "avg_dau_7d", 9) == 3 / 7, "days 2 to 8"
    assert feature(truth, "account_age_days", 9) == 8


def test_windows_are_complete_dates() -> None:
    truth = world(used(at(1), "invite_sent", user_id="u"), until=33)
    assert feature(truth, "invites_sent_30d", 31) == 1
    assert feature(truth, "invites_sent_30d", 32) == 0
    assert feature(truth, "usage_trend_ratio_7d_30d", 31) == 0
    assert feature(truth, "usage_trend_ratio_7d_30d", 32) is None


def test_actions_categories_and_comments() -> None:
    truth = world(
        *(used(at(1), "task_created"), used(at(20), "comment_added", user_id="u")),
        *(used(at(20, "01:00:00"), "comment_added"), used(at(21), "board_created", feature="api_access")),
        *(used(at(21), "api_called"), used(at(22), "page_viewed", feature="hidden")),
        *(used(at(22), "gantt_opened", feature=None), used(at(22), "invite_sent")),
        *(used(at(22), "export_requested"), used(at(22), "search_run")),
        until=23,
    )
    assert feature(truth, "action_trend_ratio_7d_30d", 23) == pytest.approx((2 / 7) / (3 / 30))
    assert feature(truth, "features_adopted_30d", 23) == 3, "api_access, gantt_charts, team_invites"
    assert feature(truth, "users_commenting_30d", 23) == 1
    assert feature(truth, "export_requests_30d", 23) == 1


def test_mrr_and_downgrades() -> None:
    truth = world(
        used(at(1)),
        event(at(2), "invoice_paid", amount_cents=5),
        *(changed(at(3), mrr_cents=100), changed(at(4), mrr_cents=90), changed(at(5), seats=0)),
        until=96,
    )
    by_day = [feature(truth, "mrr_cents", day) for day in (2, 3, 4, 5, 6)]
    assert by_day == [None, 0, 100, 90, 90]
    assert [feature(truth, "downgraded_90d", day) for day in (4, 5, 94, 95)] == [0, 1, 1, 0]
    assert feature(truth, "seat_utilization_30d", 6) is None


def test_a_cancellation_takes_the_mrr_and_a_start_forgets_the_renewal() -> None:
    truth = world(
        *(started(at(1), renewal_at=at(11, "12:00:00")), changed(at(2), mrr_cents=50)),
        *(cancelled(at(3)), started(at(3, "01:00:00"), mrr_cents=10), changed(at(5), renewal_at=at(4))),
        until=6,
    )
    assert [feature(truth, "days_to_renewal", day) for day in (2, 3, 4, 6)] == [9.5, 8.5, None, -2]
    assert [feature(truth, "mrr_cents", day) for day in (2, 3, 4)] == [100, 50, 10]
    assert feature(truth, "downgraded_90d", 4) == 1, "from 100 to 50; a start is no downgrade"


def test_support_features() -> None:
    truth = world(
        *(event(at(1), "ticket_opened", priority=p, ticket_id=p) for p in ("low", "high", "urgent")),
        *(event(at(2), "csat_submitted", score=score) for score in (1, 4)),
        event(at(2), "nps_submitted", "b", score=3),
        event(at(2), "nps_submitted", "a", score=9),
        until=40,
    )
    names = ("support_tickets_30d", "urgent_tickets_30d", "avg_csat_30d", "nps_score")
    assert [feature(truth, name, 3) for name in names] == [3, 2, 2.5, 3]
    assert [feature(truth, name, 40) for name in names] == [0, 0, None, 3]
    assert feature(truth, "days_since_last_activity", 40) is None


def test_a_repeated_id_counts_once_in_its_topic() -> None:
    truth = world(*[used(at(1), "invite_sent", event_id="same")] * 3, started(at(1), "same"), until=2)
    assert feature(truth, "invites_sent_30d", 2) == 1
    assert feature(truth, "mrr_cents", 2) == 100


def test_outcomes_are_known_at_a_tick_or_not_at_all() -> None:
    truth = world(used(at(1)), cancelled(at(6)), started(at(6, "01:00:00")), until=10, horizon_days=3)
    found = {(as_of - tick(1)).days + 1: o for (name, as_of), o in truth.outcomes.items() if name == "a"}
    kept, lost = [2, 3, 7], [4, 5, 6]
    assert found == {day: Outcome(False, tick(day + 3)) for day in kept} | {day: Outcome(True, tick(7)) for day in lost}


def test_a_cancellation_after_the_last_tick_is_not_known() -> None:
    events = {"billing": [started(at(1)), cancelled(at(3, "00:00:01"))]}
    truth = truth_of(events, horizon_days=30)
    assert ticks(truth) == [2, 3]
    assert truth.outcomes == {}
