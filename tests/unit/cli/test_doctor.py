"""`c360 setup` fixes what `c360 doctor` finds, and `doctor` itself changes nothing."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from c360_stream import metrics
from c360_stream.cli.doctor.checks import Check, checks, doctor
from c360_stream.cli.main import cli
from c360_stream.cli.setup.creation import setup, topics
from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.migrations import load_migrations
from c360_stream.contracts.events import EPOCH
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.models import names
from c360_stream.operators.health import Health
from c360_stream.runtime.health_server import HealthServer
from c360_stream.settings import Settings, load_settings


def give_partitions(settings: Settings) -> None:
    for kind in INPUT_KINDS:
        (settings.log_dir / settings.input_topic(kind) / "0.jsonl").touch()


def problems(settings: Settings) -> list[Check]:
    return [check for check in checks(settings) if check.hint]


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
    unread = [check for check in problems(settings) if check.found == "partitions: 0"]
    assert len(unread) == len(INPUT_KINDS), "a run would not read what comes later"
    give_partitions(settings)
    assert doctor(settings)
    assert "everything is in order" in capsys.readouterr().out


def test_the_verdict_comes_first_then_problems_and_settings_last(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client refuses such a file at once, where it would ask a broker that is away for ten seconds.
    refused = {"kafka_security_protocol": "SSL", "kafka_ssl_ca_location": "/nowhere"}
    careless = settings.model_copy(update={"kafka_sasl_username": "bob", "kafka_brokers": "127.0.0.1:1", **refused})
    monkeypatch.setenv("C360_SHARD", "16")
    assert not doctor(careless)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 problems, 1 warning"
    words = [line.split()[0] for line in lines[2:] if line and " = " not in line]
    assert words == ["problem"] * 3 + ["warning", "ok", "ok"]
    first_setting = next(number for number, line in enumerate(lines) if line.startswith("kafka_brokers = "))
    assert lines[first_setting - 1] == ""
    assert all(" = " in line for line in lines[first_setting:])


def test_as_json_it_is_one_object_with_secrets_masked(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = {"kafka_sasl_password": "hunter3", "clickhouse_dsn": "clickhouse://bob:hunter2@127.0.0.1:1/c360"}
    assert not doctor(load_settings(log_dir=settings.log_dir, **secrets), as_json=True)
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert (found["ready"], found["problems"], found["warnings"]) == (False, 2, 0)
    assert [check["status"] for check in found["checks"]] == ["problem", "problem", "ok", "ok"]
    assert found["checks"][0]["hint"].startswith("run c360 setup")
    assert found["checks"][2]["hint"] is None
    assert found["settings"]["kafka_sasl_password"] == "***"
    assert found["settings"]["clickhouse_dsn"] == "clickhouse://bob:***@127.0.0.1:1/c360"
    assert "hunter" not in shown.out + shown.err


def test_as_json_its_exit_code_is_the_same(settings: Settings) -> None:
    failed = CliRunner().invoke(cli, ["doctor", "--json"], prog_name="c360")
    assert (failed.exit_code, json.loads(failed.stdout)["ready"]) == (1, False)
    setup(settings)
    give_partitions(settings)
    done = CliRunner().invoke(cli, ["doctor", "--json", "--log-dir", str(settings.log_dir)], prog_name="c360")
    assert (done.exit_code, json.loads(done.stdout)["ready"], done.stderr) == (0, True, "")


def test_a_run_that_does_not_answer_is_a_warning(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        running = settings.model_copy(update={"metrics_address": address})
        (check,) = [check for check in checks(running) if check.subject == "run"]
    assert check.status == "warning"
    assert re.search(rf"process at {address} is slow: no answer for \d+\.\d s", check.found)


def test_a_missing_topic_and_an_old_schema_are_found(settings: Settings) -> None:
    for topic in topics(settings)[1:]:
        (settings.log_dir / topic).mkdir(parents=True)
        (settings.log_dir / topic / "0.jsonl").touch()
    with closing(connect(settings.dsn)) as tables:
        first = load_migrations()[0]
        tables.migrate([first])
    missing, schema = problems(settings)
    assert missing.subject == "topic c360.product.events.v1"
    assert schema.found.startswith(f"reachable, schema version {first.number}")
    assert schema.hint == "run c360 setup"


def test_tables_that_a_run_has_open_are_no_problem(settings: Settings) -> None:
    setup(settings)
    with closing(connect(settings.dsn)):
        *_, tables = checks(settings)
    assert not tables.hint
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


def test_partitions_that_a_run_does_not_read_are_named(settings: Settings) -> None:
    setup(settings)
    give_partitions(settings)
    topic = settings.input_topic("billing")
    metrics.INPUT_PARTITIONS.labels(topic).set(1)
    try:
        with closing(HealthServer("127.0.0.1:0", Health())) as server:
            running = load_settings(log_dir=settings.log_dir, metrics_address=server.address)
            assert problems(running) == []
            (settings.log_dir / topic / "1.jsonl").touch()
            (check,) = problems(running)
    finally:
        metrics.INPUT_PARTITIONS.clear()
    assert check.subject == f"topic {topic}"
    assert check.found == f"the run at {running.metrics_address} reads 1 partitions, the topic has 2"
    assert check.hint == "restart the run"


def test_unknown_settings_are_problems_and_warnings_are_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup(settings)
    give_partitions(settings)
    monkeypatch.setenv("C360_SHARD", "16")
    (unknown,) = problems(settings)
    assert str(unknown).startswith("problem  setting C360_SHARD (did you mean C360_SHARDS?): unknown")
    monkeypatch.delenv("C360_SHARD")
    careless = load_settings(log_dir=settings.log_dir, kafka_brokers="127.0.0.1:1", kafka_sasl_username="bob")
    warning = next(check for check in checks(careless) if check.subject == "security")
    assert str(warning).startswith("warning  security: kafka_security_protocol is PLAINTEXT")
    assert not warning.hint, "no problem: it works as it is"


def test_a_retention_that_was_set_since_setup_is_worth_a_warning(settings: Settings) -> None:
    setup(settings)
    longer = settings.model_copy(update={"dead_letter_retention_days": 0})
    *_, tables = checks(longer)
    assert str(tables).startswith("warning  tables chdb:")
    asked = "C360_DEAD_LETTER_RETENTION_DAYS asks for ever: run c360 setup"
    assert tables.found.endswith(f"; dead_letters are kept for 30 days, {asked}")
    setup(longer)
    *_, tables = checks(longer)
    assert str(tables).startswith("ok ")


def write_hours(settings: Settings, partition: int, hours: Iterable[int]) -> None:
    """Product events at these hours since the epoch, in this order, between lines that are none."""
    path = settings.log_dir / settings.input_topic("product") / f"{partition}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for number, hour in enumerate(hours):
            at = (EPOCH + timedelta(hours=hour)).isoformat()
            event = {"event_id": f"{number}", "account_id": "a", "event_type": "page_viewed", "occurred_at": at}
            file.write(json.dumps(event) + "\n\n")


def order_of_events(settings: Settings) -> Check:
    """What it says of the order of events."""
    [check] = [check for check in checks(settings) if check.subject == "order of events"]
    return check


def test_a_log_in_order_is_said_to_have_been_looked_at(settings: Settings) -> None:
    write_hours(settings, 0, range(1000))
    write_hours(settings, 1, [*range(500), 3, *range(500, 1000), 400_000])
    check = order_of_events(settings)
    found = "of the first 2,002 events of 2 partitions 1 are late: they are in about the order of time"
    assert str(check) == f"ok       order of events: {found}"


def test_a_log_newest_first_is_found_with_the_command_that_sorts_it(settings: Settings) -> None:
    write_hours(settings, 0, range(1000))
    write_hours(settings, 1, reversed(range(1000)))
    check = order_of_events(settings)
    assert check.found == (
        "998 of the first 2,000 events come more than 3,600 s behind one before them;"
        " most in c360.product.events.v1/1: 998 of 1,000, by up to 41.6 days"
    )
    assert check.hint == f"a replay would refuse them: sort it: c360 sort {settings.log_dir} --out DIR"
    patient = settings.model_copy(update={"late_share_max": 0.5})
    assert str(order_of_events(patient)).startswith("warning  order of events: 998 of the first 2,000 events")
    lenient = settings.model_copy(update={"allowed_lateness_seconds": 1000 * 3600})
    assert str(order_of_events(lenient)).startswith("ok ")


def test_a_small_log_with_somebodys_late_history_is_no_problem(settings: Settings) -> None:
    write_hours(settings, 0, [*range(100, 106), *range(9)])
    assert str(order_of_events(settings)).startswith("warning  order of events: 9 of the first 15 events")


def test_only_the_beginning_of_a_partition_is_looked_at(settings: Settings) -> None:
    write_hours(settings, 0, [*range(12_000), *reversed(range(12_000))])
    assert str(order_of_events(settings)).startswith("ok       order of events: of the first 10,000 events")


def test_it_says_whether_lightgbm_contends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(settings: Settings) -> str:
        return next(check.found for check in checks(settings) if check.subject == "model lightgbm")

    assert found(settings.model_copy(update={"challengers": ("lightgbm",)})) == "contends"
    assert found(settings.model_copy(update={"champion": "lightgbm"})) == "scores"
    assert "C360_CHALLENGERS leaves it out" in found(settings.model_copy(update={"challengers": ()}))
    monkeypatch.setattr(names, "find_spec", lambda _: None)
    assert "pip install lightgbm" in found(settings)
