"""The contract of the input events: what producers may send, each field once. JSON Schemas come from here.

The structs are what the decoder makes. What no struct can check, or what costs too much per event, `Meta` declares for
pydantic (`validation.model_of`) and the decoder checks for itself.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from c360_stream.contracts.events.times import EVENT_TIME_END, EVENT_TIME_MIN
from c360_stream.contracts.kinds import InputKind

EVENT_BYTES_MAX = 1_048_576
# Levels of objects and arrays, the event itself being the first. Without a bound of our own, whether an event is
# accepted would depend on how deep the interpreter's stack is where it happens to be decoded.
NESTING_MAX = 256
NAME_CHARACTERS_MAX = 128
# Every integer up to here is exact in a float64, which is what features are computed in.
INTEGER_MAX = 2**53
EVENT_TYPE_PATTERN = "^[a-z][a-z0-9_]*$"
# Reserved together: an event that has both is a heartbeat, in any of the topics.
HEARTBEAT_TYPE = "c360_heartbeat"
HEARTBEAT_ACCOUNT = "c360-heartbeat"

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-](?:[01]\d|2[0-3]):?[0-5]\d)", re.ASCII
)


def parse_rfc3339(text: object) -> datetime:
    """Read an RFC 3339 time with an offset, to the nearest microsecond (a half rounds up).

    As RFC 3339 allows, `t`, `z` and a space for `T` are accepted; beyond it, an offset without its colon.
    A leap second is refused: no clock that counts from the epoch can hold it.

    Raises
    ------
    ValueError
        If `text` is not a string in that form, or is no date of the calendar.

    Examples
    --------
    >>> parse_rfc3339("2024-02-29T12:00:00.1234567+02:00").isoformat()
    '2024-02-29T12:00:00.123457+02:00'
    """
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a string: an RFC 3339 time with an offset")
    date, clock, fraction, offset = match.groups()
    digits = (fraction or "").ljust(7, "0")
    whole = datetime.fromisoformat(f"{date}T{clock}{'Z' if offset in 'Zz' else offset}")
    try:
        return whole + timedelta(microseconds=int(digits[:6]) + (digits[6] >= "5"))
    except OverflowError:
        raise ValueError("must be before the year 10000") from None


def _within_event_time(time: datetime) -> datetime:
    if not EVENT_TIME_MIN <= time < EVENT_TIME_END:
        raise PydanticCustomError("event_time_range", "must be from 1970-01-01 to before 2100-01-01, UTC")
    return time


Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]
Count = Annotated[int, Meta(ge=0, le=INTEGER_MAX)]
_ReadTime = Annotated[datetime, BeforeValidator(parse_rfc3339)]
Time = Annotated[datetime, Meta(tz=True, extra={"model": _ReadTime})]


class Event(msgspec.Struct, gc=False):
    """What every event has. Unknown extra fields are ignored; null in an optional field means absent.

    Billing and support events are distinguished by their class.
    """

    event_id: Name
    """A repeat of the same id in the same topic is a duplicate and counts once."""
    account_id: Name
    occurred_at: Annotated[Time, Meta(extra={"model": Annotated[_ReadTime, AfterValidator(_within_event_time)]})]
    """RFC 3339 with an offset, from 1970 to 2099 (UTC)."""


class ProductEvent(Event):
    """Something that a user did in the product."""

    event_type: Annotated[Name, Meta(extra={"model": Annotated[str, Field(pattern=EVENT_TYPE_PATTERN)]})]
    """Any snake_case name, such as `task_created`; `c360_heartbeat` of the account `c360-heartbeat` is a heartbeat."""
    user_id: Name | None = None
    feature: Name | None = None
    """Feature category; else the configured map from event type to category gives it."""


class _Tagged(Event, tag_field="event_type"):
    pass


class SubscriptionStarted(_Tagged, tag="subscription_started"):
    """The account became, or is again, a customer."""

    plan: Name
    mrr_cents: Count
    """Monthly recurring revenue in minor units."""
    seats: Count
    renewal_at: Time | None = None


class SubscriptionChanged(_Tagged, tag="subscription_changed"):
    """The subscription's terms changed. A field that is absent keeps its value."""

    plan: Name | None = None
    mrr_cents: Count | None = None
    """Monthly recurring revenue in minor units."""
    seats: Count | None = None
    renewal_at: Time | None = None


class SubscriptionCancelled(_Tagged, tag="subscription_cancelled"):
    """The account cancelled: the outcome that risk is the probability of."""

    reason: str | None = None


class _Invoice(_Tagged):
    amount_cents: Count
    attempt: Count | None = None


class InvoicePaid(_Invoice, tag="invoice_paid"):
    """An invoice was paid."""


class InvoicePaymentFailed(_Invoice, tag="invoice_payment_failed"):
    """An attempt to collect an invoice failed."""


class TicketOpened(_Tagged, tag="ticket_opened"):
    """The account asked for help."""

    ticket_id: Name
    priority: Literal["low", "normal", "high", "urgent"]
    subject: str | None = None
    body: str | None = None


class TicketSolved(_Tagged, tag="ticket_solved"):
    """A ticket was solved."""

    ticket_id: Name


class CsatSubmitted(_Tagged, tag="csat_submitted"):
    """An answer to the customer-satisfaction question."""

    score: Annotated[int, Meta(ge=1, le=5)]
    ticket_id: Name | None = None


class NpsSubmitted(_Tagged, tag="nps_submitted"):
    """An answer to the net-promoter question."""

    score: Annotated[int, Meta(ge=0, le=10)]
    comment: str | None = None


class SuccessContacted(_Tagged, tag="success_contacted"):
    """Somebody reached out to the account."""

    playbook: str | None = None
    channel: str | None = None


class HeartbeatSent(_Tagged, tag=HEARTBEAT_TYPE):
    """No event of an account: it passes through the whole flow and measures how long that takes."""

    account_id: Literal["c360-heartbeat"]


EVENTS: dict[InputKind, Any] = {
    "product": ProductEvent,
    "billing": (
        SubscriptionStarted
        | SubscriptionChanged
        | SubscriptionCancelled
        | InvoicePaid
        | InvoicePaymentFailed
        | HeartbeatSent
    ),
    "support": TicketOpened | TicketSolved | CsatSubmitted | NpsSubmitted | SuccessContacted | HeartbeatSent,
}
