"""A killed `c360 simulate --kafka`, repeated: nothing is missing and nothing doubled, on librdkafka's mock cluster."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path

from click.testing import CliRunner, Result

from c360_stream.cli.main import cli
from c360_stream.cli.top.live import TopicTail
from c360_stream.connectors.dead_letters import FROM
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.ports import OutRecord
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings
from c360_stream.tools.simulate import EventPlace, SimulationSpec, simulate
from c360_stream.tools.simulate.kafka import KafkaEventSink, world_header
from c360_stream.tools.simulate.resumed import Begun, RestSink
from tests.unit.tools.simulate.topics import DEADLINE_SECONDS, Memory, read_events

SPEC = SimulationSpec(8, 100, 7, partitions=1)
WORLD = ("--accounts", "8", "--days", "100", "--seed", "7")


def company() -> dict[str, list[bytes]]:
    memory = Memory()
    simulate(SPEC, memory, io.StringIO())
    return memory.lines


def again(settings: Settings, *arguments: str) -> Result:
    command = ["simulate", *WORLD, "--kafka", settings.kafka_brokers, *arguments]
    return CliRunner().invoke(cli, command, prog_name="c360")


def test_killed_and_repeated_every_event_is_there_once(settings: Settings) -> None:
    command = [sys.executable, "-m", "c360_stream", "simulate", *WORLD, "--kafka", settings.kafka_brokers]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert "day 10 of 100" in process.stderr.readline()
        process.kill()
        process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL
    left = read_events(settings)
    whole = company()
    assert 0 < len(left["product"]) < len(whole["product"])
    done = again(settings)
    assert done.exit_code == 0, done.stderr
    assert "the topics hold this company up to 2024-" in done.stderr
    there = sum(map(len, left.values()))
    everything = sum(map(len, whole.values()))
    assert done.stdout.startswith(f"{everything:,} events ")
    assert f"in {settings.kafka_brokers}, {there:,} of them were there already; " in done.stdout
    assert read_events(settings) == {kind: sorted(lines, key=EventPlace.of) for kind, lines in whole.items()}
    assert len(Path("truth.jsonl").read_bytes().splitlines()) > 100


def test_a_day_with_holes_is_completed_whatever_stands_behind_it(settings: Settings) -> None:
    """Partitions are acknowledged one by one: of the last day anything may be missing. Others write there, too."""
    whole, last = company(), date(2024, 4, 9)
    with closing(KafkaTransport(settings)) as transport:
        with closing(KafkaEventSink(transport, settings, SPEC)) as sink:
            for kind, lines in whole.items():
                for line in sorted(lines, key=EventPlace.of):
                    place = EventPlace.of(line)
                    if place.day < last or (place.day == last and kind == "product" and place.number % 3):
                        sink.write(kind, 0, [line])
        with closing(transport.writer(settings.input_topic("product"), None)) as writer:
            writer.write([OutRecord("x", b"no event")] * 1_500)
            redriven = sorted(whole["product"], key=EventPlace.of)[0]
            writer.write([OutRecord("x", redriven, (world_header(SPEC), (FROM, b"letters/0/1")))])
            writer.flush()
    done = again(settings)
    assert done.exit_code == 0, done.stderr
    assert f"up to {last}" in done.stderr
    with closing(KafkaTransport(settings)) as transport:
        for kind in INPUT_KINDS:
            with closing(TopicTail(transport, settings.input_topic(kind), DEADLINE_SECONDS)) as tail:
                found = sorted(line for _, line in tail.read() if line != b"no event")
            expected = sorted([*whole[kind], redriven] if kind == "product" else whole[kind])
            assert found == expected


def test_repeated_when_it_is_whole_it_writes_nothing(settings: Settings) -> None:
    assert again(settings).exit_code == 0
    before = read_events(settings)
    done = again(settings)
    count = sum(map(len, before.values()))
    assert f", {count:,} of them were there already; " in done.stdout
    assert read_events(settings) == before


def test_another_company_is_not_mixed_with_it(settings: Settings) -> None:
    with closing(KafkaTransport(settings)) as transport:
        simulate(SimulationSpec(8, 3, 7, partitions=1), KafkaEventSink(transport, settings, SPEC), io.StringIO())
    before = read_events(settings)
    for other in (("--seed", "8"), ("--days", "99"), ("--start", "2023-01-01")):
        done = again(settings, *other)
        assert done.exit_code == 2
        assert "holds another simulated company: " in done.stderr
        assert json.loads(done.stderr[done.stderr.index("{") : done.stderr.index("}") + 1])["days"] == 100
    assert read_events(settings) == before


def test_what_is_there_is_held_back_line_by_line() -> None:
    memory = Memory()
    line = '{{"event_id":"b-{}-{:06}","account_id":"a"}}'.format
    days = {day: [line(day, number).encode() for number in range(4)] for day in ("20240101", "20240102", "20240103")}
    sink = RestSink(memory, Begun(date(2024, 1, 2), {"billing": frozenset({0, 2})}))
    for lines in days.values():
        sink.write("billing", 0, lines)
    sink.write("billing", 0, [])
    assert memory.lines["billing"] == [days["20240102"][1], days["20240102"][3], *days["20240103"]]
    assert sink.left == 6
