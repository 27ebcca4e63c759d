"""Settings: where they come from, which wins, what is refused, and that secrets stay secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from c360_stream.errors import ConfigurationError
from c360_stream.settings import load_settings, mask_dsn


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("C360_")]:
        monkeypatch.delenv(name)


def test_arguments_win_over_the_environment_over_the_file_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().shards == 16
    Path("c360.toml").write_text("shards = 2\nhorizon_days = 30\nbatch_events = 7\n")
    monkeypatch.setenv("C360_SHARDS", "3")
    monkeypatch.setenv("C360_HORIZON_DAYS", "20")
    settings = load_settings(shards=4, horizon_days=None)
    assert (settings.shards, settings.horizon_days, settings.batch_events) == (4, 20, 7)


def test_the_names_that_the_outside_relies_on() -> None:
    settings = load_settings(topic_prefix="acme")
    assert [settings.input_topic(kind) for kind in ("product", "billing", "support")] == [
        "acme.product.events.v1",
        "acme.billing.events.v1",
        "acme.support.events.v1",
    ]
    assert settings.risk_topic == "acme.risk.scores.v1"
    assert settings.alarm_topic == "acme.drift.alarms.v1"
    assert settings.dead_letter_topic == "acme.dead-letters.v1"


def test_the_default_is_embedded() -> None:
    settings = load_settings(log_dir=Path("logs"))
    assert not settings.uses_kafka
    assert settings.embedded_tables
    assert settings.dsn == f"chdb://{Path.cwd() / 'logs' / 'tables' / 'c360'}"
    production = load_settings(kafka_brokers="k:9092", clickhouse_dsn="clickhouses://u:p@host/c360")
    assert (production.uses_kafka, production.embedded_tables) == (True, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("C360_SHARDS", "0"),
        ("C360_SHARDS", "many"),
        ("C360_HORIZON_DAYS", "366"),
        ("C360_TOPIC_PREFIX", "a b"),
        ("C360_METRICS_ADDRESS", "8361"),
        ("C360_METRICS_ADDRESS", "host:99999"),
        ("C360_ALLOWED_LATENESS_SECONDS", "-1"),
        ("C360_EVENT_SCORE_CHANGE_MIN", "nan"),
        ("C360_IDLE_SECONDS", "0"),
    ],
)
def test_a_malformed_value_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert name in str(refused.value)
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)


def test_a_list_that_is_not_json_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C360_CORE_ACTIONS", "task_created,comment_added")
    with pytest.raises(ConfigurationError, match="core_actions"):
        load_settings()


def test_tiers_must_ascend() -> None:
    with pytest.raises(ConfigurationError, match="tier_medium < tier_high < tier_critical"):
        load_settings(tier_medium=0.6)


def test_a_broken_file_is_named() -> None:
    Path("c360.toml").write_text("shards = = 2")
    with pytest.raises(ConfigurationError, match=r"c360\.toml"):
        load_settings()


def test_secrets_are_shown_nowhere() -> None:
    settings = load_settings(kafka_sasl_password="hunter2", clickhouse_dsn="clickhouse://bob:hunter2@db/c360?x=hunter2")
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.masked())
    assert settings.masked()["clickhouse_dsn"] == "clickhouse://bob:***@db/c360"
    assert settings.masked()["kafka_sasl_password"] == "***"
    assert load_settings().masked()["kafka_sasl_password"] == ""


def test_a_refused_secret_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_settings(kafka_sasl_password=["hunter2"])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("clickhouse://db", "clickhouse://db"),
        ("clickhouse://bob@db/c360", "clickhouse://bob:***@db/c360"),
        ("clickhouse://:hunter2@db/c360", "clickhouse://:***@db/c360"),
        ("clickhouse://bob:hunter2@[::1]:8123/c360", "clickhouse://bob:***@[::1]:8123/c360"),
        ("clickhouse://bob:hunter2@[broken/c360", "clickhouse://bob:***@[broken/c360"),
        ("chdb:///var/lib/c360?x=hunter2", "chdb:///var/lib/c360"),
    ],
)
def test_a_dsn_is_shown_without_its_password(dsn: str, shown: str) -> None:
    assert mask_dsn(dsn) == shown


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().shards = 3  # type: ignore[misc]
