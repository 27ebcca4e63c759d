"""Checks the retention of topics and tables: input long enough for a replay, refused input no longer than set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from confluent_kafka import KafkaError

from c360_stream.connectors.clickhouse.dead_letter_retention import letter_retention_days
from c360_stream.connectors.clickhouse.migrations import Database
from c360_stream.connectors.kafka.topics import (
    CLEANUP_POLICY,
    DAY_MS,
    RETENTION_BYTES,
    RETENTION_MS,
    Described,
    alter_command,
    describe_topics,
    in_days,
    retention_ms,
)
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import TransportError
from c360_stream.features.subscriptions import HISTORY_DAYS as WINDOW_DAYS
from c360_stream.learning.contest import HALF_LIFE_DAYS as LEARNING_DAYS
from c360_stream.settings import Settings

SECONDS_PER_DAY = 86_400
_LETTERS_SETTING = "C360_DEAD_LETTER_RETENTION_DAYS"


@dataclass(frozen=True)
class RetentionNote:
    """A finding about a topic's retention, and whether it is worth a warning."""

    topic: str
    found: str
    is_warning: bool = True


def replay_days(settings: Settings) -> int:
    """Days of history that a replay needs to arrive at the scores and the model of an earlier run.

    The first scores have their longest windows filled, the outcomes of these are known, and the outcomes
    learnt from outweigh all earlier ones in the choice of the champion.
    """
    return WINDOW_DAYS + _horizon_days(settings) + LEARNING_DAYS + _lateness_days(settings)


def look_at_retention(settings: Settings, topics: Iterable[str]) -> list[RetentionNote]:
    """Ask the broker how long it keeps topics.

    Parameters
    ----------
    topics
        Input topics that are there, and that of dead letters if it is.
    """
    try:
        described = describe_topics(settings, topics)
    except TransportError as error:
        return [RetentionNote("topics", f"how long they are kept was not looked at: {error.what}")]
    return [note for topic, config in described.items() for note in judge_retention(settings, topic, config)]


def judge_retention(settings: Settings, topic: str, config: Described) -> Iterator[RetentionNote]:
    """What a topic's configuration means for a replay; one note at least."""
    if isinstance(config, KafkaError):
        hint = "let this user describe the topic's configuration (DescribeConfigs), or ask who may"
        yield RetentionNote(topic, f"how long it is kept was not looked at: {config.str()}; {hint}")
        return
    found_ms, bytes_max = int(config.get(RETENTION_MS, -1)), int(config.get(RETENTION_BYTES, -1))
    if topic == settings.dead_letter_topic:
        yield _letters(settings, topic, found_ms)
        return
    policies = config.get(CLEANUP_POLICY, "delete").split(",")
    if "compact" in policies:
        command = alter_command(settings, topic, {CLEANUP_POLICY: "delete"})
        found = f"{CLEANUP_POLICY} is {config[CLEANUP_POLICY]}: of each account all but the newest events get lost"
        yield RetentionNote(topic, f"{found}; {command}")
    kept_ms = found_ms if "delete" in policies else -1
    if 0 <= kept_ms < replay_days(settings) * DAY_MS:
        yield _too_short(settings, topic, kept_ms)
    elif "compact" not in policies:
        yield _long_enough(settings, topic, kept_ms)
    if "delete" in policies and bytes_max >= 0:
        command = alter_command(settings, topic, {RETENTION_BYTES: "-1"})
        found = f"{RETENTION_BYTES} is {bytes_max}: a partition that is larger loses its oldest records"
        yield RetentionNote(topic, f"{found}, however young; {command}")


def letters_kept(settings: Settings, tables: Database) -> str:
    """The difference between the dead letters' retention and its setting; empty if there is none.

    Raises
    ------
    TransportError
        As `TableStore.query`.
    """
    kept_days, asked_days = letter_retention_days(tables), settings.dead_letter_retention_days
    if kept_days in (asked_days, None):
        return ""
    kept, asked = (f"for {days} days" if days else "for ever" for days in (kept_days, asked_days))
    return f"dead_letters are kept {kept}, {_LETTERS_SETTING} asks {asked}: run c360 setup"


def _letters(settings: Settings, topic: str, kept_ms: int) -> RetentionNote:
    asked = retention_ms(settings.dead_letter_retention_days)
    if str(kept_ms) == asked:
        return RetentionNote(topic, f"kept {_for(kept_ms)}", is_warning=False)
    command = alter_command(settings, topic, {RETENTION_MS: asked})
    return RetentionNote(topic, f"kept {_for(kept_ms)}, {_LETTERS_SETTING} asks {_for(int(asked))}: {command}")


def _for(kept_ms: int) -> str:
    return f"for {in_days(kept_ms)}" if kept_ms >= 0 else in_days(kept_ms)


def _too_short(settings: Settings, topic: str, kept_ms: int) -> RetentionNote:
    needed = replay_days(settings)
    asked = next(settings.retention_days(kind) for kind in INPUT_KINDS if settings.input_topic(kind) == topic)
    days = asked if not asked or asked >= needed else needed
    parts = f"windows of {WINDOW_DAYS}, {_horizon_days(settings)} until outcomes are known, {LEARNING_DAYS} to learn"
    command = alter_command(settings, topic, {RETENTION_MS: retention_ms(days)})
    return RetentionNote(
        topic,
        f"kept for {in_days(kept_ms)}; a replay needs {needed} days ({parts}, {_lateness_days(settings)} for late"
        f" events): {command}",
    )


def _long_enough(settings: Settings, topic: str, kept_ms: int) -> RetentionNote:
    if kept_ms < 0:
        return RetentionNote(topic, "kept for ever", is_warning=False)
    found = f"kept for {in_days(kept_ms)}; a replay needs {replay_days(settings)} days"
    if topic == settings.input_topic("billing") and not settings.billing_retention_days:
        command = alter_command(settings, topic, {RETENTION_MS: retention_ms(0)})
        return RetentionNote(topic, f"{found}, and will not know subscriptions that started before: {command}")
    return RetentionNote(topic, found, is_warning=False)


def _horizon_days(settings: Settings) -> int:
    return max((settings.horizon_days, *settings.risk_curve_days))


def _lateness_days(settings: Settings) -> int:
    return math.ceil(settings.allowed_lateness_seconds / SECONDS_PER_DAY)
