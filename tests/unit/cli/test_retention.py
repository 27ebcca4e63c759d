"""What `c360 doctor` says of how long the input topics are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from c360_stream.cli.doctor.retention import RetentionNote, judge_retention, look_at_retention, replay_days
from c360_stream.connectors.kafka.topics import DAY_MS, wanted_topics
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings

SETTINGS = Settings(kafka_brokers="kafka:9092")
PRODUCT, BILLING = SETTINGS.input_topic("product"), SETTINGS.input_topic("billing")
ALTER = "kafka-configs.sh --bootstrap-server kafka:9092 --alter --topic"


def config(days: float = -1.0 / DAY_MS, policy: str = "delete", size: int = -1) -> dict[str, str]:
    return {"retention.ms": str(round(days * DAY_MS)), "cleanup.policy": policy, "retention.bytes": str(size)}


def notes(topic: str, described: dict[str, str] | KafkaError, settings: Settings = SETTINGS) -> list[RetentionNote]:
    return list(judge_retention(settings, topic, described))


def test_the_brokers_week_is_too_short_and_the_command_gives_what_the_setting_asks_for() -> None:
    [note] = notes(PRODUCT, config(7))
    parts = "windows of 92, 90 until outcomes are known, 90 to learn, 1 for late events"
    command = f"{ALTER} c360.product.events.v1 --add-config retention.ms={400 * DAY_MS}"
    assert note == RetentionNote(PRODUCT, f"kept for 7 days; a replay needs 273 days ({parts}): {command}")
    [note] = notes(BILLING, config(7))
    assert note.found.endswith("--add-config retention.ms=-1")


def test_a_setting_that_is_too_short_itself_is_not_what_the_command_gives() -> None:
    [note] = notes(PRODUCT, config(7), SETTINGS.model_copy(update={"input_retention_days": 100}))
    assert note.found.endswith(f"retention.ms={273 * DAY_MS}")


def test_the_need_follows_the_settings() -> None:
    longer = {"horizon_days": 180, "risk_curve_days": (), "allowed_lateness_seconds": 86_401}
    assert replay_days(SETTINGS.model_copy(update=longer)) == 92 + 180 + 90 + 2
    assert replay_days(SETTINGS.model_copy(update=longer | {"risk_curve_days": (7, 365)})) == 92 + 365 + 90 + 2


def test_the_docs_name_the_need_and_the_defaults() -> None:
    docs = " ".join((Path(__file__).parents[3] / "docs" / "operations.md").read_text().split())
    assert f"It needs {replay_days(SETTINGS)} days at least: 92 of the longest windows, 90 until outcomes" in docs
    for name in (
        "topic_partitions",
        "topic_replication",
        *(name for name in Settings.model_fields if "retention" in name),
    ):
        assert f"| `C360_{name.upper()}` | {getattr(SETTINGS, name)} |" in docs


@pytest.mark.parametrize("topic", [PRODUCT, BILLING])
def test_what_setup_makes_by_default_is_long_enough(topic: str) -> None:
    [note] = notes(topic, config() | wanted_topics(SETTINGS)[topic])
    assert not note.is_warning


def test_the_boundary_is_the_need_itself() -> None:
    enough, short = notes(PRODUCT, config(273)), notes(PRODUCT, config(273 - 1 / DAY_MS))
    assert [note.is_warning for note in (*enough, *short)] == [False, True]


def test_subscriptions_that_started_before_are_worth_a_warning_unless_it_was_asked_for() -> None:
    [note] = notes(BILLING, config(400))
    assert note.is_warning
    assert "will not know subscriptions that started before" in note.found
    [note] = notes(BILLING, config(400), SETTINGS.model_copy(update={"billing_retention_days": 400}))
    assert not note.is_warning


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_compacted_input_topic_is_worth_a_warning(policy: str) -> None:
    [note] = notes(PRODUCT, config(policy=policy))
    assert note.is_warning
    assert note.found.endswith(f"get lost; {ALTER} {PRODUCT} --add-config cleanup.policy=delete")


def test_retention_that_compaction_alone_does_not_heed_is_no_news() -> None:
    assert len(notes(PRODUCT, config(7, "compact", 1000))) == 1
    assert len(notes(PRODUCT, config(7, "compact,delete", 1000))) == 3


def test_a_bound_of_bytes_is_worth_a_warning() -> None:
    kept, note = notes(PRODUCT, config(size=1_000_000))
    assert (kept.found, kept.is_warning) == ("kept for ever", False)
    assert note.found.startswith("retention.bytes is 1000000: ")
    assert note.found.endswith("--add-config retention.bytes=-1")


def test_a_topic_that_may_not_be_described_is_said_to_be() -> None:
    denied = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed.")
    [note] = notes(PRODUCT, denied)
    assert note.is_warning
    assert "was not looked at: Topic authorization failed.; let this user describe" in note.found


@pytest.mark.parametrize(
    ("days", "asked_days", "found"),
    [
        (30, 30, "kept for 30 days"),
        (-1 / DAY_MS, 0, "kept for ever"),
        (7, 30, f"kept for 7 days, C360_DEAD_LETTER_RETENTION_DAYS asks for 30 days: {ALTER} {{topic}} --add-config"),
        (-1 / DAY_MS, 30, "kept for ever, C360_DEAD_LETTER_RETENTION_DAYS asks for 30 days: "),
        (30, 0, "kept for 30 days, C360_DEAD_LETTER_RETENTION_DAYS asks for ever: "),
    ],
)
def test_dead_letters_are_kept_as_the_setting_says_or_worth_a_warning(days: float, asked_days: int, found: str) -> None:
    settings = SETTINGS.model_copy(update={"dead_letter_retention_days": asked_days})
    topic = settings.dead_letter_topic
    [note] = notes(topic, config(days), settings)
    assert note.found.startswith(found.format(topic=topic))
    assert note.is_warning is (":" in found)


def test_a_broker_that_tells_less_is_taken_for_one_that_keeps_all() -> None:
    assert notes(PRODUCT, {}) == [RetentionNote(PRODUCT, "kept for ever", is_warning=False)]


def test_no_topics_are_no_question_to_a_broker() -> None:
    away = SETTINGS.model_copy(update={"kafka_brokers": "127.0.0.1:1"})
    assert look_at_retention(away, []) == []


def test_every_input_topic_has_a_retention_of_its_own() -> None:
    settings = SETTINGS.model_copy(update={"input_retention_days": 300, "billing_retention_days": 900})
    days = {settings.input_topic(kind): settings.retention_days(kind) for kind in INPUT_KINDS}
    assert list(days.values()) == [300, 900, 300]
    for topic, kept_days in days.items():
        assert wanted_topics(settings)[topic]["retention.ms"] == str(kept_days * DAY_MS)
