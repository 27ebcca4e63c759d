"""`c360 setup` mends what `c360 doctor` finds, and `doctor` itself changes nothing."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from c360_stream.commands.doctor import Check, checks, doctor
from c360_stream.commands.setup import setup, topics
from c360_stream.connectors.clickhouse import connect
from c360_stream.connectors.migrations import load_migrations
from c360_stream.settings import Settings, load_settings


def problems(settings: Settings) -> list[Check]:
    return [check for check in checks(settings) if check.mend]


def test_before_setup_it_says_what_is_missing_and_makes_nothing(settings: Settings, tmp_path: Path) -> None:
    assert not doctor(settings)
    log, tables = problems(settings)
    assert "missing; run c360 setup" in str(log)
    assert "not there yet; run c360 setup" in str(tables)
    assert list(tmp_path.iterdir()) == []


def test_setup_mends_it_and_can_be_repeated(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    setup(settings)
    assert "created" in capsys.readouterr().out
    setup(settings)
    assert "created" not in capsys.readouterr().out
    assert doctor(settings)
    assert "everything is in order" in capsys.readouterr().out


def test_a_missing_topic_and_an_old_schema_are_found(settings: Settings) -> None:
    for topic in topics(settings)[1:]:
        (settings.log_dir / topic).mkdir(parents=True)
    with closing(connect(settings.dsn)) as tables:
        tables.migrate(load_migrations()[:1])
    missing, schema = problems(settings)
    assert missing.subject == "topic c360.product.events.v1"
    assert schema.found.startswith("reachable, schema version 1")
    assert schema.mend == "run c360 setup"


def test_tables_that_a_run_has_open_are_no_problem(settings: Settings) -> None:
    setup(settings)
    with closing(connect(settings.dsn)):
        *_, tables = checks(settings)
    assert not tables.mend
    assert "open in another process" in tables.found


def test_a_file_that_is_no_partition_is_named(settings: Settings) -> None:
    (settings.log_dir / settings.risk_topic).mkdir(parents=True)
    (settings.log_dir / settings.risk_topic / "latest.jsonl").touch()
    assert any("latest.jsonl" in check.found for check in problems(settings))


def test_servers_that_do_not_answer_are_problems_and_secrets_stay_secret(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = probe.getsockname()[1]
        away = load_settings(
            clickhouse_dsn=f"clickhouse://bob:hunter2@127.0.0.1:{port}/c360",
            kafka_sasl_password="hunter3",
            log_dir=settings.log_dir,
        )
        assert not doctor(away)
    shown = capsys.readouterr().out
    assert f"problem  tables clickhouse://bob:***@127.0.0.1:{port}/c360: " in shown
    assert "hunter" not in shown
