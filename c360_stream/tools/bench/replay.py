"""Benchmark `replay`: from a log directory to the sinks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings
from c360_stream.tools.bench.result import Result, Timed, timed
from c360_stream.tools.bench.runs import Run, run_log
from c360_stream.tools.bench.sample import NEXT_TO_NOTHING, Sample, SampleSpec

BLOCK_BYTES = 1024 * 1024


def measure(spec: SampleSpec, processes: int) -> Iterator[Result]:
    """Write a log directory, read it for the floors, and replay it with the defaults into chDB and topics.

    Once with a recovery directory and once without, and last without on clean data: what was measured up to
    version 0.9.
    """
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as home:
        settings = Settings.model_construct(log_dir=Path(home) / "log")
        counts = Sample(spec).write(settings)
        floor = timed(split_blocks, log_files(settings))
        by_line = timed(split_lines, log_files(settings))
        runs = [
            run_log(settings.log_dir, processes, counts.accepted, recovery=recovery).started_as(
                started_and_ended(Path(home), processes, recovery=recovery)
            )
            for recovery in (True, False)
        ]
    kept, unkept = runs
    parameters = {**spec.parameters(counts), "processes": processes, "scores": kept.scores}
    with_recovery = parameters | {"recovery": True}
    yield from results("replay", kept, floor, "reading the same files and splitting the lines", with_recovery)
    floor_is = "reading the same files line by line in Python and splitting each line at its commas"
    yield from results("replay_by_line", kept, by_line, floor_is, with_recovery, suffixes=[""])
    without = parameters | {"recovery": False}
    yield against("replay_without_recovery", unkept, kept, without)
    yield from _clean(replace(spec, clean=True), processes)


def _clean(spec: SampleSpec, processes: int) -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as home:
        settings = Settings.model_construct(log_dir=Path(home) / "log")
        counts = Sample(spec).write(settings)
        floor = timed(split_blocks, log_files(settings))
        run = run_log(settings.log_dir, processes, counts.accepted, recovery=False)
        run = run.started_as(started_and_ended(Path(home), processes, recovery=False))
    parameters = {**spec.parameters(counts), "processes": processes, "scores": run.scores, "recovery": False}
    floor_is = "reading the same files and splitting the lines"
    yield from results("replay_clean", run, floor, floor_is, parameters, suffixes=[""])


def started_and_ended(home: Path, processes: int, *, recovery: bool) -> Run:
    """What a replay costs in which there is next to nothing to read."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        settings = Settings.model_construct(log_dir=Path(folder) / "log")
        counts = Sample(NEXT_TO_NOTHING).write(settings)
        return run_log(settings.log_dir, processes, counts.accepted, recovery=recovery)


def results(
    name: str,
    run: Run,
    floor: Timed[Any],
    floor_is: str,
    parameters: dict[str, Any],
    *,
    suffixes: Iterable[str] = ("", "_with_startup", "_cpu"),
) -> Iterator[Result]:
    """Events a second of a run by its own clock, by the wall's, and by its CPU time."""
    for suffix, unit, seconds, least in (
        ("", "events per second", run.flow, floor.wall),
        ("_with_startup", "events per second", run.wall, floor.wall),
        ("_cpu", "events per CPU second, start-up included", run.cpu, floor.cpu),
    ):
        if suffix in suffixes:
            value = run.events / seconds
            yield Result(
                name + suffix,
                unit,
                value,
                floor=run.events / least,
                floor_is=floor_is,
                parameters=parameters,
                detail=run.seconds(),
            )


def against(name: str, run: Run, other: Run, parameters: dict[str, Any]) -> Result:
    """Events per second of a run beside those of the run that it is compared with."""
    floor_is = f"the same {'without' if parameters['recovery'] else 'with'} a recovery directory"
    value, least = run.events / run.flow, other.events / other.flow
    return Result(
        name, "events per second", value, floor=least, floor_is=floor_is, parameters=parameters, detail=run.seconds()
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
