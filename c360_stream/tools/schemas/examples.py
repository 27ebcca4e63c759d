"""Examples of the document, and the headers of dead letters. A test holds each against its schema and its contract."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from c360_stream.contracts.events import HEARTBEAT_ACCOUNT, HEARTBEAT_TYPE, time_us
from c360_stream.contracts.records import alarm_id, score_id

_TICK_US = time_us(datetime(2025, 3, 6, tzinfo=UTC))
_ALARM_US = time_us(datetime(2025, 3, 10, tzinfo=UTC))


def _event(number: int, occurred_at: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": f"e-{number}", "account_id": "acme", "occurred_at": occurred_at, **fields}


EVENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ProductEvent": (
        "Something that a user did in the product.",
        _event(1, "2025-03-05T09:30:00Z", event_type="task_created", user_id="u-7"),
    ),
    "SubscriptionStarted": (
        "The account became, or is again, a customer.",
        _event(
            2,
            "2025-01-01T00:00:00Z",
            event_type="subscription_started",
            plan="team",
            mrr_cents=49_900,
            seats=25,
            renewal_at="2026-01-01T00:00:00Z",
        ),
    ),
    "SubscriptionChanged": (
        "The subscription's terms changed; a field that is absent keeps its value.",
        _event(3, "2025-02-10T14:05:00+01:00", event_type="subscription_changed", mrr_cents=29_900, seats=15),
    ),
    "SubscriptionCancelled": (
        "The account cancelled.",
        _event(4, "2025-04-02T16:20:00Z", event_type="subscription_cancelled", reason="price"),
    ),
    "InvoicePaid": (
        "An invoice was paid.",
        _event(5, "2025-02-01T06:00:00Z", event_type="invoice_paid", amount_cents=49_900),
    ),
    "InvoicePaymentFailed": (
        "An attempt to collect an invoice failed.",
        _event(6, "2025-03-01T06:00:00Z", event_type="invoice_payment_failed", amount_cents=29_900, attempt=1),
    ),
    "TicketOpened": (
        "The account asked for help.",
        _event(7, "2025-03-04T11:00:00Z", event_type="ticket_opened", ticket_id="t-12", priority="high"),
    ),
    "TicketSolved": (
        "A ticket was solved.",
        _event(8, "2025-03-06T08:45:00Z", event_type="ticket_solved", ticket_id="t-12"),
    ),
    "CsatSubmitted": (
        "An answer to the customer-satisfaction question.",
        _event(9, "2025-03-06T09:00:00Z", event_type="csat_submitted", score=2, ticket_id="t-12"),
    ),
    "NpsSubmitted": (
        "An answer to the net-promoter question.",
        _event(10, "2025-03-10T12:00:00Z", event_type="nps_submitted", score=6),
    ),
    "HeartbeatSent": (
        "What `c360 heartbeat` sends: no event of an account.",
        _event(12, "2025-03-12T10:00:00.123Z", event_type=HEARTBEAT_TYPE) | {"account_id": HEARTBEAT_ACCOUNT},
    ),
    "SuccessContacted": (
        "Somebody reached out to the account.",
        _event(11, "2025-03-12T10:00:00Z", event_type="success_contacted", playbook="adoption-call", channel="phone"),
    ),
}

RISK_SCORES: list[dict[str, Any]] = [
    {
        "name": "tick",
        "summary": "The daily score.",
        "payload": {
            "score_id": score_id("acme", _TICK_US, "tick"),
            "account_id": "acme",
            "as_of": "2025-03-06T00:00:00.000Z",
            "produced_at": "2025-03-06T01:00:03.512Z",
            "risk": 0.31,
            "horizon_days": 60,
            "tier": "high",
            "previous_tier": "medium",
            "risk_change": 0.09,
            "mrr_cents": 29_900,
            "mrr_at_risk_cents": 9_269,
            "reasons": [
                {
                    "feature": "avg_dau_7d",
                    "value": 0.3,
                    "contribution": 0.84,
                    "text": "Only 0.3 active users a day on average over 7 days",
                }
            ],
            "model_name": "online-logistic-blend",
            "model_version": "2025-03-06-0a4f1c229d3e",
            "feature_version": 1,
            "trigger": "tick",
            "moved": [
                {
                    "feature": "payment_failures_30d",
                    "before": 0.0,
                    "value": 1.0,
                    "contribution": 0.41,
                    "text": "1 payment failure in 30 days (before: No payment failures in 30 days)",
                }
            ],
            "risk_curve": [{"horizon_days": 30, "risk": 0.18}, {"horizon_days": 60, "risk": 0.31}],
            "segment": "at_risk",
            "expected_months": 7.4,
            "lifetime_value_cents": 168_000,
            "mitigations": [
                {
                    "feature": "nps_score",
                    "value": 9.0,
                    "contribution": -0.12,
                    "text": "The latest NPS answer was 9 of 10",
                }
            ],
        },
    }
]

DRIFT_ALARMS: list[dict[str, Any]] = [
    {
        "name": "feature_drift",
        "payload": {
            "alarm_id": alarm_id(_ALARM_US, "feature_drift", "nps_score", "psi"),
            "raised_at": "2025-03-10T01:00:04.000Z",
            "as_of": "2025-03-10T00:00:00.000Z",
            "kind": "feature_drift",
            "subject": "nps_score",
            "method": "psi",
            "statistic": 0.24,
            "threshold": 0.2,
            "severity": "critical",
            "action": "look at the source of the feature",
            "detail": "Median of nps_score moved from 8 to 6, against the weeks before.",
        },
    }
]

HEARTBEATS: list[dict[str, Any]] = [
    {
        "name": "passed_through",
        "payload": {
            "topic": "c360.support.events.v1",
            "partition": 3,
            "sent_at": "2025-03-12T10:00:00.123Z",
            "produced_at": "2025-03-12T10:00:00.481Z",
        },
    }
]

_CONNECT = "__connect.errors."
DEAD_LETTER_HEADERS: dict[str, Any] = {
    "type": "object",
    "description": "Values are UTF-8. The headers of the refused record come first, unchanged.",
    "properties": {
        f"{_CONNECT}topic": {"type": "string", "description": "Where the refused record is: topic,"},
        f"{_CONNECT}partition": {"type": "string", "pattern": "^[0-9]+$", "description": "partition,"},
        f"{_CONNECT}offset": {"type": "string", "pattern": "^[0-9]+$", "description": "and offset."},
        f"{_CONNECT}stage": {
            "type": "string",
            "description": "The step that refused it: `size`, unread, or `decode`.",
        },
        f"{_CONNECT}exception.class.name": {"type": "string"},
        f"{_CONNECT}exception.message": {
            "type": "string",
            "description": "Names the field and the rule, never a value of the record.",
        },
        "c360.truncated": {"const": "true", "description": "The value was cut to 8 MiB."},
        "__c360.redriven.from": {
            "type": "string",
            "description": "`c360 redrive` sent it from this dead letter: topic/partition/offset.",
        },
        "__c360.redriven.times": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "How often it has been redriven.",
        },
    },
    "required": [
        f"{_CONNECT}{name}"
        for name in ("topic", "partition", "offset", "stage", "exception.class.name", "exception.message")
    ],
}
DEAD_LETTERS: list[dict[str, Any]] = [
    {
        "name": "missing_field",
        "summary": "An event without `occurred_at`.",
        "headers": {
            f"{_CONNECT}topic": "c360.support.events.v1",
            f"{_CONNECT}partition": "3",
            f"{_CONNECT}offset": "1041",
            f"{_CONNECT}stage": "decode",
            f"{_CONNECT}exception.class.name": "Refused",
            f"{_CONNECT}exception.message": "Object missing required field `occurred_at`",
        },
        "payload": '{"event_id":"e-12","account_id":"acme","event_type":"ticket_solved","ticket_id":"t-12"}',
    }
]
