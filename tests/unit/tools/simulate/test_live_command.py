"""`c360 simulate --live` on librdkafka's mock cluster: history once, a clean stop, and the same company afterwards."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from c360_stream.cli.main import cli
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.ports import OutRecord
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import ConfigurationError
from c360_stream.settings import Settings
from c360_stream.tools.simulate import EventPlace, SimulationSpec, simulate
from c360_stream.tools.simulate.kafka import KafkaEventSink, find_company, world_header
from tests.unit.tools.simulate.topics import DEADLINE_SECONDS, Memory, read_events

ACCOUNTS, DAYS, SEED = 8, 4, 7
WORLD = ("--accounts", str(ACCOUNTS), "--days", str(DAYS), "--seed", str(SEED))


def run_until_now(settings: Settings) -> str:
    """Run it without --live, which ends by itself, and give what it said."""
    command = [sys.executable, "-m", "c360_stream", "simulate", "--until-now", "--kafka", settings.kafka_brokers]
    done = subprocess.run([*command, *WORLD], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def run_until_live(settings: Settings, *arguments: str) -> str:
    """Run it, send SIGTERM once it is live, and give what it said."""
    command = [sys.executable, "-m", "c360_stream", "simulate", "--live", "--kafka", settings.kafka_brokers]
    process = subprocess.Popen([*command, *WORLD, *arguments], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    watchdog = threading.Timer(DEADLINE_SECONDS, process.kill)
    watchdog.start()
    said = []
    for line in process.stderr:
        said.append(line)
        if "history up to today is written" in line:
            process.send_signal(signal.SIGTERM)
    assert process.wait() == 0, said
    watchdog.cancel()
    process.stderr.close()
    return "".join(said)


def occurred_at(line: bytes) -> datetime:
    return datetime.fromisoformat(json.loads(line)["occurred_at"])


def test_history_is_written_once_and_nothing_of_the_future(settings: Settings, tmp_path: Path) -> None:
    began = datetime.now(UTC)
    truth = tmp_path / "truth.jsonl"
    first = run_until_live(settings, "--truth", str(truth))
    start = json.loads(first[first.index("{") : first.index("}") + 1])["start"]
    assert date.fromisoformat(start) in {(began - timedelta(days=DAYS, minutes=back)).date() for back in (0, -2)}
    assert f"history from {start} first" in first
    after_first = read_events(settings)

    second = run_until_now(settings)
    assert "no history again" in second
    assert "all up to now; " in second
    third = run_until_live(settings)
    assert "no history again" in third
    ended = datetime.now(UTC)
    found = read_events(settings)
    memory = Memory()
    spec = SimulationSpec(ACCOUNTS, 2 * DAYS, SEED, date.fromisoformat(start), partitions=1)
    told = io.StringIO()
    simulate(spec, memory, told)
    for kind in INPUT_KINDS:
        assert found[kind] == memory.lines[kind][: len(found[kind])], "not this company, or something is doubled"
        due = [line for line in memory.lines[kind] if occurred_at(line) <= began]
        assert found[kind][: len(due)] == due
        assert all(occurred_at(line) <= ended for line in found[kind])
        assert found[kind][: len(after_first[kind])] == after_first[kind]
    assert told.getvalue().startswith(truth.read_text())


def test_another_company_in_the_topics_is_refused(settings: Settings) -> None:
    spec = SimulationSpec(ACCOUNTS, DAYS, SEED + 1, partitions=1)
    with closing(KafkaTransport(settings)) as transport:
        simulate(spec, KafkaEventSink(transport, settings, spec), io.StringIO())
    arguments = ["simulate", "--live", *WORLD, "--kafka", settings.kafka_brokers]
    result = CliRunner().invoke(cli, arguments, prog_name="c360")
    assert result.exit_code == 2
    assert 'events.v1 holds another simulated company: {"accounts": 8' in result.stderr
    assert "C360_TOPIC_PREFIX" in result.stderr


def test_the_last_event_is_found_behind_many_others(settings: Settings) -> None:
    spec = SimulationSpec(ACCOUNTS, DAYS, SEED, partitions=1)
    memory = Memory()
    simulate(spec, memory, io.StringIO())
    with closing(KafkaTransport(settings)) as transport:
        assert find_company(transport, settings, spec) is None
        simulate(spec, KafkaEventSink(transport, settings, spec), io.StringIO())
        with closing(transport.writer(settings.input_topic("product"), None)) as writer:
            writer.write([OutRecord("other", b'{"event_id":"heartbeat"}')] * 2500)
            writer.flush()
        found = find_company(transport, settings, SimulationSpec(ACCOUNTS, 2 * DAYS, SEED, date(2026, 1, 1)))
    assert found is not None
    assert found.spec.start == spec.start
    assert found.spec.days == spec.days
    assert found.after == {kind: EventPlace.of(lines[-1]) for kind, lines in memory.lines.items() if lines}


def test_a_kind_that_has_expired_is_not_written_again(settings: Settings) -> None:
    spec = SimulationSpec(ACCOUNTS, DAYS, SEED, partitions=1)
    with closing(KafkaTransport(settings)) as transport:
        memory = Memory()
        simulate(spec, memory, io.StringIO())
        with closing(transport.writer(settings.input_topic("product"), None)) as writer:
            writer.write([OutRecord("a", line, (world_header(spec),)) for line in memory.lines["product"]])
            writer.flush()
        found = find_company(transport, settings, spec)
    assert found is not None
    last = EventPlace.of(memory.lines["product"][-1])
    begun = EventPlace(last.day, -1)
    assert found.after == {"product": last, "billing": begun, "support": begun}


def test_an_old_event_that_was_sent_again_is_not_the_latest(settings: Settings) -> None:
    spec = SimulationSpec(ACCOUNTS, DAYS, SEED, partitions=1)
    lines = [b'{"event_id":"p-20240131-000004"}', b'{"event_id":"p-20240101-000003"}', b'{"event_id":"theirs"}']
    with closing(KafkaTransport(settings)) as transport:
        with closing(transport.writer(settings.input_topic("product"), None)) as writer:
            writer.write([OutRecord("a", line, (world_header(spec),)) for line in lines])
            writer.flush()
        found = find_company(transport, settings, spec)
    assert found is not None
    assert found.after["product"] == EventPlace(date(2024, 1, 31), 4)


@pytest.mark.parametrize("header", [b"nonsense", b"[]", b'{"accounts": 8}', b'{"start": 5}'])
def test_a_header_that_is_not_ours_is_refused_in_one_line(settings: Settings, header: bytes) -> None:
    line = b'{"event_id":"p-20240101-000000"}'
    with closing(KafkaTransport(settings)) as transport:
        with closing(transport.writer(settings.input_topic("product"), None)) as writer:
            writer.write([OutRecord("a", line, (("c360-simulation", header),))])
            writer.flush()
        with pytest.raises(ConfigurationError, match="another simulated company"):
            find_company(transport, settings, SimulationSpec(ACCOUNTS, DAYS, SEED))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--kafka", "x:1", "--start", "2024-01-01"), "cannot be combined with --start"),
        (("--out", "log"), "give --kafka"),
        (("--kafka", "x:1", "--until-now"), "cannot be combined"),
        ((), "give --kafka"),
        (("--kafka", "x:1", "--days", "0"), "simulation: days is 0"),
    ],
)
def test_wrong_use(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(cli, ["simulate", "--live", *WORLD, *arguments], prog_name="c360")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not os.listdir()
