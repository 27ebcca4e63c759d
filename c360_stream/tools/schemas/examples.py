"""Examples of the document, and the headers of dead letters. A test holds each against its schema and its contract."""

from __future__ import annotations

from typing import Any, get_args

from msgspec import Struct, to_builtins
from msgspec.structs import fields

from c360_stream.contracts.events import HEARTBEAT_ACCOUNT, HEARTBEAT_TYPE
from c360_stream.contracts.records import DriftAlarm, Heartbeat, Refusal, RiskScore


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


def example_of(record: type[Struct]) -> dict[str, Any]:
    """A record as published, of the examples that its fields declare; a list without has one of what it lists."""
    return {field.encode_name: _example(field.type) for field in fields(record)}


def _example(kind: Any) -> Any:
    given = [meta.examples[0] for meta in getattr(kind, "__metadata__", ()) if meta.examples]
    return to_builtins(given[-1]) if given else [example_of(*get_args(kind))]


RISK_SCORES = [{"name": "tick", "summary": "The daily score.", "payload": example_of(RiskScore)}]
DRIFT_ALARMS = [{"name": "feature_drift", "payload": example_of(DriftAlarm)}]
HEARTBEATS = [{"name": "passed_through", "payload": example_of(Heartbeat)}]

_REFUSED = {name: value.decode() for name, value in Refusal(**example_of(Refusal)).connect_headers()}
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
    "required": list(_REFUSED),
}
DEAD_LETTERS: list[dict[str, Any]] = [
    {
        "name": "missing_field",
        "summary": "An event without `occurred_at`.",
        "headers": _REFUSED,
        "payload": '{"event_id":"e-12","account_id":"acme","event_type":"ticket_solved","ticket_id":"t-12"}',
    }
]
