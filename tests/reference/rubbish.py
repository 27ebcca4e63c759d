"""Lines that must be refused, whatever else happens, and mutations that may or may not be."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import timedelta

from tests.reference.oracle import Event, parse_time

MIB = 1 << 20
ZEROS = ("1970-01-01T00:00:00Z", "1980-01-06T00:00:00Z", "2000-01-01T00:00:00+00:00", "2001-01-01T00:00:00Z")
Spoil = Callable[[Event, random.Random], bytes]


def encode(event: Event, *, ascii_only: bool = False) -> bytes:
    """An event as a line of JSON, without the line's end."""
    return json.dumps(event, ensure_ascii=ascii_only).encode()


def with_fields(**fields: object) -> Spoil:
    """Overwrite fields."""
    return lambda event, _: encode(event | fields)


def without(name: str) -> Spoil:
    """Leave a field out."""
    return lambda event, _: encode({key: value for key, value in event.items() if key != name})


def truncated(event: Event, draw: random.Random) -> bytes:
    """Break the line off in the middle."""
    line = encode(event, ascii_only=True)
    return line[: draw.randrange(1, len(line) - 1)]


def too_long(event: Event, _: random.Random) -> bytes:
    """Well-formed, but over 1 MiB."""
    return encode(event | {"extra": "x" * MIB})


def ahead(event: Event, _: random.Random) -> bytes:
    """A year after everything else in the log."""
    at = parse_time(event["occurred_at"]) + timedelta(days=400)
    return encode(event | {"occurred_at": at.isoformat()})


def zero(event: Event, draw: random.Random) -> bytes:
    """A time that some program takes for none: zero since its epoch."""
    return encode(event | {"occurred_at": draw.choice(ZEROS)})


def naive(event: Event, _: random.Random) -> bytes:
    """A time without an offset."""
    return encode(event | {"occurred_at": event["occurred_at"][:19]})


def not_utf8(event: Event, _: random.Random) -> bytes:
    """Bytes that are no text."""
    return encode(event).replace(b'"event_id": "', b'"event_id": "\xff\xfe')


ANY_TOPIC: dict[str, Spoil] = {
    "not json": lambda _, __: b"GET / HTTP/1.1",
    "blank": lambda _, __: b"",
    "spaces": lambda _, __: b"   ",
    "null": lambda _, __: b"null",
    "number": lambda _, draw: str(draw.randint(0, 10**30)).encode(),
    "an array": lambda event, _: b"[" + encode(event) + b"]",
    "two values": lambda event, _: encode(event) + b" " + encode(event),
    "truncated": truncated,
    "control characters": lambda _, __: b"\x00\x01\x02\x1b[2J",
    "not utf-8": not_utf8,
    "too long": too_long,
    "deep": lambda _, __: b"[" * 5_000 + b"]" * 5_000,
    "no event_id": without("event_id"),
    "no account_id": without("account_id"),
    "no event_type": without("event_type"),
    "no occurred_at": without("occurred_at"),
    "null account": with_fields(account_id=None),
    "account is a number": with_fields(account_id=17),
    "empty account": with_fields(account_id=""),
    "long account": with_fields(account_id="é" * 129),
    "empty id": with_fields(event_id=""),
    "long id": with_fields(event_id="x" * 129),
    "type is a list": with_fields(event_type=["page_viewed"]),
    "time is a word": with_fields(occurred_at="yesterday"),
    "time is a number": with_fields(occurred_at=1704067200),
    "no such date": with_fields(occurred_at="2024-02-30T00:00:00Z"),
    "date only": with_fields(occurred_at="2024-02-03"),
    "naive": naive,
    "year 9999": with_fields(occurred_at="9999-12-31T23:59:59Z"),
    "a year ahead": ahead,
    "a zero": zero,
}
ONE_TOPIC: dict[str, dict[str, Spoil]] = {
    "product": {
        "user is an object": with_fields(user_id={"id": 1}),
        "feature is a number": with_fields(feature=3.5),
        "not snake case": with_fields(event_type="Page Viewed!"),
    },
    "billing": {
        "unknown type": with_fields(event_type="subscription_paused"),
        "money is a word": with_fields(event_type="invoice_paid", amount_cents="twelve"),
        "money is NaN": with_fields(event_type="invoice_paid", amount_cents=float("nan")),
        "money is a fraction": with_fields(event_type="subscription_changed", mrr_cents=12.5),
        "started without plan": with_fields(event_type="subscription_started", plan=None),
        "seats is a list": with_fields(event_type="subscription_changed", seats=[3]),
        "renewal is a word": with_fields(event_type="subscription_changed", renewal_at="soon"),
    },
    "support": {
        "unknown type": with_fields(event_type="ticket_eaten"),
        "csat too high": with_fields(event_type="csat_submitted", score=6),
        "csat too low": with_fields(event_type="csat_submitted", score=0),
        "nps too high": with_fields(event_type="nps_submitted", score=11),
        "nps negative": with_fields(event_type="nps_submitted", score=-1),
        "score is infinite": with_fields(event_type="nps_submitted", score=float("inf")),
        "unknown priority": with_fields(event_type="ticket_opened", ticket_id="1", priority="whenever"),
        "ticket without id": with_fields(event_type="ticket_solved", ticket_id=None),
    },
}
NEEDS_A_PAST = ("year 9999", "a year ahead")
OUT_OF_TIME = (*NEEDS_A_PAST, "a zero")


def rubbish_line(topic: str, event: Event, draw: random.Random, *, past: bool = True) -> bytes:
    """Spoil an event of `topic` so that it must be refused.

    Times far ahead can be told only against others: they are left out while there is no `past`.
    """
    kinds = ANY_TOPIC | ONE_TOPIC[topic]
    names = [name for name in kinds if past or name not in NEEDS_A_PAST]
    name = draw.choice(names)
    if name == "too long" and draw.random() < 0.7:  # each costs a mebibyte
        name = "blank"
    return kinds[name](event, draw)


def mutated_line(event: Event, draw: random.Random) -> bytes:
    """Mutate an event blindly: the line may still be valid, and mean something else."""
    line = bytearray(encode(event, ascii_only=draw.random() < 0.5))
    kind = draw.choice(("bytes", "cut", "value", "value", "time", "duplicate key", "splice", "deep", "long"))
    if kind == "bytes":
        for _ in range(draw.randint(1, 8)):
            line[draw.randrange(len(line))] = draw.randrange(256)
    elif kind == "cut":
        del line[draw.randrange(len(line)) : draw.randrange(len(line) + 1)]
    elif kind == "value":
        values: tuple[object, ...] = (
            10**400,
            -(2**63) - 1,
            2**64,
            1e308,
            float("nan"),
            -0.0,
            "\ud800",
            "\0",
            "",
            [],
            {},
            None,
        )
        line = bytearray(encode(event | {draw.choice(list(event)): draw.choice(values)}, ascii_only=True))
    elif kind == "time":
        line = bytearray(encode(event | {"occurred_at": draw.choice(STRANGE_TIMES)}))
    elif kind == "duplicate key":
        line[1:1] = b'"account_id": "other", "score": -1, "event_type": "x", '
    elif kind == "splice":
        at = draw.randrange(len(line))
        line[at:at] = line[draw.randrange(len(line)) :]
    elif kind == "long":
        line[1:1] = b'"extra": "' + b"x" * (2 * MIB if draw.random() < 0.02 else 20_000) + b'",'
    else:
        line[1:1] = b'"extra": ' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b","
    return bytes(line).replace(b"\n", b" ")


STRANGE_TIMES = (
    "0001-01-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "1677-09-21T00:12:43Z",
    "1969-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999999Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "+12024-01-01T00:00:00Z",
    "2024-02-01T24:00:00Z",
    "2016-12-31T23:59:60Z",
    "2024-02-01t00:00:00z",
    "2024-02-01 00:00:00Z",
    "2024-02-01T00:00:00.123456789123Z",
    "2024-02-01T00:00:00+99:99",
    "2024-W05-4T00:00:00Z",
    "20240201T000000Z",
    "2024-02-01T00:00:00\u221208:00",
)
