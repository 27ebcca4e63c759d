"""Benchmark `ticks`: what a tick of an account costs the whole flow, from its features to table and topic."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import msgspec

from c360_stream.contracts.records import RiskScore, encode_record
from c360_stream.settings import Settings
from c360_stream.tools.bench.result import Result, least_cpu_seconds
from c360_stream.tools.bench.runs import Run, run_to_end
from c360_stream.tools.bench.sample import Sample, SampleSpec
from c360_stream.tools.bench.topics import embedded_dsn

FEW_DAYS = 3
RECORDS = 100_000
"""Of the longer run's risk topic, for the floor."""


@dataclass(frozen=True, slots=True)
class _Replayed:
    run: Run
    tick_scores: int
    encode_seconds: float


def measure(spec: SampleSpec, repeats: int) -> Iterator[Result]:
    """Replay the same number of product events over many days and over few, with a recovery directory.

    What the longer run takes more, it takes for its ticks: features, labels, learning, scores, reasons, rows, records,
    snapshots and inserts; and for a tenth of an event or less an account and day.
    """
    few = _replayed(replace(spec, days=FEW_DAYS), repeats)
    many = _replayed(spec, repeats)
    ticks = many.tick_scores - few.tick_scores
    parameters = {
        "accounts": spec.accounts,
        "product_events": spec.product_events,
        "days": spec.days,
        "fewer_days": FEW_DAYS,
        "tick_scores": many.tick_scores,
        "fewer_tick_scores": few.tick_scores,
        "recovery": True,
        "seed": spec.seed,
        "repeats": repeats,
    }
    detail = {
        "cpu_seconds": many.run.cpu,
        "fewer_cpu_seconds": few.run.cpu,
        "wall_seconds": many.run.wall,
        "fewer_wall_seconds": few.run.wall,
    }
    yield Result(
        "ticks",
        "CPU microseconds an account and tick",
        (many.run.cpu - few.run.cpu) / ticks * 1e6,
        floor=many.encode_seconds * 1e6,
        floor_is="encoding a finished record as JSON",
        parameters=parameters,
        detail=detail,
    )


def _replayed(spec: SampleSpec, repeats: int) -> _Replayed:
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        home = Path(folder)
        settings = Settings.model_construct(log_dir=home / "log")
        counts = Sample(spec).write(settings)
        environment = {"C360_LOG_DIR": str(settings.log_dir), "C360_CLICKHOUSE_DSN": embedded_dsn(home)}
        run = run_to_end(environment, home, 1, counts.accepted, recovery=home / "recovery")
        topic = settings.log_dir / settings.risk_topic / "0.jsonl"
        with topic.open("rb") as file:
            ticks = sum(b'"trigger":"tick"' in line for line in file)
        with topic.open("rb") as file:
            records = [record for line in islice(file, RECORDS) if (record := _record(line)) is not None]
        return _Replayed(run, ticks, least_cpu_seconds(repeats, _encode, records) / len(records))


def _record(line: bytes) -> RiskScore | None:
    """A score, unless it is a tombstone."""
    try:
        return msgspec.json.decode(line, type=RiskScore)
    except msgspec.DecodeError:
        return None


def _encode(records: list[RiskScore]) -> None:
    for record in records:
        encode_record(record)
