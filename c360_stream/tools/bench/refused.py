"""Benchmark `refused`: what a refused event costs, beside an accepted one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from c360_stream.settings import Settings
from c360_stream.tools.bench.flaws import spoilt
from c360_stream.tools.bench.result import Result
from c360_stream.tools.bench.runs import Run, run_log
from c360_stream.tools.bench.sample import Counts, Sample, SampleSpec


def measure(spec: SampleSpec, processes: int) -> Iterator[Result]:
    """Replay a log; the same with as many product events more, each of which is refused; and one with twice as many.

    What the second and the third run take more is what a refused event costs, dead letters in table and topic included,
    and what another one does, a hundredth of which is refused, too.
    """
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        log, twice = (Settings.model_construct(log_dir=Path(folder) / name / "log") for name in ("one", "twice"))
        counts = Sample(spec).write(log)
        without = run_log(log.log_dir, processes, counts.accepted)
        flood = _flood(spec, log)
        with_flood = run_log(log.log_dir, processes, counts.accepted)
        more = Sample(replace(spec, product_events=2 * spec.product_events)).write(twice)
        with_more = run_log(twice.log_dir, processes, more.accepted)
    parameters = {
        **spec.parameters(counts),
        "refused_more": flood.lines,
        "other_more": more.lines - counts.lines,
        "processes": processes,
        "recovery": True,
        "peak_bytes": without.peak_bytes,
        "peak_bytes_with_refused": with_flood.peak_bytes,
    }
    yield Result(
        "refused",
        "CPU microseconds a refused event",
        _per_event(with_flood, without, flood.lines),
        floor=_per_event(with_more, without, more.lines - counts.lines),
        floor_is="an event as they are otherwise",
        parameters=parameters,
        detail={
            "cpu_seconds": without.cpu,
            "cpu_seconds_with_refused": with_flood.cpu,
            "cpu_seconds_with_others": with_more.cpu,
        },
    )


def _per_event(more: Run, less: Run, events: int) -> float:
    """CPU microseconds of each event that one run has more than another."""
    return (more.cpu - less.cpu) / events * 1e6


def _flood(spec: SampleSpec, settings: Settings) -> Counts:
    """Append the sample's product events once more, spoilt; what they come to."""
    folder = settings.log_dir / settings.input_topic("product")
    size = lines = 0
    for partition, good in enumerate(Sample(spec).lines("product")):
        with (folder / f"{partition}.jsonl").open("ab") as file:
            for way, line in enumerate(good):
                size += file.write(spoilt(line, way) + b"\n")
            lines += len(good)
    return Counts(lines, size, refused=lines)
