"""The command that sends heartbeats, on the mock cluster."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from c360_stream.cli.heartbeat.rounds import heartbeat
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.contracts.events import Decoder, is_heartbeat
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.settings import Settings
from tests.contracts.mock_cluster import PARTITIONS, MockCluster, mock_cluster
from tests.contracts.test_transports import read_side_by_side
from tests.reference.log_lines import event_of

DEADLINE_SECONDS = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as cluster:
        yield cluster


@pytest.fixture
def settings(cluster: MockCluster) -> Settings:
    settings = Settings(kafka_brokers=cluster.brokers, topic_prefix=f"t-{uuid4().hex}")
    for kind in INPUT_KINDS:
        cluster.create_topic(settings.input_topic(kind))
    return settings


def counts(settings: Settings) -> list[int]:
    """Heartbeats in each partition of the input topics, each of which the contract knows as one."""
    transport = KafkaTransport(settings)
    found = []
    places = [(kind, partition) for kind in INPUT_KINDS for partition in range(PARTITIONS)]
    read = read_side_by_side(transport, [(settings.input_topic(kind), partition) for kind, partition in places])
    for (kind, _), batches in zip(places, read, strict=True):
        values = [value for batch in batches for value in batch.values]
        assert all(is_heartbeat(Decoder(kind).decode(value)) for value in values)
        assert {key for batch in batches for key in batch.keys or ()} <= {b"c360-heartbeat"}
        found.append(len(values))
    return found


@contextmanager
def beating(settings: Settings, cwd: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process; nothing of it is left afterwards."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
    env |= {"C360_KAFKA_BROKERS": settings.kafka_brokers, "C360_TOPIC_PREFIX": settings.topic_prefix}
    command = [sys.executable, "-m", "c360_stream", "heartbeat", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, cwd=cwd, text=True, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_round_reaches_every_partition(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    heartbeat(settings, every_seconds=None)
    assert capsys.readouterr().out == "sent a heartbeat to each of 12 partitions of 3 topics\n"
    assert counts(settings) == [1] * 3 * PARTITIONS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_beats_until_it_is_stopped(settings: Settings, tmp_path: Path, number: signal.Signals) -> None:
    with beating(settings, tmp_path, "--every", "1") as process:
        wait_until(lambda: min(counts(settings)) >= 2)
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, out) == (0, "")
    (line,) = err.splitlines()
    assert line.endswith("Z info heartbeats_started: sends a heartbeat every 1 s to each of 12 partitions of 3 topics")


def test_an_outage_is_told_once_and_ridden_out(cluster: MockCluster, settings: Settings, tmp_path: Path) -> None:
    with beating(settings, tmp_path, "--every", "1") as process:
        assert process.stderr is not None
        wait_until(lambda: min(counts(settings)) >= 1)
        assert event_of(process.stderr.readline().rstrip()) == "heartbeats_started"
        cluster.set_down()
        try:
            away = process.stderr.readline()
        finally:
            cluster.set_up()
        back = process.stderr.readline()
        before = counts(settings)
        wait_until(lambda: min(counts(settings)) > min(before))
        process.terminate()
        _, rest = process.communicate(timeout=DEADLINE_SECONDS)
    assert f"Z warning outage_began: Kafka at {cluster.brokers}: waiting for it: " in away
    assert re.search(
        rf"Z warning outage_ended: Kafka at {cluster.brokers} answers again, after \d+\.\d s$", back.rstrip()
    )
    assert process.returncode == 0
    assert {event_of(line) for line in rest.splitlines()} <= {"outage_began", "outage_ended"}


def test_a_topic_that_is_missing_is_named(cluster: MockCluster) -> None:
    settings = Settings(kafka_brokers=cluster.brokers, topic_prefix=f"t-{uuid4().hex}")
    cluster.create_topic(settings.input_topic("product"))
    with pytest.raises(TransportError, match=rf"no topic {settings.input_topic('billing')}; create it: c360 setup"):
        heartbeat(settings, every_seconds=None)


def test_files_belong_to_their_writers() -> None:
    with pytest.raises(ConfigurationError, match="needs Kafka"):
        heartbeat(Settings(), every_seconds=None)
