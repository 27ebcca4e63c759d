"""Benchmark `replay`: from a log directory to the sinks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from c360_stream.commands.bench.result import Result, Timed, timed
from c360_stream.commands.bench.runs import Run, run_to_end
from c360_stream.commands.bench.sample import Sample, SampleSpec
from c360_stream.settings import INPUT_KINDS, Settings

BLOCK_BYTES = 1024 * 1024


def measure(spec: SampleSpec, processes: int) -> Iterator[Result]:
    """Write a log directory, read it for the floors, and replay it with the defaults into chDB and topics."""
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as home:
        settings = Settings.model_construct(log_dir=Path(home) / "log")
        events, size = Sample(spec).write(settings)
        floor = timed(split_blocks, log_files(settings))
        by_line = timed(split_lines, log_files(settings))
        run = run_to_end({"C360_LOG_DIR": str(settings.log_dir)}, Path(home), processes, events)
    parameters = {**spec.parameters(events, size), "processes": processes, "scores": run.scores}
    yield from results("replay", run, floor, "reading the same files and splitting the lines", parameters)
    yield Result(
        "replay_by_line",
        "events per second",
        events / run.flow,
        events / by_line.wall,
        "reading the same files line by line in Python and splitting each line at its commas",
        parameters,
        run.seconds(),
    )


def results(name: str, run: Run, floor: Timed[Any], floor_is: str, parameters: dict[str, Any]) -> Iterator[Result]:
    """Events a second of a run by its own clock, by the wall's, and by its CPU time."""
    for suffix, unit, seconds, least in (
        ("", "events per second", run.flow, floor.wall),
        ("_with_startup", "events per second", run.wall, floor.wall),
        ("_cpu", "events per CPU second, start-up included", run.cpu, floor.cpu),
    ):
        yield Result(
            name + suffix, unit, run.accepted / seconds, run.accepted / least, floor_is, parameters, run.seconds()
        )


def log_files(settings: Settings) -> list[Path]:
    """The files of the three input topics."""
    return [path for kind in INPUT_KINDS for path in sorted((settings.log_dir / settings.input_topic(kind)).iterdir())]


def split_blocks(paths: Iterable[Path]) -> None:
    """Read files and split them into lines, a block at a time: what the C library can do."""
    for path in paths:
        head = b""
        with path.open("rb", buffering=0) as file:
            while block := file.read(BLOCK_BYTES):
                *_, head = (head + block).split(b"\n")


def split_lines(paths: Iterable[Path]) -> None:
    """Read files line by line and split each line: what a Python program does that looks at each line once."""
    for path in paths:
        with path.open("rb") as file:
            for line in file:
                line.split(b",")
