"""The fast decoder and the documented contract accept and refuse the same bytes, with equal fields."""

from __future__ import annotations

import itertools
import json
from random import Random

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from c360_stream.contracts.events import (
    HEARTBEAT_ACCOUNT,
    HEARTBEAT_TYPE,
    Decoder,
    Event,
    ProductEvent,
    Refused,
    time_us,
)
from c360_stream.contracts.events.contract import EVENT_BYTES_MAX, NESTING_MAX
from c360_stream.contracts.events.reference import validate_reference
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind

DECODERS = {kind: Decoder(kind) for kind in INPUT_KINDS}

EVENT_TYPES: dict[InputKind, tuple[str, ...]] = {
    "product": ("task_created", "a9_", "x" * 128, "ticket_opened", HEARTBEAT_TYPE),
    "billing": (
        *("subscription_started", "subscription_changed", "subscription_cancelled"),
        *("invoice_paid", "invoice_payment_failed", HEARTBEAT_TYPE),
    ),
    "support": (
        *("ticket_opened", "ticket_solved", "csat_submitted", "nps_submitted", "success_contacted"),
        HEARTBEAT_TYPE,
    ),
}
NO_EVENT_TYPES = ("Task", "task\n", "tâche", "_x", "", "x" * 129, "unheard_of")
# Fields that an event type does not have are ignored, so one event can hold those of every type of its kind.
FIELDS: dict[InputKind, dict[str, str | int]] = {
    "product": {"user_id": "u", "feature": "forms"},
    "billing": {
        "plan": "pro",
        "mrr_cents": 5,
        "seats": 3,
        "renewal_at": "2025-01-01T00:00:00Z",
        "amount_cents": 7,
        "attempt": 1,
        "reason": "",
    },
    "support": {
        "ticket_id": "t",
        "priority": "high",
        "subject": "s",
        "body": "b",
        "score": 4,
        "comment": "c",
        "playbook": "p",
        "channel": "email",
    },
}
ENVELOPE: dict[str, str | int] = {"event_id": "e", "account_id": "a", "occurred_at": "2024-03-05T12:34:56.789Z"}
NAMES = [HEARTBEAT_ACCOUNT, "a", "", "x" * 128, "x" * 129, "é" * 128, "😀" * 128, "😀" * 129, "\x00", "null"]
TIMES = [
    *("2024-03-05T12:34:56Z", "2024-03-05t12:34:56.789z", "2024-03-05 12:34:56+05:30", "2024-03-05T12:34:56-0530"),
    *("2024-03-05T12:34:56+24:00", "2024-03-05T12:34:56+00:60", "2024-03-05T12:34:56-00:00", "2024-03-05T12:34:56+05"),
    *("2024-03-05T12:34:56.1234565Z", "2024-03-05T12:34:59.9999999Z", "2024-03-05T12:34:56.99999949999Z"),
    *("2024-03-05T12:34:56.Z", "2024-03-05T12:34:56,5Z", "2024-03-05T12:34:60Z", "2024-03-05T24:00:00Z"),
    *("2024-03-05T12:34Z", "2024-03-05T12:34:56", "2024-03-05", "20240305T123456Z", "2023-02-29T00:00:00Z"),
    *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.9999999Z"),
    *("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.9999994Z", "1970-01-01T00:00:00+00:01"),
    *("2099-12-31T23:59:59.9999999Z", "2099-12-31T23:59:59.999999-00:01", "٢٠٢٤-03-05T12:34:56Z", "1709642096"),
]
NUMBERS = [
    *(b"null", b"true", b"false", b"0", b"-0", b"-1", b"1", b"5", b"6", b"10", b"11", b"5.0", b"0.0", b"1e2", b"1E400"),
    *(b"01", b"+1", b"1.", b".5", b"1_0", b"0x1", b"NaN", b"Infinity", b"-Infinity", b"nul", b"", b"1 2", b"/**/1"),
    *(b"9007199254740992", b"9007199254740993", b"18446744073709551616", b"9" * 40, b"9" * 4301, b"-" + b"9" * 5000),
]
STRINGS = [
    *(b'"\x01"', b'"\t"', b'"\x7f"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"', b'"\\"'),
    *(rb'"\ud800"', rb'"\udc00"', rb'"\ud83d\ude00"', rb'"\ud83d\u0041"', rb'"\ud800\ud800"', rb'"\u12"', rb'"\q"'),
    *(rb'"\/\b\f"', rb'"\u0000"', b"'a'"),
]
NESTED = [
    *(b"{}", b"[]", b"[1,]", b'{"a":1,}', b'{"a":1,"a":{}}', b'{"\xff":1}', rb'{"\ud800":1}', b"{1:2}", b"[1 2]"),
    *(b"[" * 1500, b'{"a":' * 1500, b"[" + b'"[{",' * 300 + b'"\\"["]', b"[" + b"{}," * 300 + b"1]"),
    *(b"[" * depth + b"]" * depth for depth in (NESTING_MAX - 1, NESTING_MAX, 1500)),
    *(b'{"a":' * depth + b"1" + b"}" * depth for depth in (NESTING_MAX - 1, NESTING_MAX, 1500)),
]


def values_of(kind: InputKind, event_type: str) -> dict[str, str | int]:
    """The fields of an event that both accept."""
    account = {"account_id": HEARTBEAT_ACCOUNT} if event_type == HEARTBEAT_TYPE else {}
    return ENVELOPE | FIELDS[kind] | account | {"event_type": event_type}


def strings(texts: list[str]) -> st.SearchStrategy[bytes]:
    """The texts as JSON strings, escaped or not."""
    return st.builds(
        lambda text, escape: json.dumps(text, ensure_ascii=escape).encode(), st.sampled_from(texts), st.booleans()
    )


TIME_TOKENS = strings(TIMES) | st.builds(
    lambda time, separator, fraction, offset: f'"{time:%Y-%m-%d}{separator}{time:%H:%M:%S}{fraction}{offset}"'.encode(),
    st.datetimes(),
    st.sampled_from("Tt "),
    st.from_regex(r"(\.[0-9]{1,12})?", fullmatch=True),
    st.from_regex(r"Z|z||[+-][0-2][0-9]:?[0-6][0-9]", fullmatch=True),
)
ANY_TOKENS = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(STRINGS),
    st.sampled_from(NESTED),
    st.integers().map(lambda number: str(number).encode()),
    st.text().map(lambda text: json.dumps(text, ensure_ascii=False).encode(errors="surrogatepass")),
)
GOOD_SPACES = st.sampled_from([b"", b" ", b" \n\t\r"])
ODD_SPACES = st.sampled_from([b"", b"\x0b", b"\xc2\xa0", b"\xef\xbb\xbf", b"\x00", b",", b"{}"])


def fitting_tokens(kind: InputKind, name: str) -> st.SearchStrategy[bytes]:
    """Values of the kind that the field takes, its limits, and what lies just beyond them."""
    if name == "event_type":
        return strings([*EVENT_TYPES[kind], *NO_EVENT_TYPES])
    if name.endswith("_at"):
        return TIME_TOKENS
    if isinstance(FIELDS[kind].get(name), int):
        return st.sampled_from(NUMBERS)
    return strings([*NAMES, "low", "urgent", "High"])


def joined(fields: list[tuple[str, bytes]], *, escaped: bool = False, space: bytes = b"") -> bytes:
    """A JSON object of the fields, with names spelt as they are or with their first letter escaped."""
    names = [f"\\u{ord(name[0]):04x}{name[1:]}" if escaped else name for name, _ in fields]
    members = [f'"{name}":'.encode() + value for name, (_, value) in zip(names, fields, strict=True)]
    return space + b"{" + (b"," + space).join(members) + space + b"}" + space


@st.composite
def near_events(draw: st.DrawFn, kind: InputKind) -> bytes:
    """An event of the kind after a few of its fields were replaced, repeated, dropped, or joined by others."""
    values = values_of(kind, draw(st.sampled_from(EVENT_TYPES[kind])))
    fields = [(name, json.dumps(value).encode()) for name, value in values.items()]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(fields) - 1))
        name, value = fields[at]
        token = draw(
            fitting_tokens(kind, name) if draw(st.booleans()) else st.sampled_from([value, b"null"]) | ANY_TOKENS
        )
        match draw(st.sampled_from(["replace", "repeat", "drop", "add"])):
            case "replace":
                fields[at] = (name, token)
            case "repeat":
                fields.insert(draw(st.integers(0, len(fields))), (name, token))
            case "drop":
                del fields[at]
            case _:
                fields.insert(at, ("extra", draw(ANY_TOKENS)))
    return joined(fields, escaped=draw(st.booleans()), space=draw(GOOD_SPACES))


@st.composite
def mutated(draw: st.DrawFn, raw: bytes) -> bytes:
    """The record after it was cut, or a few of its bytes flipped, replaced or inserted."""
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(raw)))
        match draw(st.sampled_from(["truncate", "flip", "cut", "insert"])):
            case "truncate":
                raw = raw[:at]
            case "flip":
                raw = raw[:at] + bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in raw[at : at + 1]) + raw[at + 1 :]
            case "cut":
                raw = raw[:at] + raw[at + draw(st.integers(1, 20)) :]
            case _:
                piece = draw(st.binary(min_size=1, max_size=3) | ODD_SPACES | ANY_TOKENS)
                raw = raw[:at] + piece + raw[at:]
    return raw


def near_records(kind: InputKind) -> st.SearchStrategy[tuple[InputKind, bytes]]:
    return st.tuples(st.just(kind), near_events(kind).flatmap(mutated))


def fields_of(event: Event, model: BaseModel) -> dict[str, object]:
    """The decoded event under the contract's names; what tells the classes apart is a field there."""
    tag = {} if isinstance(event, ProductEvent) else {"event_type": event.__struct_config__.tag}
    return {name: tag[name] if name in tag else getattr(event, name) for name in type(model).model_fields}


def decoded(kind: InputKind, raw: bytes) -> Event | None:
    try:
        return DECODERS[kind].decode(raw)
    except Refused:
        return None


def under_contract(kind: InputKind, raw: bytes) -> BaseModel | None:
    try:
        return validate_reference(kind, raw)
    except ValueError:
        return None


def accepted_alike(kind: InputKind, raw: bytes) -> bool:
    """Whether both accept the record, having asserted that they agree on it."""
    fast, documented = decoded(kind, raw), under_contract(kind, raw)
    assert (fast is None) == (documented is None), f"decoder: {fast!r}, contract: {documented!r}"
    if fast is None or documented is None:
        return False
    assert type(fast).__name__ == type(documented).__name__
    assert fields_of(fast, documented) == dict(documented)
    return True


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.sampled_from(INPUT_KINDS).flatmap(near_records))
def test_decoder_and_contract_agree(record: tuple[InputKind, bytes]) -> None:
    event("accepted" if accepted_alike(*record) else "refused")


@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_decoder_and_contract_agree_on_every_value_in_every_field(kind: InputKind) -> None:
    texts = [*NAMES, *TIMES, *EVENT_TYPES[kind], *NO_EVENT_TYPES, "low", "urgent", "High"]
    tokens = [*NUMBERS, *STRINGS, *NESTED, *(json.dumps(text).encode() for text in texts)]
    for event_type in EVENT_TYPES[kind]:
        values = values_of(kind, event_type)
        good = {name: json.dumps(value).encode() for name, value in values.items()}
        assert accepted_alike(kind, joined(list(good.items())))
        for name, token in itertools.product([*good, "extra"], tokens):
            accepted_alike(kind, joined(list((good | {name: token}).items())))
            accepted_alike(kind, joined([(name, token), *good.items()]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.sampled_from(INPUT_KINDS).flatmap(
        lambda kind: st.tuples(st.just(kind), st.lists(near_records(kind).map(lambda record: record[1]), max_size=20))
    ),
    st.randoms(use_true_random=False),
)
def test_a_block_gives_what_its_records_give_one_by_one(records: tuple[InputKind, list[bytes]], random: Random) -> None:
    kind, raws = records
    good = joined([(name, json.dumps(value).encode()) for name, value in values_of(kind, EVENT_TYPES[kind][0]).items()])
    raws += [good] * 3
    random.shuffle(raws)
    decoder = Decoder(kind)
    expected: list[Event | tuple[str, str]] = []
    for raw in raws:
        try:
            expected.append(Decoder(kind).decode(raw))
        except Refused as refusal:
            expected.append((refusal.reason, refusal.stage))
    for _ in range(2):  # event types are known the second time
        found: dict[int, Event | tuple[str, str]] = {}
        for block in decoder.decode_blocks(raws):
            assert [position for position, _ in block.refused] == sorted(position for position, _ in block.refused)
            assert block.time_us.tolist() == [time_us(event.occurred_at) for event in block.events]
            found |= zip(block.positions, block.events, strict=True)
            found |= {position: (refusal.reason, refusal.stage) for position, refusal in block.refused}
        assert [found[position] for position in range(len(raws))] == expected


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(INPUT_KINDS), st.binary() | ANY_TOKENS)
@example("product", b"")
def test_decoder_and_contract_agree_on_anything_at_all(kind: InputKind, raw: bytes) -> None:
    assert not accepted_alike(kind, raw)


def test_decoder_and_contract_agree_at_the_size_limit() -> None:
    head, tail = b'{"event_type":"x","event_id":"e","account_id":"a","occurred_at":"2024-03-05T12:34:56Z","y":"', b'"}'
    for size, accepted in ((EVENT_BYTES_MAX, True), (EVENT_BYTES_MAX + 1, False)):
        raw = head + b"[" * (size - len(head) - len(tail)) + tail
        assert accepted_alike("product", raw) is accepted
