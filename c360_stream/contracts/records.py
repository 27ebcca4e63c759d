"""The output records: risk scores, drift alarms, heartbeats, dead letters. Each field is declared once, here.

JSON Schemas (`validation`), the examples of the AsyncAPI document (`tools.schemas.examples`) and the columns of tables
(`connectors.clickhouse.tables`) follow from the declarations. A new field needs its line here, its value in
`operators.rows`, a migration in `schemas/clickhouse`, and `make schemas`; tests name what is missing.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, get_args

import msgspec
import pyarrow as pa
from msgspec import Meta
from msgspec.structs import replace
from pydantic import AwareDatetime, PlainSerializer, WithJsonSchema
from xxhash import xxh3_128_hexdigest

from c360_stream.contracts.events.times import EPOCH

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
ExplainedBy = Literal["contributions", "occlusion"]
Segment = Literal["at_risk", "dormant", "new", "shrinking", "growing", "loyal", "steady"]
Severity = Literal["warning", "critical"]


def utc_time(us: int) -> datetime:
    """The time that is `us` microseconds after the Unix epoch, UTC.

    Raises
    ------
    OverflowError
        If it is outside the years 1 to 9999.
    """
    return EPOCH + timedelta(microseconds=us)


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


_AsTime = Annotated[
    AwareDatetime,
    PlainSerializer(_in_utc, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
_TIME = Meta(extra={"model": _AsTime, "column": pa.timestamp("ms", tz="UTC")})
Time = Annotated[datetime, _TIME]
TimeText = Annotated[str, _TIME]
"""As `rfc3339_ms` writes it: a tick's scores share their times, and writing one costs more than all the rest."""
TimeUs = Annotated[int, _TIME]
"""Microseconds since the Unix epoch."""
Probability = Annotated[float, Meta(ge=0, le=1)]
Cents = Annotated[int, Meta(ge=0)]
Partition = Annotated[int, Meta(ge=0, extra={"column": pa.int32()})]
Days = Annotated[int, Meta(ge=1, extra={"column": pa.uint16()})]
Version = Annotated[int, Meta(ge=1, extra={"column": pa.uint16()})]


class Reason(msgspec.Struct, frozen=True, gc=False):
    """Why an account's risk is what it is: one topic's part in it, explained by one of the topic's features."""

    feature: Annotated[str, Meta(examples=["avg_dau_7d"])]
    """Or `model`: no single topic stands out, and the contribution is what all that raise the risk add together."""
    value: Annotated[float | None, Meta(examples=[0.3])]
    """The feature's value; null where its definition has none."""
    contribution: Annotated[float, Meta(examples=[0.84])]
    """Of the whole topic, in log-odds, signed: positive raises the risk."""
    text: Annotated[str, Meta(examples=["Only 0.3 active users a day on average over 7 days"])]
    """A sentence that a customer-success manager understands."""


class Move(msgspec.Struct, frozen=True, gc=False):
    """What moved an account's risk since its last score: one topic's part in it, explained by one of its features."""

    feature: Annotated[str, Meta(examples=["payment_failures_30d"])]
    """Or `model`: what the model has learnt since then."""
    before: Annotated[float | None, Meta(examples=[0.0])]
    """The feature's value at the last score; null where its definition had none."""
    value: Annotated[float | None, Meta(examples=[1.0])]
    contribution: Annotated[float, Meta(examples=[0.41])]
    """Of the whole topic, signed: positive has raised the risk. All parts, shown or not, add up to the change of the
    log-odds."""
    text: Annotated[str, Meta(examples=["1 payment failure in 30 days (before: No payment failures in 30 days)"])]
    """A sentence that a customer-success manager understands."""


class HorizonRisk(msgspec.Struct, frozen=True, gc=False):
    """Risk over another horizon."""

    horizon_days: Annotated[Days, Meta(examples=[60])]
    risk: Annotated[Probability, Meta(examples=[0.31])]


class RiskScore(msgspec.Struct, frozen=True, gc=False):
    """An account's risk of cancelling: value of the risk topic, row of `risk_scores`."""

    # Made from columns, so its fields can be given in their order: by name they cost three times as much.
    score_id: Annotated[str, Meta(examples=["0637706625c584e84236eed8499e9690"])]
    """Deterministic: a record that is repeated has the id of the first."""
    account_id: Annotated[str, Meta(examples=["acme"])]
    as_of: Annotated[TimeText, Meta(examples=["2025-03-06T00:00:00.000Z"])]
    """Only events before this time count."""
    produced_at: Annotated[TimeText, Meta(examples=["2025-03-06T01:00:03.512Z"])]
    """Clock of the process that scored: the wall clock; in a replay event time."""
    risk: Annotated[Probability, Meta(examples=[0.31])]
    """Calibrated probability that the account cancels within `horizon_days` after `as_of`."""
    horizon_days: Annotated[Days, Meta(examples=[60])]
    tier: Annotated[Tier, Meta(examples=["high"])]
    previous_tier: Annotated[Tier | None, Meta(examples=["medium"])]
    """Tier of the last emitted score; null for the first."""
    risk_change: Annotated[float | None, Meta(examples=[0.09])]
    """Against the last emitted score; null for the first."""
    mrr_cents: Annotated[Cents | None, Meta(examples=[29_900])]
    """Monthly recurring revenue in minor units; null when unknown."""
    mrr_at_risk_cents: Annotated[Cents | None, Meta(examples=[9_269])]
    """Revenue times risk."""
    reasons: list[Reason]
    """What raises the risk, the strongest first; what nobody can act on (revenue, age) comes last."""
    model_name: Annotated[str, Meta(examples=["online-logistic-blend"])]
    model_version: Annotated[str, Meta(examples=["2025-03-06-0a4f1c229d3e"])]
    feature_version: Annotated[Version, Meta(examples=[1])]
    trigger: Annotated[Trigger, Meta(examples=["tick"])]
    """`tick`: the daily score; `event`: events moved it within the day."""
    moved: list[Move] = []
    """What moved the risk since the last score, the strongest first."""
    risk_curve: Annotated[list[HorizonRisk], Meta(examples=[[HorizonRisk(30, 0.18), HorizonRisk(60, 0.31)]])] = []
    """Risks over several horizons, ascending: a longer one has never the smaller risk."""
    segment: Annotated[Segment | None, Meta(examples=["at_risk"])] = None
    """What kind of customer the account is at the moment."""
    expected_months: Annotated[float | None, Meta(examples=[7.4])] = None
    """Months until the account is expected to cancel, within the next `C360_VALUE_MONTHS_MAX`."""
    lifetime_value_cents: Annotated[Cents | None, Meta(examples=[168_000])] = None
    """Margin expected of the account in those months, discounted; null where revenue is unknown."""
    mitigations: Annotated[
        list[Reason], Meta(examples=[[Reason("nps_score", 9.0, -0.12, "The latest NPS answer was 9 of 10")]])
    ] = []
    """What lowers the risk, the strongest first."""
    explained_by: Annotated[ExplainedBy, Meta(examples=["contributions"])] = "contributions"
    """How contributions were found: parts that the model adds up, or, by `occlusion`, what changes when a group of
    features is replaced by its average."""


class DriftAlarm(msgspec.Struct, frozen=True):
    """Something about the input or the model has changed: value of the alarm topic, row of `drift_alarms`."""

    alarm_id: Annotated[str, Meta(examples=["20c4ce8ecda8e26e45671e0dff86dacb"])]
    """Deterministic: a record that is repeated has the id of the first."""
    raised_at: Annotated[Time, Meta(examples=["2025-03-10T01:00:04.000Z"])]
    """Clock of the process that raised it: the wall clock; in a replay event time."""
    as_of: Annotated[Time, Meta(examples=["2025-03-10T00:00:00.000Z"])]
    """Event time at which the condition held."""
    kind: Annotated[AlarmKind, Meta(examples=["feature_drift"])]
    subject: Annotated[str, Meta(examples=["nps_score"])]
    """The feature, topic or model."""
    method: Annotated[str, Meta(examples=["psi"])]
    statistic: Annotated[float | None, Meta(examples=[0.24])]
    threshold: Annotated[float | None, Meta(examples=[0.2])]
    severity: Annotated[Severity, Meta(examples=["critical"])]
    action: Annotated[str, Meta(examples=["look at the source of the feature"])]
    """What the system did or asks for."""
    detail: Annotated[str, Meta(examples=["Median of nps_score moved from 8 to 6, against the weeks before."])]
    """A sentence."""


class Heartbeat(msgspec.Struct, frozen=True):
    """A heartbeat that has passed through all shards: value of the heartbeat topic, row of `heartbeats`."""

    topic: Annotated[str, Meta(examples=["c360.support.events.v1"])]
    """The input topic that it was read from."""
    partition: Annotated[Partition, Meta(examples=[3])]
    """Of the input topic."""
    sent_at: Annotated[TimeText, Meta(examples=["2025-03-12T10:00:00.123Z"])]
    """Its `occurred_at`, cut to milliseconds."""
    produced_at: Annotated[TimeText, Meta(examples=["2025-03-12T10:00:00.481Z"])]
    """Clock of the process that passed it on: the wall clock; in a replay event time."""


class Refusal(msgspec.Struct, frozen=True):
    """Which record was refused, and why: what a dead letter has beside the record itself."""

    topic: Annotated[str, Meta(examples=["c360.support.events.v1"])]
    partition: Annotated[Partition, Meta(examples=[3])]
    offset: Annotated[int, Meta(ge=0, examples=[1041])]
    """Kafka's offset, or the line's number from 0 in a log directory."""
    stage: Annotated[str, Meta(examples=["decode"])]
    """The step that refused it."""
    exception_class: Annotated[str, Meta(examples=["Refused"])]
    exception_message: Annotated[str, Meta(examples=["Object missing required field `occurred_at`"])]
    """Names the field and the rule, never a value of the record."""

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


class DeadLetter(Refusal, frozen=True):
    """A refused record, unchanged, and why: row of `dead_letters`. Bytes are base64 (URL-safe) in JSON."""

    key: bytes | None
    value: bytes | None
    """Null: the record was a tombstone, which no event is."""
    headers: list[tuple[str, bytes | None]]
    refused_us: TimeUs = msgspec.field(name="refused_at")
    """Clock of the process that refused it: the wall clock; in a replay event time."""

    @property
    def size_bytes(self) -> int:
        """Bytes of its key, value and headers, and of what holds them, about."""
        size = _LETTER_BYTES + len(self.key or b"") + len(self.value or b"")
        if self.headers:
            size += sum(len(name) + len(value or b"") for name, value in self.headers)
        return size


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_ENCODER = msgspec.json.Encoder()


def encode_record(record: RiskScore | Heartbeat) -> bytes:
    """The value of the risk or the heartbeat topic: JSON. NaN becomes null."""
    return _ENCODER.encode(record)


def encode_drift_alarm(alarm: DriftAlarm) -> bytes:
    """The value of the alarm topic: JSON. NaN and infinity become null."""
    return _ENCODER.encode(replace(alarm, raised_at=_in_utc(alarm.raised_at), as_of=_in_utc(alarm.as_of)))


def encode_dead_letters(letters: Sequence[DeadLetter]) -> list[bytes]:
    """Records of the dead-letter topic in a log directory: JSON."""
    text_of = {us: rfc3339_ms(us) for us in {letter.refused_us for letter in letters}}
    return [
        _ENCODER.encode(
            replace(
                letter,
                key=_base64(letter.key),
                value=_base64(letter.value),
                headers=[(name, _base64(value)) for name, value in letter.headers],
                refused_us=text_of[letter.refused_us],
            )
        )
        for letter in letters
    ]


def _base64(content: bytes | None) -> msgspec.Raw | None:
    """In JSON."""
    if content is None:
        return None
    return msgspec.Raw(b'"%b"' % b2a_base64(content, newline=False).translate(_URL_SAFE))
