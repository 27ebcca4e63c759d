"""`c360 bench kafka` on a real Kafka: it takes what it produced, and leaves nothing behind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient

from c360_stream.cli.main import cli

pytestmark = pytest.mark.kafka


def test_a_run_on_kafka_takes_every_record_and_leaves_nothing_behind(
    kafka_brokers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("C360_TOPIC_PREFIX", "somebody-elses")
    arguments = ["bench", "kafka", "--accounts", "20", "--events", "800", "--days", "2", "--json"]
    done = CliRunner().invoke(cli, [*arguments, "--brokers", kafka_brokers], prog_name="c360")
    assert done.exit_code == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["name"] for result in found] == [
        *("kafka", "kafka_with_startup", "kafka_cpu", "kafka_by_message", "kafka_by_call"),
        *("kafka_without_recovery", "kafka_2", "kafka_2_cpu"),
    ]
    assert [result["parameters"]["processes"] for result in found] == [1, 1, 1, 1, 1, 1, 2, 2]
    assert [result["parameters"]["recovery"] for result in found] == [*[True] * 5, False, True, True]
    assert all(result["detail"]["startup_seconds"] > 0 for result in found)
    parameters = found[0]["parameters"]
    assert parameters["events"] > 800 + 20
    assert parameters["scores"] >= 20
    assert all(result["value"] > 0 and result["floor"] > 0 for result in found)
    assert list(tmp_path.iterdir()) == []
    topics = AdminClient({"bootstrap.servers": kafka_brokers}).list_topics(timeout=10).topics
    assert not [name for name in topics if name.startswith(("c360-bench-", "somebody-elses"))]
