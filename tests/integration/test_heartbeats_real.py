"""Heartbeats on a real Kafka, through a live run that keeps state: from the command to the metrics."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings
from tests.flows.processes import started
from tests.integration.test_flow_on_kafka import c360, records
from tests.reference.flow_run import DEADLINE_SECONDS, FlowRun
from tests.reference.worlds import WorldSpec, write_world

pytestmark = pytest.mark.kafka
PARTITIONS = 4


def acknowledged(run: FlowRun) -> dict[tuple[str, str, str], float]:
    """When the newest heartbeat was sent, by topic, partition and sink."""
    said = re.search(r"metrics at (http://127\.0\.0\.1:\d+/metrics)", run.output())
    page = ""
    with suppress(OSError):
        page = urllib.request.urlopen(said[1], timeout=5).read().decode() if said else ""
    return {
        (each.labels["topic"], each.labels["partition"], each.labels["sink"]): each.value
        for family in text_string_to_metric_families(page)
        for each in family.samples
        if each.name == "c360_heartbeat_timestamp_seconds"
    }


def test_a_heartbeat_comes_out_of_every_partition(kafka_brokers: str, tmp_path: Path) -> None:
    settings = Settings(kafka_brokers=kafka_brokers, topic_prefix=f"t-{uuid4().hex}")
    env = {"C360_KAFKA_BROKERS": kafka_brokers, "C360_TOPIC_PREFIX": settings.topic_prefix}
    world = write_world(WorldSpec(seed=1, accounts=1, days=1), tmp_path / "world")
    (tmp_path / "run").mkdir()
    run = FlowRun(world.path, tmp_path / "run", recovery=True, until_end=False, settings=env)
    c360("setup", env={**env, "C360_CLICKHOUSE_DSN": run.dsn}, cwd=tmp_path)
    places = [(settings.input_topic(kind), partition) for kind in INPUT_KINDS for partition in range(PARTITIONS)]
    wanted = {
        (topic, str(partition), sink)
        for topic, partition in places
        for sink in ("heartbeats", settings.heartbeat_topic)
    }
    with started(run) as process:
        began, deadline = time.time(), time.monotonic() + DEADLINE_SECONDS
        c360("heartbeat", "--once", env=env, cwd=tmp_path)
        while (found := acknowledged(run)).keys() != wanted:
            assert process.poll() is None, run.output()
            assert time.monotonic() < deadline, wanted - found.keys()
            time.sleep(0.1)
        assert all(began - 1 <= sent <= time.time() for sent in found.values())
    values = [json.loads(value) for value, _ in records(settings, settings.heartbeat_topic)]
    assert sorted((each["topic"], each["partition"]) for each in values) == sorted(places)
