"""What the decoder gives, what it refuses, and what it says about a refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.contracts.events import (
    EPOCH,
    HEARTBEAT_ACCOUNT,
    HEARTBEAT_TYPE,
    CsatSubmitted,
    Decoder,
    Event,
    HeartbeatSent,
    InvoicePaid,
    InvoicePaymentFailed,
    NpsSubmitted,
    ProductEvent,
    Refused,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionStarted,
    SuccessContacted,
    TicketOpened,
    TicketSolved,
    time_us,
    times_us,
)
from c360_stream.contracts.events.contract import EVENT_BYTES_MAX, NESTING_MAX
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind

ENVELOPE = ("e", "a", datetime(2024, 3, 5, 12, 34, 56, 789_000, tzinfo=UTC))
HEARTBEAT = {"event_type": HEARTBEAT_TYPE, "account_id": HEARTBEAT_ACCOUNT}
RENEWAL = datetime(2025, 1, 1, tzinfo=UTC)


def raw_event(**fields: Any) -> bytes:
    envelope = {"event_id": "e", "account_id": "a", "occurred_at": "2024-03-05T12:34:56.789Z"}
    return json.dumps(envelope | fields).encode()


def refusal(kind: InputKind, raw: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        Decoder(kind).decode(raw)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (
            "product",
            {"event_type": "task_created", "user_id": "u", "feature": "forms", "extra": [{}]},
            ProductEvent(*ENVELOPE, "task_created", "u", "forms"),
        ),
        ("product", {"event_type": "page_viewed", "user_id": None}, ProductEvent(*ENVELOPE, "page_viewed")),
        (
            "billing",
            {"event_type": "subscription_started", "plan": "pro", "mrr_cents": 5, "seats": 0}
            | {"renewal_at": "2025-01-01T02:00:00+02:00"},
            SubscriptionStarted(*ENVELOPE, "pro", 5, 0, RENEWAL),
        ),
        ("billing", {"event_type": "subscription_changed", "seats": 9}, SubscriptionChanged(*ENVELOPE, seats=9)),
        ("billing", {"event_type": "subscription_cancelled"}, SubscriptionCancelled(*ENVELOPE)),
        ("billing", {"event_type": "invoice_paid", "amount_cents": 7}, InvoicePaid(*ENVELOPE, 7)),
        (
            "billing",
            {"event_type": "invoice_payment_failed", "amount_cents": 7, "attempt": 2},
            InvoicePaymentFailed(*ENVELOPE, 7, 2),
        ),
        (
            "support",
            {"event_type": "ticket_opened", "ticket_id": "t", "priority": "urgent", "body": ""},
            TicketOpened(*ENVELOPE, "t", "urgent", body=""),
        ),
        ("support", {"event_type": "ticket_solved", "ticket_id": "t"}, TicketSolved(*ENVELOPE, "t")),
        ("support", {"event_type": "csat_submitted", "score": 5}, CsatSubmitted(*ENVELOPE, 5)),
        ("support", {"event_type": "nps_submitted", "score": 0}, NpsSubmitted(*ENVELOPE, 0)),
        (
            "support",
            {"event_type": "success_contacted", "channel": "email"},
            SuccessContacted(*ENVELOPE, channel="email"),
        ),
        ("billing", HEARTBEAT, HeartbeatSent("e", "c360-heartbeat", ENVELOPE[2])),
        ("support", HEARTBEAT, HeartbeatSent("e", "c360-heartbeat", ENVELOPE[2])),
        ("product", HEARTBEAT, ProductEvent("e", HEARTBEAT_ACCOUNT, ENVELOPE[2], HEARTBEAT_TYPE)),
        ("product", {"event_type": HEARTBEAT_TYPE}, ProductEvent(*ENVELOPE, HEARTBEAT_TYPE)),
    ],
)
def test_every_event_type_is_decoded(kind: InputKind, fields: dict[str, Any], expected: Event) -> None:
    assert Decoder(kind).decode(raw_event(**fields)) == expected


@pytest.mark.parametrize(
    ("kind", "raw", "reason"),
    [
        ("product", raw_event(), "Object missing required field `event_type`"),
        ("product", raw_event(event_type="Secret Plan"), "event_type: must be a snake_case name"),
        ("product", raw_event(event_type="x", user_id="secret" * 99), "user_id: Expected `str` of length <= 128"),
        ("product", raw_event(event_type="x", event_id=""), "event_id: Expected `str` of length >= 1"),
        (
            "product",
            raw_event(event_type="x", occurred_at="2100-01-01T00:00:00Z"),
            "occurred_at: must be from 1970-01-01 to before 2100-01-01, UTC",
        ),
        (
            "product",
            raw_event(event_type="x", occurred_at="2024-03-05T12:34:56"),
            "occurred_at: Expected `datetime` with a timezone component",
        ),
        ("product", raw_event(event_type="x", occurred_at=5), "occurred_at: Expected `datetime`, got `int`"),
        ("product", b'{"secret"', "Input data was truncated"),
        ("product", b"[]", "Expected `object`, got `array`"),
        ("product", raw_event(event_type="x", more="secret").replace(b"secret", b"\xff"), "not UTF-8"),
        ("billing", raw_event(event_type="secret ` - at `$.plan`"), "event_type: unknown value"),
        ("billing", raw_event(event_type="invoice_paid", amount_cents=-1), "amount_cents: Expected `int` >= 0"),
        (
            "billing",
            raw_event(event_type="invoice_paid", amount_cents=5.0),
            "amount_cents: Expected `int`, got `float`",
        ),
        (
            "support",
            raw_event(event_type="ticket_opened", ticket_id="t", priority="secret"),
            "priority: unknown value",
        ),
        ("support", raw_event(event_type="nps_submitted", score=11), "score: Expected `int` <= 10"),
        ("billing", raw_event(event_type=HEARTBEAT_TYPE), "event_type: unknown value"),
        ("support", raw_event(event_type=HEARTBEAT_TYPE, account_id="secret"), "event_type: unknown value"),
    ],
)
def test_a_refusal_names_the_field_and_the_rule(kind: InputKind, raw: bytes, reason: str) -> None:
    refused = refusal(kind, raw)
    assert (refused.stage, refused.reason, str(refused)) == ("decode", reason, reason)


@settings(deadline=None)
@given(st.sampled_from(INPUT_KINDS), st.dictionaries(st.sampled_from(["event_type", "priority", "plan"]), st.text()))
def test_a_refusal_never_repeats_the_record(kind: InputKind, fields: dict[str, str]) -> None:
    secret = {name: f"s3cr3t{text}" for name, text in fields.items()}
    assert "s3cr3t" not in refusal(kind, raw_event(**secret, account_id="s3cr3t" * 99)).reason


def test_a_record_over_the_limit_is_refused_unread() -> None:
    refused = refusal("product", b"x" * (EVENT_BYTES_MAX + 1))
    assert (refused.stage, refused.reason) == ("size", "over 1048576 bytes")


@pytest.mark.parametrize("unit", [b"[", b'{"a":', b'["\\"', b'"[\\"'])
def test_megabytes_of_nesting_are_refused(unit: bytes) -> None:
    assert refusal("product", b'{"extra":' + unit * (EVENT_BYTES_MAX // len(unit) - 9)).stage == "decode"


def test_nesting_is_bounded_and_brackets_in_text_do_not_count() -> None:
    levels = NESTING_MAX - 1  # the event itself is one
    raw = raw_event(event_type="x", text="[{" * 999 + '"\\', extra="?")
    Decoder("product").decode(raw.replace(b'"?"', b"[" * levels + b"]" * levels))
    Decoder("product").decode(raw.replace(b'"?"', b"[" + b"[]," * 999 + b"[]]"))
    too_deep = raw.replace(b'"?"', b"[" * (levels + 1) + b"]" * (levels + 1))
    assert refusal("product", too_deep).reason == "nested deeper than 256 levels"


def test_event_types_without_end_do_not_fill_the_memory() -> None:
    decoder = Decoder("product")
    for number in range(5000):
        assert isinstance(decoder.decode(raw_event(event_type=f"type_{number}")), ProductEvent)
    assert len(decoder._event_types) == 4096


OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(deadline=None)
@given(st.lists(st.datetimes(timezones=OFFSETS | st.just(UTC))))
def test_times_are_exact_microseconds(times: list[datetime]) -> None:
    exact = [(time - EPOCH) // timedelta(microseconds=1) for time in times]
    assert [time_us(time) for time in times] == exact
    assert times_us(times).tolist() == exact
