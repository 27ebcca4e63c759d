"""Benchmark `idle`: what a worker uses that has read everything and waits for more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import C360Error
from c360_stream.tools.bench.live import Running, running
from c360_stream.tools.bench.result import Result
from c360_stream.tools.bench.sample import NEXT_TO_NOTHING, Sample, SampleSpec
from c360_stream.tools.bench.targets import place

SETTLE_SECONDS = 45.0
"""After `C360_IDLE_SECONDS` an idle partition follows the clock, and the days since its last event get their ticks."""
LAGS = ("c360_consumer_lag_records", "c360_consumer_lag_bytes")


@dataclass(frozen=True, slots=True)
class _Idle:
    core_share: float
    resident_bytes: int
    threads: int
    transport: str


def measure(partitions: int, seconds: int, brokers: str | None) -> Iterator[Result]:
    """Run with so many partitions per topic, and with one, with nothing to read; CPU time over so many seconds."""
    # Of an older sample a live run would have the ticks since then to make meanwhile.
    few = replace(NEXT_TO_NOTHING, start_day=int(time.time() // 86_400) - 2)
    spec = replace(few, accounts=4 * partitions, product_events=16 * partitions, partitions=partitions)
    floor = _idle(replace(few, partitions=1), seconds, brokers)
    found = _idle(spec, seconds, brokers)
    parameters = {
        "partitions": partitions * len(INPUT_KINDS),
        "seconds": seconds,
        "transport": found.transport,
        "threads": found.threads,
        "threads_with_three": floor.threads,
    }
    detail: dict[str, float] = {}
    for name, unit, value, least in (
        ("idle", "CPU seconds a second without input", found.core_share, floor.core_share),
        ("idle_memory", "resident bytes of a worker without input", found.resident_bytes, floor.resident_bytes),
    ):
        yield Result(
            name,
            unit,
            value,
            floor=least,
            floor_is="the same with a partition a topic",
            parameters=parameters,
            detail=detail,
        )


def _idle(spec: SampleSpec, seconds: int, brokers: str | None) -> _Idle:
    with ExitStack() as held:
        home = Path(held.enter_context(TemporaryDirectory(prefix="c360-bench-")))
        topics = held.enter_context(place(brokers, home, {}, partitions=spec.partitions))
        events = topics.fill(Sample(spec))
        run = held.enter_context(running(topics.environment, home))
        run.wait(lambda: run.total("c360_events_read_total") >= events)
        time.sleep(SETTLE_SECONDS)
        before, began = _cpu_seconds(run), time.monotonic()
        time.sleep(seconds)
        share = (_cpu_seconds(run) - before) / (time.monotonic() - began)
        if lag := sum(map(run.total, LAGS)):
            raise C360Error(f"the run is not idle: it has {lag:,.0f} to read", "repeat it on a quieter machine")
        return _Idle(share, *_memory_and_threads(run), topics.name)


def _cpu_seconds(run: Running) -> float:
    used = psutil.Process(run.process.pid).cpu_times()
    return float(used.user + used.system)


def _memory_and_threads(run: Running) -> tuple[int, int]:
    worker = psutil.Process(run.process.pid)
    return worker.memory_info().rss, worker.num_threads()
