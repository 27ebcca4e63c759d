"""Heartbeats among the events: they come out in the topic, the table and the metrics, and change no score."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from c360_stream.contracts.events import HEARTBEAT_ACCOUNT, HEARTBEAT_TYPE
from c360_stream.settings import load_settings
from c360_stream.tools.evaluate.log_replay import LogReplay
from tests.flows.conftest import SEED
from tests.flows.processes import started
from tests.flows.test_determinism import tick_scores
from tests.reference.check import Tables
from tests.reference.flow_run import DEADLINE_SECONDS, FlowRun
from tests.reference.log import WrittenLog, read_lines, topic_name, write_lines
from tests.reference.oracle import TOPICS
from tests.reference.tables import query_elsewhere

pytestmark = pytest.mark.slow
A_PARTITION = 25
SINKS = ("heartbeats", "c360.heartbeats.v1")
SENT = "SELECT topic, partition, sent_at, produced_at FROM heartbeats ORDER BY topic, partition, sent_at"

Place = tuple[str, int]


def beating(world: WrittenLog, out: Path) -> dict[Place, list[str]]:
    """Write the log again with heartbeats among its lines; when those of each partition were sent.

    Their clock is today's, years after the events: they stand for no event time.
    """
    draw, now = Random(SEED), datetime.now(UTC)
    sent: dict[Place, list[str]] = {}
    for topic in TOPICS:
        for partition, lines in read_lines(world.path, topic).items():
            times = [now - timedelta(milliseconds=draw.randrange(10**7)) for _ in range(A_PARTITION)]
            texts = [at.isoformat(timespec="milliseconds").replace("+00:00", "Z") for at in times]
            for text in texts:
                lines.insert(draw.randint(0, len(lines)), heartbeat(text))
            sent[topic_name(topic), partition] = sorted(texts)
            write_lines(out / topic_name(topic), partition, lines, zipped=False)
    return sent


def heartbeat(sent_at: str) -> bytes:
    fields = {"account_id": HEARTBEAT_ACCOUNT, "event_type": HEARTBEAT_TYPE, "occurred_at": sent_at}
    return json.dumps({"event_id": f"h{sent_at}", **fields}).encode()


def on_topic(run: FlowRun) -> list[dict[str, Any]]:
    files = (run.log_dir / "c360.heartbeats.v1").glob("*.jsonl")
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def by_place(found: list[dict[str, Any]]) -> dict[Place, list[str]]:
    places: dict[Place, list[str]] = {}
    for each in found:
        assert each["produced_at"] == each["sent_at"], "in a replay the clock is event time"
        at = datetime.fromisoformat(each["sent_at"]).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        places.setdefault((each["topic"], each["partition"]), []).append(at)
    return {place: sorted(times) for place, times in places.items()}


@pytest.mark.parametrize("processes", [1, 2])
def test_they_come_out_and_change_no_score(world: WrittenLog, tables: Tables, home: Path, processes: int) -> None:
    sent = beating(world, home / "world")
    (home / "run").mkdir()
    run = FlowRun(home / "world", home / "run", processes=processes, recovery=processes > 1)
    run.finish()
    assert by_place(on_topic(run)) == sent
    (rows,) = query_elsewhere(run.dsn, SENT)
    assert by_place(rows) == sent
    found = run.tables()
    assert tick_scores(found) == tick_scores(tables)
    for table in ("account_features", "outcomes"):
        assert sorted(found[table], key=json.dumps) == sorted(tables[table], key=json.dumps)


def features(log_dir: Path) -> list[tuple[int, list[bytes]]]:
    """The feature rows of every tick, as an evaluation sees them."""
    replay = LogReplay(load_settings(log_dir=log_dir, kafka_brokers="", live=False))
    return [(tick.day, [rows.features.tobytes() for rows in tick.rows]) for tick in replay.ticks()]


def test_an_evaluation_passes_over_them(world: WrittenLog, home: Path) -> None:
    beating(world, home / "world")
    assert features(home / "world") == features(world.path)


def pages(run: FlowRun) -> Iterator[str]:
    """The metrics, again and again until the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if said := re.search(r"metrics at (http://127\.0\.0\.1:\d+/metrics)", run.output()):
            with suppress(OSError), urllib.request.urlopen(said[1], timeout=5) as answer:
                yield answer.read().decode()
        time.sleep(0.05)
    raise AssertionError(run.output()[-3000:])


def acknowledged(page: str, topic: str) -> dict[str, float]:
    """When the newest of the topic's partition 0 was sent, by sink."""
    samples = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return {
        each.labels["sink"]: each.value
        for each in samples
        if each.name == "c360_heartbeat_timestamp_seconds"
        and (each.labels["topic"], each.labels["partition"]) == (topic, "0")
    }


def test_live_the_metrics_say_when_the_newest_was_sent(world: WrittenLog, home: Path) -> None:
    sent = beating(world, home / "world")
    (home / "run").mkdir()
    run = FlowRun(home / "world", home / "run", until_end=False)
    topic = topic_name("billing")
    with started(run):
        newest = datetime.fromisoformat(sent[topic, 0][-1]).timestamp()
        for _ in range(2):
            next(page for page in pages(run) if acknowledged(page, topic) == dict.fromkeys(SINKS, newest))
            at = datetime.fromtimestamp(int(time.time()), UTC)
            with (run.log_dir / topic / "0.jsonl").open("ab") as file:
                file.write(heartbeat(at.isoformat()) + b"\n")
            newest = at.timestamp()
        page = next(pages(run))
    for sink in SINKS:
        observed = re.search(rf'c360_heartbeat_latency_seconds_count\{{sink="{sink}"\}} (\S+)', page)
        assert observed is not None
        assert float(observed[1]) >= len(sent) * A_PARTITION
