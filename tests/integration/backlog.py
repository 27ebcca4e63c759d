"""Measure: a large backlog in a real Kafka, and ClickHouse away for a while in the middle of it.

`python -m tests.integration.backlog --events 5000000 --outage-seconds 120` prints one JSON line: the process's memory
before, during and after the outage, and what is in the tables in the end. Exit code 1 if anything is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.contracts.records import rfc3339_ms
from c360_stream.settings import Settings
from c360_stream.tools.bench.sample import START_DAY, Sample, SampleSpec
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.integration.kafka_broker import own_broker

PARTITIONS = 4
ACCOUNTS = 5_000
DAYS = 10
POLL_SECONDS = 0.5
RUN_SECONDS_MAX = 1_200.0
PORT = 8_399


def produce(settings: Settings, events: int) -> int:
    """Write ten days of events, a day after the other, and give their number."""
    producer = Producer({"bootstrap.servers": settings.kafka_brokers, "enable.idempotence": True, "linger.ms": 50})
    first = rfc3339_ms(START_DAY * 86_400_000_000)[:10].encode()
    written = 0
    for day in range(DAYS):
        date = rfc3339_ms((START_DAY + day) * 86_400_000_000)[:10].encode()
        sample = Sample(SampleSpec(ACCOUNTS, events // DAYS, days=1, seed=day + 1, partitions=PARTITIONS))
        for kind in INPUT_KINDS:
            for partition, lines in enumerate(sample.lines(kind)):
                for line in lines:
                    while True:
                        try:
                            producer.produce(settings.input_topic(kind), line.replace(first, date), partition=partition)
                            break
                        except BufferError:
                            producer.poll(0.1)
                    written += 1
                producer.poll(0)
    assert producer.flush(60) == 0
    return written


def events_read(address: str) -> float:
    """How many events the run has read so far; 0 before it serves metrics."""
    try:
        with urlopen(f"http://{address}/metrics", timeout=5) as page:
            families = text_string_to_metric_families(page.read().decode())
    except OSError:
        return 0.0
    return sum(s.value for family in families for s in family.samples if s.name == "c360_events_read_total")


def measure(events: int, outage_seconds: float) -> dict[str, object]:
    """Run through a backlog with an outage in the middle; figures and what is in the tables."""
    with tempfile.TemporaryDirectory() as folder, own_broker() as broker, ClickHouseFront(Path(folder) / "db") as front:
        settings = Settings(kafka_brokers=broker.address, topic_prefix="backlog", clickhouse_dsn=front.dsn())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("C360_")} | {
            "C360_KAFKA_BROKERS": broker.address,
            "C360_TOPIC_PREFIX": "backlog",
            "C360_CLICKHOUSE_DSN": front.dsn(),
            "C360_METRICS_ADDRESS": f"127.0.0.1:{PORT}",
        }
        c360 = [sys.executable, "-m", "c360_stream"]
        subprocess.run([*c360, "setup"], env=environment, check=True, stdout=subprocess.DEVNULL)
        written = produce(settings, events)
        print(f"{written:,} events in Kafka", file=sys.stderr)
        run = [*c360, "run", "--until-end", "--recovery", f"{folder}/recovery"]
        process = subprocess.Popen(run, env=environment, cwd=folder)
        try:
            peaks = watch(process, written, front, outage_seconds)
        finally:
            process.kill()
        store = connect(front.dsn())
        (found,) = store.query(
            "SELECT (SELECT count() FROM account_features) AS rows, (SELECT uniqExact(account_id, as_of)"
            " FROM account_features) AS features, (SELECT countIf(trigger = 'tick') FROM risk_scores) AS scores"
        )
        store.close()
    expected = ACCOUNTS * (DAYS - 1)
    whole = found["rows"] == found["features"] == found["scores"] == expected
    return {"events": written, "exit_code": process.returncode, **peaks, **found, "expected": expected, "whole": whole}


def watch(
    process: subprocess.Popen[bytes], events: int, front: ClickHouseFront, outage_seconds: float
) -> dict[str, int]:
    """Take the server away once a third is read; peak memory in MB before, during and after."""
    peaks = {"mb_before": 0, "mb_during": 0, "mb_after": 0}
    phase, deadline, back_at = "mb_before", time.monotonic() + RUN_SECONDS_MAX, 0.0
    while process.poll() is None:
        assert time.monotonic() < deadline, "the run does not end"
        peaks[phase] = max(peaks[phase], psutil.Process(process.pid).memory_info().rss // 1_000_000)
        if phase == "mb_before" and events_read(f"127.0.0.1:{PORT}") > events / 3:
            front.down()
            phase, back_at = "mb_during", time.monotonic() + outage_seconds
        elif phase == "mb_during" and time.monotonic() > back_at:
            peaks["events_read_in_outage_at_most"] = int(events_read(f"127.0.0.1:{PORT}"))
            front.up()
            phase = "mb_after"
        time.sleep(POLL_SECONDS)
    return peaks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--outage-seconds", type=float, default=120.0)
    asked = parser.parse_args()
    result = measure(asked.events, asked.outage_seconds)
    print(json.dumps(result))
    sys.exit(0 if result["whole"] and result["exit_code"] == 0 else 1)


if __name__ == "__main__":
    main()
