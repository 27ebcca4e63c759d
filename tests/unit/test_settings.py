"""Settings: where they come from, which wins, what is refused, and that secrets stay secret."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from c360_stream.errors import ConfigurationError
from c360_stream.models import names
from c360_stream.settings import Settings, load_settings
from c360_stream.settings.checks import security_warnings, unknown_settings
from c360_stream.settings.declaration import secret_fields
from c360_stream.settings.masking import mask_dsn


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
    assert settings.outbox_topic == "acme.outbox.v1"
    beside = load_settings(topic_prefix="acme-green", input_prefix="acme")
    assert beside.input_topic("product") == "acme.product.events.v1"
    assert beside.risk_topic == "acme-green.risk.scores.v1"


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
        ("C360_TOPIC_PARTITIONS", "0"),
        ("C360_TOPIC_PARTITIONS", "-2"),
        ("C360_TOPIC_REPLICATION", "0"),
        ("C360_INPUT_RETENTION_DAYS", "-1"),
        ("C360_BILLING_RETENTION_DAYS", "1.5"),
        ("C360_DEAD_LETTER_RETENTION_DAYS", "40000"),
        ("C360_ALLOWED_LATENESS_SECONDS", "-1"),
        ("C360_EVENT_SCORE_CHANGE_MIN", "nan"),
        ("C360_IDLE_SECONDS", "0"),
        ("C360_TIER_HIGH", "nan"),
        ("C360_PSI_WARNING", "inf"),
        ("C360_TREATED_EXAMPLES", "drop"),
        ("C360_TREATED_WEIGHT", "1.01"),
        ("C360_LOG_FORMAT", "xml"),
        ("C360_LOG_LEVEL", "INFO"),
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
    with pytest.raises(ConfigurationError, match="setting core_actions: C360_CORE_ACTIONS is no JSON; write lists"):
        load_settings()


def test_a_tier_is_kept_no_longer_than_risks_are_stored() -> None:
    assert load_settings(tier_min_days=7, horizon_days=1).tier_min_days == 7
    assert load_settings(tier_min_days=28).tier_min_days == 28
    with pytest.raises(ConfigurationError, match="tier_min_days is 9, longer than horizon_days"):
        load_settings(tier_min_days=9, horizon_days=8)


def test_overrides_are_of_features_that_exist() -> None:
    assert load_settings(psi_overrides={"mrr_cents": (0.1, 0.2)}).psi_overrides == {"mrr_cents": (0.1, 0.2)}
    with pytest.raises(
        ConfigurationError, match=r"psi_overrides: .*there is no feature mrr_cent: did you mean mrr_cents\?"
    ):
        load_settings(psi_overrides={"mrr_cent": (0.1, 0.2)})
    with pytest.raises(ConfigurationError, match="of mrr_cents: 0 < warning <= critical must hold"):
        load_settings(psi_overrides={"mrr_cents": (0.3, 0.2)})


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


@pytest.mark.parametrize("field", secret_fields())
def test_a_secret_can_be_in_a_file(field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text("clickhouse://bob:hunter2@db/c360\n")
    Path("c360.toml").write_text(f'{field} = "of the file"\n')
    monkeypatch.setenv(f"C360_{field.upper()}_FILE", str(file))
    settings = load_settings()
    assert getattr(settings, field).get_secret_value() == "clickhouse://bob:hunter2@db/c360"
    assert "hunter2" not in f"{settings!r} {settings.masked()}"
    monkeypatch.setenv(f"C360_{field.upper()}", "hunter2")
    with pytest.raises(ConfigurationError, match=f"both C360_{field.upper()} and C360_{field.upper()}_FILE") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


def test_every_secret_is_known_and_masked() -> None:
    assert secret_fields() == ["kafka_sasl_password", "kafka_ssl_key_password", "clickhouse_dsn"]
    settings = load_settings(**dict.fromkeys(secret_fields(), "clickhouse://bob:hunter2@db"))
    assert "hunter2" not in f"{settings!r} {settings} {settings.masked()} {settings.model_dump_json()}"
    assert settings.masked()["kafka_ssl_key_password"] == "***"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\xff", "UTF-8"),
        (b"x" * 70_000, "larger"),
    ],
)
def test_a_secret_file_that_cannot_be_used_is_named(
    content: bytes | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("C360_KAFKA_SASL_PASSWORD_FILE", str(file))
    with pytest.raises(ConfigurationError, match=f"C360_KAFKA_SASL_PASSWORD_FILE: {file}.*{why}") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_set_and_means_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"SHARDS": "4", "KAFKA_SASL_PASSWORD_FILE": "x", "PEERS": "a", "REQUIRE_KAFKA": "1", "PARENT_FD": "3"}
    for name, value in known.items():
        monkeypatch.setenv(f"C360_{name}", value)
    Path("c360.toml").write_text("shards = 2\n")
    assert unknown_settings() == []
    monkeypatch.setenv("C360_SHARD", "4")
    monkeypatch.setenv("C360_SHARDS_FILE", "4")  # no secret
    monkeypatch.setenv("C360_XYZZY", "4")
    Path("c360.toml").write_text("shards = 2\nhorizon_day = 3\n[kafka]\nx = 1\n")
    assert unknown_settings() == [
        "C360_SHARD (did you mean C360_SHARDS?)",
        "C360_SHARDS_FILE (did you mean C360_SHARDS?)",
        "C360_XYZZY",
        "horizon_day (did you mean horizon_days?) in c360.toml",
        "kafka in c360.toml",
    ]
    Path("c360.toml").write_text("shards = = 2")
    with pytest.raises(ConfigurationError, match=r"c360\.toml"):
        unknown_settings()


@pytest.mark.parametrize(
    ("overrides", "warning"),
    [
        ({"kafka_security_protocol": "SASL_PLAINTEXT"}, "the password goes to k:9092 unencrypted; use SASL_SSL"),
        ({"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_brokers": "127.0.0.1:1,[::1]:2,localhost:3"}, None),
        ({"kafka_security_protocol": "SASL_SSL", "kafka_sasl_password": "hunter2"}, None),
        (
            {"kafka_sasl_username": "bob", "kafka_sasl_password": "hunter2"},
            "kafka_security_protocol is PLAINTEXT: kafka_sasl_username, kafka_sasl_password are ignored",
        ),
        ({"kafka_security_protocol": "SSL", "kafka_sasl_username": "bob"}, "is SSL: kafka_sasl_username is ignored"),
        (
            {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_ssl_ca_location": "/ca", "kafka_brokers": "[::1]:2"},
            "kafka_ssl_ca_location is ignored",
        ),
        ({"kafka_brokers": "", "kafka_sasl_username": "bob"}, None),
        (
            {"clickhouse_dsn": "clickhouse://bob:hunter2@db:8123/c360"},
            r"clickhouse://bob:\*\*\*@db:8123/c360: .*unencryp",
        ),
        ({"clickhouse_dsn": "clickhouse://bob:hunter2@127.0.0.1:8123/c360"}, None),
        ({"clickhouse_dsn": "clickhouses://bob:hunter2@db/c360"}, None),
        ({"clickhouse_dsn": "clickhouse://db/c360"}, None),
    ],
)
def test_what_makes_secrets_readable_or_useless_is_said(overrides: dict[str, str], warning: str | None) -> None:
    found = security_warnings(Settings.model_validate({"kafka_brokers": "k:9092"} | overrides))
    assert len(found) == (warning is not None)
    assert warning is None or re.search(warning, found[0])
    assert "hunter2" not in str(found)


def test_trees_that_are_not_installed_cannot_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "find_spec", lambda _: None)
    assert load_settings().challengers == ("online-logistic-fast", "online-logistic-hazard")
    with pytest.raises(ConfigurationError, match=r"setting champion: .*pip install lightgbm"):
        load_settings(champion="lightgbm")
