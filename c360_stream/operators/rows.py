"""What goes into tables and topics, built from what the steps give."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np
from msgspec.structs import fields, replace
from numpy.typing import NDArray

from c360_stream.connectors.clickhouse.tables import letter_headers, nested
from c360_stream.connectors.ports import OutRecord
from c360_stream.contracts.events import HEARTBEAT_ACCOUNT, US_PER_DAY, time_us
from c360_stream.contracts.records import (
    TIERS,
    DeadLetter,
    DriftAlarm,
    Heartbeat,
    HorizonRisk,
    RiskScore,
    encode_dead_letters,
    encode_drift_alarm,
    encode_record,
    rfc3339_ms,
    score_id,
    utc_time,
)
from c360_stream.features.definitions import FEATURE_VERSION, FEATURES, INDEX
from c360_stream.learning.learner import LearnedTick
from c360_stream.models.columns import nullable
from c360_stream.monitoring.interventions import InterventionRow
from c360_stream.monitoring.monitor import MetricRow
from c360_stream.scoring.reasons import reasons, risk_deltas
from c360_stream.scoring.scored import Outcomes, ScoredRows
from c360_stream.scoring.segments import SEGMENTS
from c360_stream.scoring.tiers import HIGH, NO_TIER
from c360_stream.settings import Settings

REASONS = 3
HEARTBEATS = "heartbeats"


@dataclass(slots=True)
class TableRows:
    """Rows for a table, as columns; `part` spreads them over the sink's partitions.

    `exact` rows appear once whatever crashes; others at once, and perhaps again, under the same key. `bytes` are
    those of what may be long: text that came from outside.
    """

    part: int
    table: str
    columns: dict[str, Any]
    rows: int
    exact: bool = True
    bytes: int = 0


@dataclass(slots=True)
class TopicRecords:
    """Records for a topic; `part` and `exact` as in `TableRows`, and all records of a key have the same `part`."""

    part: int
    topic: str
    records: list[OutRecord]
    exact: bool = True


Output = TableRows | TopicRecords


class Clock:
    """The processing clock: the wall clock when live; in a replay event time, so that records repeat exactly.

    Parameters
    ----------
    live
        Whether the flow tails its input.
    """

    def __init__(self, live: bool) -> None:
        self.live = live

    def produced_us(self, as_of_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Times of production, for rows with these as-of times."""
        return np.full(len(as_of_us), time.time_ns() // 1000, np.int64) if self.live else as_of_us


def score_outputs(settings: Settings, clock: Clock, part: int, scores: ScoredRows) -> list[Output]:
    """Rows of `risk_scores` and records of the risk topic."""
    if not scores.ids:
        return []
    produced_us = clock.produced_us(scores.as_of_us)
    why, against = reasons(scores.features, scores.contributions, scores.tier >= HIGH, REASONS)
    changes = (scores.features, scores.before, scores.delta, scores.model_delta)
    moved = risk_deltas(*changes, REASONS, keep_strongest=scores.trigger == "event")
    plain = _plain_columns(settings, scores)
    # A tick's rows share their times, and writing one as text costs more than all the rest of a row.
    text_of = {us: rfc3339_ms(us) for us in {*scores.as_of_us.tolist(), *produced_us.tolist()}}
    record = plain | {
        "as_of": [text_of[us] for us in scores.as_of_us.tolist()],
        "produced_at": [text_of[us] for us in produced_us.tolist()],
        "reasons": why.by_row(),
        "moved": moved.by_row(),
        "risk_curve": _curves(scores),
        "mitigations": against.by_row(),
    }
    # Whole columns go through `map`: rows one by one, a dict each, took 1.0 s a tick of 100,000 accounts, not 0.3.
    values = map(encode_record, map(RiskScore, *(record[name] for name in RiskScore.__struct_fields__)))
    records = list(map(OutRecord, scores.ids, values))
    points = scores.curve.shape[1]
    ends = np.arange(len(scores.ids) + 1, dtype=np.int32) * points
    row = plain | {
        "as_of": scores.as_of_us,
        "produced_at": produced_us,
        "reasons": nested("risk_scores", "reasons", *why),
        "mitigations": nested("risk_scores", "mitigations", *against),
        "moved": nested("risk_scores", "moved", *moved),
        "risk_curve": nested(
            "risk_scores", "risk_curve", ends, scores.curve_days * len(scores.ids), scores.curve.ravel()
        ),
    }
    exact = scores.trigger == "tick"
    return [
        TableRows(part, "risk_scores", row, len(scores.ids), exact),
        TopicRecords(part, settings.risk_topic, records, exact),
    ]


def _curves(scores: ScoredRows) -> list[list[HorizonRisk]]:
    points = map(HorizonRisk, cycle(scores.curve_days), scores.curve.ravel().tolist())
    return [list(islice(points, len(scores.curve_days))) for _ in scores.ids]


def _plain_columns(settings: Settings, scores: ScoredRows) -> dict[str, list[Any]]:
    """What records and rows have in the same form."""
    n = len(scores.ids)
    mrr = scores.features[:, INDEX["mrr_cents"]]
    return {
        "score_id": [score_id(a, t, scores.trigger) for a, t in zip(scores.ids, scores.as_of_us.tolist(), strict=True)],
        "account_id": scores.ids,
        "risk": scores.risk.tolist(),
        "horizon_days": [settings.horizon_days] * n,
        "tier": [TIERS[i] for i in scores.tier.tolist()],
        "previous_tier": [None if i == NO_TIER else TIERS[i] for i in scores.previous_tier.tolist()],
        "risk_change": nullable(scores.risk - scores.previous_risk),
        "mrr_cents": _cents(mrr),
        "mrr_at_risk_cents": _cents(np.rint(mrr * scores.risk)),
        "model_name": [scores.version.model_name] * n,
        "model_version": [scores.version.model_version] * n,
        "feature_version": [FEATURE_VERSION] * n,
        "trigger": [scores.trigger] * n,
        "explained_by": [scores.version.explained_by] * n,
        "segment": [SEGMENTS[i] for i in scores.segment.tolist()],
        "expected_months": nullable(scores.expected_months),
        "lifetime_value_cents": _cents(np.rint(scores.lifetime_value_cents)),
    }


def _cents(values: NDArray[np.float64]) -> list[int | None]:
    return [None if value is None else int(value) for value in nullable(values)]


def feature_rows(part: int, scores: ScoredRows) -> list[Output]:
    """Rows of `account_features`."""
    columns: dict[str, Any] = {"account_id": scores.ids, "as_of": scores.as_of_us}
    columns |= {name: scores.features[:, i] for i, name in enumerate(FEATURES)}
    return [TableRows(part, "account_features", columns, len(scores.ids))] if scores.ids else []


def outcome_rows(part: int, known_at_us: int, outcomes: Outcomes) -> list[Output]:
    """Rows of `outcomes`."""
    n = len(outcomes.ids)
    columns = {
        "account_id": outcomes.ids,
        "as_of": outcomes.as_of_day * US_PER_DAY,
        "churned": outcomes.churned,
        "risk": outcomes.risk,
        "known_at": np.full(n, known_at_us, np.int64),
    }
    return [TableRows(part, "outcomes", columns, n)] if n else []


def departures(settings: Settings, part: int, day: int, accounts: list[str]) -> list[Output]:
    """Tombstones on the risk topic and rows of `departures`: both show that accounts are gone."""
    if not accounts:
        return []
    columns = {"account_id": accounts, "gone_at": np.full(len(accounts), day * US_PER_DAY, np.int64)}
    tombstones = [OutRecord(account, None) for account in accounts]
    return [
        TableRows(part, "departures", columns, len(accounts)),
        TopicRecords(part, settings.risk_topic, tombstones),
    ]


def learned_outputs(settings: Settings, learned: LearnedTick) -> list[Output]:
    """The row of `model_versions`, which `c360 verify` rebuilds scores with; and news of the models.

    Live, an alarm is raised by the wall clock.
    """
    columns = {
        "model_name": [learned.version.model_name],
        "model_version": [learned.version.model_version],
        "as_of": np.array([learned.day * US_PER_DAY], np.int64),
        "feature_version": [FEATURE_VERSION],
        "parameters": [learned.version.to_json()],
    }
    version = TableRows(0, "model_versions", columns, 1)
    alarms = raised_now(learned.alarms) if settings.live else learned.alarms
    return [version, *alarm_outputs(settings, alarms), *metric_rows(learned.metrics)]


def raised_now(alarms: list[DriftAlarm]) -> list[DriftAlarm]:
    """Alarms as of the processing clock of a live run."""
    now = utc_time(time.time_ns() // 1000)
    return [replace(alarm, raised_at=now) for alarm in alarms]


def metric_rows(rows: list[MetricRow]) -> list[Output]:
    """Rows of `model_metrics`."""
    columns = {
        "as_of": np.array([row.as_of_us for row in rows], np.int64),
        "model_name": [row.model_name for row in rows],
        "model_version": [row.model_version for row in rows],
        "segment": [row.segment for row in rows],
        "metric": [row.metric for row in rows],
        "value": [row.value for row in rows],
        "examples": [row.examples for row in rows],
    }
    return [TableRows(0, "model_metrics", columns, len(rows))] if rows else []


def intervention_rows(rows: list[InterventionRow]) -> list[Output]:
    """Rows of `interventions`."""
    columns: dict[str, Any] = {
        name: [getattr(row, name) for row in rows] for name in InterventionRow._fields if name != "as_of_us"
    }
    columns["as_of"] = np.array([row.as_of_us for row in rows], np.int64)
    return [TableRows(0, "interventions", columns, len(rows))] if rows else []


def alarm_outputs(settings: Settings, alarms: list[DriftAlarm]) -> list[Output]:
    """Rows of `drift_alarms` and records of the alarm topic."""
    if not alarms:
        return []
    columns: dict[str, Any] = {
        name: [getattr(alarm, name) for alarm in alarms]
        for name in DriftAlarm.__struct_fields__
        if name not in ("raised_at", "as_of")
    }
    for name in ("raised_at", "as_of"):
        columns[name] = np.array([time_us(getattr(alarm, name)) for alarm in alarms], np.int64)
    records = [OutRecord(alarm.subject, encode_drift_alarm(alarm)) for alarm in alarms]
    return [TableRows(0, "drift_alarms", columns, len(alarms)), TopicRecords(0, settings.alarm_topic, records)]


def heartbeat_outputs(settings: Settings, clock: Clock, partition: str, sent_us: list[int]) -> list[Output]:
    """Rows of `heartbeats` and records of the heartbeat topic.

    Each input partition's go through one partition of the sinks: where there are enough of the former, all of the
    latter have some.
    """
    if not sent_us:
        return []
    topic, _, name = partition.rpartition("/")
    number, n = int(name), len(sent_us)
    sent = np.array(sent_us, np.int64)
    produced = clock.produced_us(sent)
    columns = {"topic": [topic] * n, "partition": [number] * n, "sent_at": sent, "produced_at": produced}
    heartbeats = (
        Heartbeat(topic=topic, partition=number, sent_at=rfc3339_ms(sent_us), produced_at=rfc3339_ms(produced_us))
        for sent_us, produced_us in zip(sent.tolist(), produced.tolist(), strict=True)
    )
    records = [OutRecord(HEARTBEAT_ACCOUNT, encode_record(heartbeat)) for heartbeat in heartbeats]
    return [
        TableRows(number, HEARTBEATS, columns, n, exact=False),
        TopicRecords(number, settings.heartbeat_topic, records, exact=False),
    ]


@dataclass(slots=True)
class DeadLetters:
    """Dead letters of one partition: one by one, the engine's steps would cost more than all the rest."""

    letters: list[DeadLetter]


def dead_letter_outputs(settings: Settings, letters: Sequence[DeadLetter]) -> list[Output]:
    """Rows of `dead_letters` and records of the dead-letter topic, for letters of one partition.

    In Kafka a record is the original, with headers added. A log directory has room for neither key, headers
    nor arbitrary bytes, so there the record is the letter as JSON.
    """
    columns: dict[str, Any] = {
        field.encode_name: [getattr(letter, field.name) for letter in letters] for field in fields(DeadLetter)
    }
    columns["headers"] = letter_headers(columns["headers"])
    if settings.uses_kafka:
        records = [
            OutRecord(letter.key, letter.value, (*letter.headers, *letter.connect_headers())) for letter in letters
        ]
    else:
        records = list(map(OutRecord, columns["key"], encode_dead_letters(letters)))
    partition = letters[0].partition
    return [
        TableRows(partition, "dead_letters", columns, len(letters), bytes=sum(letter.size_bytes for letter in letters)),
        TopicRecords(partition, settings.dead_letter_topic, records),
    ]
