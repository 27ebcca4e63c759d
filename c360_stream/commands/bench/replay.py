"""Benchmark `replay`: `c360 run --until-end` as a user starts it, from a log directory to the sinks."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from c360_stream.commands.bench.result import Result, timed
from c360_stream.commands.bench.sample import Sample, SampleSpec
from c360_stream.errors import C360Error
from c360_stream.settings import INPUT_KINDS, Settings

BLOCK_BYTES = 1024 * 1024
_DONE = re.compile(r"c360 run: process \d+: ([\d,]+) events read, ([\d,]+) accepted, .* ([\d,]+) scores, ([\d,.]+) s$")


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run said, and what it took: seconds by its own clock, from start to exit, and of CPU time."""

    accepted: int
    scores: int
    flow: float
    wall: float
    cpu: float


def measure(spec: SampleSpec, processes: int) -> Iterator[Result]:
    """Write a log directory, read it once for the floor, and replay it with the defaults into chDB and topics."""
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as home:
        settings = Settings.model_construct(log_dir=Path(home) / "log")
        events, size = Sample(spec).write(settings)
        floor = timed(_read_and_split, settings)
        run = _replay(settings.log_dir, processes)
    if run.accepted != events:
        raise C360Error(f"the replay took {run.accepted:,} of {events:,} events", "report this")
    parameters = {
        "accounts": spec.accounts,
        "events": events,
        "product_events": spec.product_events,
        "bytes_per_event": round(size / events),
        "days": spec.days,
        "partitions": spec.partitions,
        "processes": processes,
        "scores": run.scores,
        "seed": spec.seed,
    }
    floor_is = "reading the same files and splitting the lines"
    detail = {"flow_seconds": run.flow, "wall_seconds": run.wall, "cpu_seconds": run.cpu}
    for name, unit, seconds, least in (
        ("replay", "events per second", run.flow, floor.wall),
        ("replay_with_startup", "events per second", run.wall, floor.wall),
        ("replay_cpu", "events per CPU second, start-up included", run.cpu, floor.cpu),
    ):
        yield Result(name, unit, events / seconds, events / least, floor_is, parameters, detail)


def _read_and_split(settings: Settings) -> None:
    for kind in INPUT_KINDS:
        for path in (settings.log_dir / settings.input_topic(kind)).iterdir():
            head = b""
            with path.open("rb", buffering=0) as file:
                while block := file.read(BLOCK_BYTES):
                    *_, head = (head + block).split(b"\n")


def _replay(log_dir: Path, processes: int) -> _Run:
    """Run in a subprocess, away from this process's configuration."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
    environment |= {"C360_METRICS_ADDRESS": "127.0.0.1:0"}
    command = [sys.executable, "-m", "c360_stream", "run", "--log-dir", str(log_dir), "--until-end"]
    began, cpu = time.perf_counter(), _children_cpu_seconds()
    done = subprocess.run(  # noqa: S603 - this very program
        [*command, "--processes", str(processes)],
        check=False,
        env=environment,
        cwd=log_dir.parent,
        capture_output=True,
        text=True,
    )
    wall, cpu = time.perf_counter() - began, _children_cpu_seconds() - cpu
    said = [found.groups() for line in done.stderr.splitlines() if (found := _DONE.search(line))]
    if done.returncode or len(said) != processes:
        raise C360Error(f"the replay failed: {done.stderr.strip()[-500:]}", "run `c360 doctor`")
    accepted, scores = (sum(int(part[i].replace(",", "")) for part in said) for i in (1, 2))
    return _Run(accepted, scores, max(float(part[3].replace(",", "")) for part in said), wall, cpu)


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
