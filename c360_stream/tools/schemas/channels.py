"""The topics of the document: their writers, content and guarantees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from c360_stream.connectors.kafka.options import MESSAGE_BYTES_MAX
from c360_stream.connectors.kafka.topics import DAY_MS, retention_ms
from c360_stream.contracts.events import HEARTBEAT_ACCOUNT, HEARTBEAT_TYPE
from c360_stream.contracts.kinds import InputKind
from c360_stream.settings import Settings
from c360_stream.tools.schemas import examples

# Braces are no name of a prefix: this one stays a parameter of the addresses.
_SETTINGS = Settings.model_construct(topic_prefix="{prefix}")

ACCOUNT_KEY = {"type": "string", "minLength": 1, "maxLength": 128, "description": "The `account_id`."}
_EVENT_NAMES = {
    "ProductEvent": "product_event",
    "SubscriptionStarted": "subscription_started",
    "SubscriptionChanged": "subscription_changed",
    "SubscriptionCancelled": "subscription_cancelled",
    "InvoicePaid": "invoice_paid",
    "InvoicePaymentFailed": "invoice_payment_failed",
    "TicketOpened": "ticket_opened",
    "TicketSolved": "ticket_solved",
    "CsatSubmitted": "csat_submitted",
    "NpsSubmitted": "nps_submitted",
    "SuccessContacted": "success_contacted",
    "HeartbeatSent": HEARTBEAT_TYPE,
}


@dataclass(frozen=True, kw_only=True)
class MessageKind:
    """One kind of record of a topic.

    Parameters
    ----------
    id
        Its name among the messages of the document.
    name
        What programs call it: for events the `event_type`.
    summary, description
        In words.
    payload
        Schema of the value: a model's name, or the schema itself.
    examples
        Each the fields of an example of AsyncAPI.
    correlation
        The field that names one record, however often it comes; empty if there is none.
    headers
        Schema of the headers.
    content_type
        Of the value.
    """

    id: str
    name: str
    summary: str
    description: str = ""
    payload: str | Mapping[str, Any]
    examples: Sequence[Mapping[str, Any]]
    correlation: str = ""
    headers: Mapping[str, Any] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic. `action` is what this program does with it; `key` the schema of its records' keys."""

    id: str
    address: str
    action: Literal["send", "receive"]
    operation: str
    title: str
    summary: str
    description: str
    delivery: str
    tags: Sequence[str]
    messages: Sequence[MessageKind]
    key: Mapping[str, Any] = field(default_factory=lambda: ACCOUNT_KEY)
    configuration: Mapping[str, Any] = field(default_factory=dict)


def _events(*models: str) -> list[MessageKind]:
    return [
        MessageKind(
            id=model,
            name=_EVENT_NAMES[model],
            summary=examples.EVENTS[model][0],
            payload=model,
            examples=[{"name": _EVENT_NAMES[model], "payload": examples.EVENTS[model][1]}],
            correlation="event_id",
        )
        for model in models
    ]


def _kept(kind: InputKind) -> dict[str, Any]:
    return {"retention.ms": int(retention_ms(_SETTINGS.retention_days(kind)))}


_INTAKE = (
    "Read once for every state that is kept: no consumer group, positions are in the recovery directory. A record "
    "that breaks the contract goes to the dead letters, with the reason, and stops nothing. An `event_id` that comes "
    "again in the same topic within `C360_DEDUPE_HOURS` (24) of event time counts once, so producers may send at "
    "least once. Headers are not looked at."
)
_IDS = (
    "Key: the `account_id`, placed as Java's default partitioner does (`murmur2_random` of librdkafka). Unknown "
    "fields are ignored; null in an optional field means absent."
)
_EXACT = (
    "exactly once for readers of committed records (`isolation.level=read_committed`), if it runs with `--recovery`"
)

INPUTS: tuple[Topic, ...] = (
    Topic(
        id="productEvents",
        address=_SETTINGS.input_topic("product"),
        action="receive",
        operation="receiveProductEvents",
        title="Product events",
        summary="What users do in the product.",
        description=f"Any snake_case `event_type`. {_IDS}",
        delivery=_INTAKE,
        tags=["input"],
        configuration=_kept("product"),
        messages=_events("ProductEvent", "HeartbeatSent"),
    ),
    Topic(
        id="billingEvents",
        address=_SETTINGS.input_topic("billing"),
        action="receive",
        operation="receiveBillingEvents",
        title="Billing events",
        summary="Subscriptions and invoices. A cancellation is the outcome that risk is the probability of.",
        description=f"Amounts are integers of minor units. {_IDS}",
        delivery=_INTAKE,
        tags=["input"],
        configuration=_kept("billing"),
        messages=_events(
            "SubscriptionStarted",
            "SubscriptionChanged",
            "SubscriptionCancelled",
            "InvoicePaid",
            "InvoicePaymentFailed",
            "HeartbeatSent",
        ),
    ),
    Topic(
        id="supportEvents",
        address=_SETTINGS.input_topic("support"),
        action="receive",
        operation="receiveSupportEvents",
        title="Support events",
        summary="Tickets, answers to questions, and contacts that customer success made.",
        description=_IDS,
        delivery=_INTAKE,
        tags=["input"],
        configuration=_kept("support"),
        messages=_events(
            "TicketOpened", "TicketSolved", "CsatSubmitted", "NpsSubmitted", "SuccessContacted", "HeartbeatSent"
        ),
    ),
)

RISK = Topic(
    id="riskScores",
    address=_SETTINGS.risk_topic,
    action="send",
    operation="sendRiskScores",
    title="Risk scores",
    summary="How likely each account is to cancel, and why.",
    description=(
        "Compacted: the newest record of a key is the account's current risk, so reading from the beginning gives a "
        "current view; records in between may be gone. A score comes for every active account at each UTC midnight "
        "(`trigger` `tick`), and within a day when events moved the risk materially (`event`). A tombstone (no value) "
        "says that the account has cancelled.\n\n"
        "Within a key, records are in the order of `as_of`. `previous_tier` and `risk_change` of a tick are against "
        "the tick before, of an event's score against the last score of either kind: to see changes, compare with "
        "what you hold. docs/consumers.md has a complete consumer."
    ),
    delivery=(
        f"{_EXACT}: scores of ticks and tombstones. Scores of events go out at once and at least once: after a crash "
        "the last ones, of a snapshot interval at most, may come again under the same `score_id`. Without "
        "`--recovery` a crash repeats everything, under the same ids."
    ),
    tags=["output", "risk"],
    configuration={"cleanup.policy": ["compact"]},
    messages=[
        MessageKind(
            id="RiskScore",
            name="risk_score",
            summary="An account's risk of cancelling, as of a moment.",
            payload="RiskScore",
            examples=examples.RISK_SCORES,
            correlation="score_id",
        ),
        MessageKind(
            id="RiskTombstone",
            name="risk_tombstone",
            summary="The account is gone: it has cancelled, and gets no scores until it subscribes again.",
            description="A record without a value; the key says which account. Remove what you hold of it.",
            payload={"type": "null", "description": "No value."},
            examples=[{"name": "cancelled", "payload": None}],
        ),
    ],
)

ALARMS = Topic(
    id="driftAlarms",
    address=_SETTINGS.alarm_topic,
    action="send",
    operation="sendDriftAlarms",
    title="Drift alarms",
    summary="Something about the input, the scores or the model has changed.",
    description="Key: the `subject`, that is the feature, topic or model, so that its alarms stay in order.",
    delivery=f"{_EXACT}; else at least once under the same `alarm_id`.",
    tags=["output", "monitoring"],
    key={"type": "string", "description": "The `subject` of the alarm."},
    messages=[
        MessageKind(
            id="DriftAlarm",
            name="drift_alarm",
            summary="What changed, by how much, and what the system did or asks for.",
            payload="DriftAlarm",
            examples=examples.DRIFT_ALARMS,
            correlation="alarm_id",
        )
    ],
)

HEARTBEATS = Topic(
    id="heartbeats",
    address=_SETTINGS.heartbeat_topic,
    action="send",
    operation="sendHeartbeats",
    title="Heartbeats",
    summary="How long events take from their topic to the output.",
    description=(
        "`c360 heartbeat` sends events of the reserved type and account into every partition of the input topics; "
        "each that has passed through all shards comes out here. `produced_at` less `sent_at` is how long that took; "
        "a partition whose heartbeats stay away has stopped. Kept for a day."
    ),
    delivery="At least once, soon: topic, partition and `sent_at` name a heartbeat.",
    tags=["output", "monitoring"],
    key={"type": "string", "const": HEARTBEAT_ACCOUNT},
    configuration={"retention.ms": DAY_MS},
    messages=[
        MessageKind(
            id="Heartbeat",
            name="heartbeat",
            summary="A heartbeat that has passed through all shards.",
            payload="Heartbeat",
            examples=examples.HEARTBEATS,
        )
    ],
)

DEAD_LETTERS = Topic(
    id="deadLetters",
    address=_SETTINGS.dead_letter_topic,
    action="send",
    operation="sendDeadLetters",
    title="Dead letters",
    summary="Refused input, unchanged, and why it was refused.",
    description=(
        "The original key, value and headers, then six headers under the names that Kafka Connect gave them. A "
        "refused tombstone is one here too; a value over 8 MiB is cut to that and has the header `c360.truncated`. "
        "`c360 redrive` sends them to their topic again, once what was wrong is fixed. In a log directory, which has "
        "no headers, a dead letter is JSON: schemas/events/dead-letter.json. Kept for "
        "`C360_DEAD_LETTER_RETENTION_DAYS` (30) days."
    ),
    delivery=f"{_EXACT}; else at least once. Topic, partition and offset name the refused record.",
    tags=["output", "errors"],
    key={"description": "The key of the refused record, unchanged: any bytes, or none."},
    configuration={
        "retention.ms": int(retention_ms(_SETTINGS.dead_letter_retention_days)),
        "max.message.bytes": MESSAGE_BYTES_MAX,
    },
    messages=[
        MessageKind(
            id="DeadLetter",
            name="dead_letter",
            summary="A refused record.",
            payload={"type": "string", "format": "binary", "description": "The refused value, unchanged: any bytes."},
            content_type="application/octet-stream",
            headers=examples.DEAD_LETTER_HEADERS,
            examples=examples.DEAD_LETTERS,
        )
    ],
)

TOPICS: tuple[Topic, ...] = (*INPUTS, RISK, ALARMS, HEARTBEATS, DEAD_LETTERS)
"""Every topic that others may read or write, in the order of `c360 setup`."""
