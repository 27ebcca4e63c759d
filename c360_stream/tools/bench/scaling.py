"""Benchmark `scaling`: the replay of one log over one process and over several."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from c360_stream.settings import Settings
from c360_stream.tools.bench.replay import log_files, split_lines
from c360_stream.tools.bench.result import Result
from c360_stream.tools.bench.runs import Run, run_log
from c360_stream.tools.bench.sample import Sample, SampleSpec

FLOOR_PASSES = 3


def measure(spec: SampleSpec, processes_max: int, repeats: int) -> Iterator[Result]:
    """Replay over 1 to `processes_max` processes in turn, `repeats` times; the quickest of each counts.

    Each has a recovery directory.

    The floor is what the machine gives: so many processes that do not communicate, and split the lines
    of their part of the same files one by one. It is measured right behind each replay.
    """
    numbers = range(1, processes_max + 1)
    runs: dict[int, list[Run]] = {number: [] for number in numbers}
    floors: dict[int, list[float]] = {number: [] for number in numbers}
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as home:
        settings = Settings.model_construct(log_dir=Path(home) / "log")
        counts = Sample(spec).write(settings)
        for _ in range(repeats):
            for number in numbers:
                runs[number].append(run_log(settings.log_dir, number, counts.accepted))
                floors[number].append(_split_apart(log_files(settings), number))
    best = {number: min(of, key=lambda run: run.flow) for number, of in runs.items()}
    least_cpu = {number: min(run.cpu for run in of) for number, of in runs.items()}
    for number in numbers[1:]:
        parameters = {**spec.parameters(counts), "processes": number, "recovery": True, "repeats": repeats}
        detail = {
            "one_flow_seconds": best[1].flow,
            "one_cpu_seconds": least_cpu[1],
            "flow_seconds": best[number].flow,
            "cpu_seconds": least_cpu[number],
        }
        yield Result(
            f"scaling_{number}",
            "times the throughput of one process",
            best[1].flow / best[number].flow,
            floor=min(floors[1]) / min(floors[number]),
            floor_is=f"{number} processes that split the lines of their part, against one that splits all",
            parameters=parameters,
            detail=detail,
        )
        # On a machine with others the cores may not be there; their CPU time shows their share of a free machine.
        yield Result(
            f"scaling_{number}_cpu",
            "times the throughput of one process, if each had a core of its own: by CPU time, start-up included",
            number * least_cpu[1] / least_cpu[number],
            floor=number,
            floor_is="no work done twice or for each other",
            parameters=parameters,
            detail=detail,
        )


def _split_apart(paths: list[Path], processes: int) -> float:
    """Seconds in which so many processes split all lines; the quickest of some passes."""
    parts = [paths[number::processes] for number in range(processes)]
    # Fresh interpreters: a fork would take over what this one holds.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(split_lines, [[]] * processes))  # until all are there
        seconds = []
        for _ in range(FLOOR_PASSES):
            began = time.perf_counter()
            list(pool.map(split_lines, parts))
            seconds.append(time.perf_counter() - began)
    return min(seconds)
