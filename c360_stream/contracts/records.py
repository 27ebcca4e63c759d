"""The output records: risk scores, drift alarms, heartbeats, dead letters. JSON Schemas come from here."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, get_args

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from xxhash import xxh3_128_hexdigest

Tier = Literal["low", "medium", "high", "critical"]
TIERS: tuple[str, ...] = get_args(Tier)
"""Ascending; a tier of the scorers is an index into it."""
Trigger = Literal["tick", "event"]
AlarmKind = Literal[
    "feature_drift",
    "score_drift",
    "concept_drift",
    "label_delay",
    "performance",
    "volume",
    "freshness",
    "completeness",
]
Segment = Literal["at_risk", "dormant", "new", "shrinking", "growing", "loyal", "steady"]
Severity = Literal["warning", "critical"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_time(us: int) -> datetime:
    """The time that is `us` microseconds after the Unix epoch, UTC.

    Raises
    ------
    OverflowError
        If it is outside the years 1 to 9999.
    """
    return _EPOCH + timedelta(microseconds=us)


def rfc3339_ms(us: int) -> str:
    """The time that is `us` microseconds after the Unix epoch, in RFC 3339; cut to milliseconds, as tables hold it.

    >>> rfc3339_ms(1_709_642_096_789_999)
    '2024-03-05T12:34:56.789Z'
    """
    return _in_utc(utc_time(us))


def score_id(account_id: str, as_of_us: int, trigger: Trigger) -> str:
    """Id of a risk score: the same score has the same id in every run and every process.

    >>> score_id("acct_1", 0, "tick")
    'a47507ab7566f5149e94fcc0effceea0'
    """
    return _digest((account_id, as_of_us, trigger))


def alarm_id(as_of_us: int, kind: AlarmKind, subject: str, method: str) -> str:
    """Id of a drift alarm: the same alarm has the same id in every run and every process.

    >>> alarm_id(0, "feature_drift", "nps_score", "psi")
    'b9ee35a75d3a8a130a9089996731c3ab'
    """
    return _digest((as_of_us, kind, subject, method))


def _digest(parts: tuple[str | int, ...]) -> str:
    # JSON keeps apart what joining would not: ("a", "bc") and ("ab", "c").
    return xxh3_128_hexdigest(_ENCODER.encode(parts))


def _in_utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[
    AwareDatetime,
    PlainSerializer(_in_utc, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Cents = Annotated[int, Field(ge=0)]


class _Record(BaseModel):
    # `extra` stays open, so that a reader with today's schema accepts a record with tomorrow's extra field.
    model_config = ConfigDict(
        strict=True, extra="ignore", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )


class Reason(_Record):
    """Why an account's risk is what it is: one topic's part in it, told by one of the topic's features."""

    feature: str
    """Or `model`: no single topic can be told, and the contribution is what all that raise the risk add together."""
    value: float | None
    """The feature's value; null where its definition has none."""
    contribution: float
    """Of the whole topic, in log-odds, signed: positive raises the risk."""
    text: str
    """A sentence that a customer-success manager understands."""


class Move(_Record):
    """What moved an account's risk since its last score: one topic's part in it, told by one of its features."""

    feature: str
    """Or `model`: what the model has learnt since then."""
    before: float | None
    """The feature's value at the last score; null where its definition had none."""
    value: float | None
    contribution: float
    """Of the whole topic, signed: positive has raised the risk. All parts, told or not, add up to the change of the
    log-odds."""
    text: str
    """A sentence that a customer-success manager understands."""


class HorizonRisk(_Record):
    """Risk over another horizon."""

    horizon_days: Annotated[int, Field(ge=1)]
    risk: Annotated[float, Field(ge=0, le=1)]


class RiskScore(_Record):
    """An account's risk of cancelling: value of the risk topic, row of `risk_scores`."""

    score_id: str
    """Deterministic: a record that is repeated has the id of the first."""
    account_id: str
    as_of: Time
    """Only events before this time count."""
    produced_at: Time
    """Clock of the process that scored: the wall clock; in a replay event time."""
    risk: Annotated[float, Field(ge=0, le=1)]
    """Calibrated probability that the account cancels within `horizon_days` after `as_of`."""
    horizon_days: Annotated[int, Field(ge=1)]
    tier: Tier
    previous_tier: Tier | None
    """Tier of the last emitted score; null for the first."""
    risk_change: float | None
    """Against the last emitted score; null for the first."""
    mrr_cents: Cents | None
    """Monthly recurring revenue in minor units; null when unknown."""
    mrr_at_risk_cents: Cents | None
    """Revenue times risk."""
    reasons: list[Reason]
    """What raises the risk, the strongest first; what nobody can act on (revenue, age) comes last."""
    model_name: str
    model_version: str
    feature_version: Annotated[int, Field(ge=1)]
    trigger: Trigger
    """`tick`: the daily score; `event`: events moved it within the day."""
    moved: list[Move] = []
    """What moved the risk since the last score, the strongest first."""
    risk_curve: list[HorizonRisk] = []
    """Risks over several horizons, ascending: a longer one has never the smaller risk."""
    segment: Segment | None = None
    """What kind of customer the account is at the moment."""
    expected_months: float | None = None
    """Months until the account is expected to cancel, within the next `C360_VALUE_MONTHS_MAX`."""
    lifetime_value_cents: Cents | None = None
    """Margin expected of the account in those months, discounted; null where revenue is unknown."""
    mitigations: list[Reason] = []
    """What lowers the risk, the strongest first."""


class DriftAlarm(_Record):
    """Something about the input or the model has changed: value of the alarm topic, row of `drift_alarms`."""

    alarm_id: str
    """Deterministic: a record that is repeated has the id of the first."""
    raised_at: Time
    """Clock of the process that raised it: the wall clock; in a replay event time."""
    as_of: Time
    """Event time at which the condition held."""
    kind: AlarmKind
    subject: str
    """The feature, topic or model."""
    method: str
    statistic: float | None
    threshold: float | None
    severity: Severity
    action: str
    """What the system did or asks for."""
    detail: str
    """A sentence."""


class Heartbeat(_Record):
    """A heartbeat that has passed through all shards: value of the heartbeat topic, row of `heartbeats`."""

    topic: str
    """The input topic that it was read from."""
    partition: Annotated[int, Field(ge=0)]
    """Of the input topic."""
    sent_at: Time
    """Its `occurred_at`, cut to milliseconds."""
    produced_at: Time
    """Clock of the process that passed it on: the wall clock; in a replay event time."""


class DeadLetter(_Record):
    """A refused record, unchanged, and why: row of `dead_letters`. Bytes are base64 (URL-safe) in JSON."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    """Kafka's offset, or the line's number from 0 in a log directory."""
    stage: str
    """The step that refused it."""
    exception_class: str
    exception_message: str
    """Names the field and the rule, never a value of the record."""
    key: bytes | None
    value: bytes | None
    """Null: the record was a tombstone, which no event is."""
    headers: list[tuple[str, bytes | None]]
    refused_at: Time
    """Clock of the process that refused it: the wall clock; in a replay event time."""

    def out(self) -> DeadLetterOut:
        """Its twin."""
        fields = {name: getattr(self, name) for name in DeadLetterOut.__struct_fields__[:-1]}
        return DeadLetterOut(**fields, refused_us=(self.refused_at - _EPOCH) // timedelta(microseconds=1))


class Refusal(msgspec.Struct, frozen=True):
    """Which record was refused, and why: what a dead letter has beside the record itself, as `DeadLetter` describes."""

    topic: str
    partition: int
    offset: int
    stage: str
    exception_class: str
    exception_message: str

    def connect_headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers that the dead-letter topic adds, under the names that Kafka Connect gave them."""
        facts = {
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
            "stage": self.stage,
            "exception.class.name": self.exception_class,
            "exception.message": self.exception_message,
        }
        return tuple((f"__connect.errors.{name}", fact.encode()) for name, fact in facts.items())


_LETTER_BYTES = 64


class DeadLetterOut(Refusal, frozen=True):
    """Twin of `DeadLetter` for many: not validated, and the time is in microseconds since the epoch.

    Where refused events come in floods, making and writing the other took three times as long as all the rest.
    """

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    refused_us: int

    @property
    def size_bytes(self) -> int:
        """Bytes of its key, value and headers, and of what holds them, about."""
        size = _LETTER_BYTES + len(self.key or b"") + len(self.value or b"")
        if self.headers:
            size += sum(len(name) + len(value or b"") for name, value in self.headers)
        return size


class _DeadLetterJson(Refusal, frozen=True):
    key: msgspec.Raw | None
    value: msgspec.Raw | None
    headers: list[tuple[str, msgspec.Raw | None]]
    refused_at: str


class ReasonOut(msgspec.Struct, frozen=True, gc=False):
    """Twin of `Reason` for bulk encoding. NaN becomes null."""

    feature: str
    value: float | None
    contribution: float
    text: str


class MoveOut(msgspec.Struct, frozen=True, gc=False):
    """Twin of `Move` for bulk encoding."""

    feature: str
    before: float | None
    value: float | None
    contribution: float
    text: str


class HorizonRiskOut(msgspec.Struct, frozen=True, gc=False):
    """Twin of `HorizonRisk` for bulk encoding."""

    horizon_days: int
    risk: float


class RiskScoreOut(msgspec.Struct, frozen=True, gc=False):
    """Twin of `RiskScore` for bulk encoding: not validated, and times are already text (see `rfc3339_ms`).

    Made from columns, so its fields can be given in their order: by name they cost three times as much.
    """

    score_id: str
    account_id: str
    as_of: str
    produced_at: str
    risk: float
    horizon_days: int
    tier: Tier
    previous_tier: Tier | None
    risk_change: float | None
    mrr_cents: int | None
    mrr_at_risk_cents: int | None
    reasons: list[ReasonOut]
    model_name: str
    model_version: str
    feature_version: int
    trigger: Trigger
    moved: list[MoveOut]
    risk_curve: list[HorizonRiskOut]
    segment: Segment | None
    expected_months: float | None
    lifetime_value_cents: int | None
    mitigations: list[ReasonOut]


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ENCODER = msgspec.json.Encoder()


def encode_risk_score(score: RiskScoreOut) -> bytes:
    """The value of the risk topic: JSON that `RiskScore` describes."""
    return _ENCODER.encode(score)


def encode_dead_letters(letters: Sequence[DeadLetterOut]) -> list[bytes]:
    """Records of the dead-letter topic in a log directory: JSON that `DeadLetter` describes."""
    text_of = {us: rfc3339_ms(us) for us in {letter.refused_us for letter in letters}}
    return [
        _ENCODER.encode(
            _DeadLetterJson(
                letter.topic,
                letter.partition,
                letter.offset,
                letter.stage,
                letter.exception_class,
                letter.exception_message,
                _base64(letter.key),
                _base64(letter.value),
                [(name, _base64(value)) for name, value in letter.headers],
                text_of[letter.refused_us],
            )
        )
        for letter in letters
    ]


def _base64(content: bytes | None) -> msgspec.Raw | None:
    """In JSON."""
    if content is None:
        return None
    return msgspec.Raw(b'"%b"' % b2a_base64(content, newline=False).translate(_URL_SAFE))
