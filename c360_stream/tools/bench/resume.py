"""Benchmark `resume`: from the start of a run that was killed to its first score, with all accounts in its state."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from c360_stream.settings import Settings
from c360_stream.tools.bench.live import running
from c360_stream.tools.bench.result import Result
from c360_stream.tools.bench.sample import Sample, SampleSpec

FLOOR_ACCOUNTS = 100
SNAPSHOT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class _Resumed:
    """What a run that was killed and started again did."""

    first_score_seconds: float
    all_scores_seconds: float
    state_bytes: int
    events: int
    events_read_again: int
    accounts: int


def measure(spec: SampleSpec) -> Iterator[Result]:
    """Fill the state, kill -9 the run, add the next morning's events, start it again: twice, for the floor too."""
    floor = _resume(replace(spec, accounts=FLOOR_ACCOUNTS, product_events=3 * FLOOR_ACCOUNTS))
    resumed = _resume(spec)
    parameters = {
        "accounts": resumed.accounts,
        "events": resumed.events,
        "events_read_again": resumed.events_read_again,
        "state_bytes": resumed.state_bytes,
        "snapshot_seconds": SNAPSHOT_SECONDS,
        "seed": spec.seed,
    }
    floor_is = f"the same with {FLOOR_ACCOUNTS} accounts: starting Python, the tables and the engine"
    for name, value, least in (
        ("resume_first_score", resumed.first_score_seconds, floor.first_score_seconds),
        ("resume_all_scores", resumed.all_scores_seconds, floor.all_scores_seconds),
    ):
        yield Result(name, "seconds from the start of the process", value, least, floor_is, parameters)


def _resume(spec: SampleSpec) -> _Resumed:
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as home:
        settings = Settings.model_construct(log_dir=Path(home) / "log")
        environment = {"C360_LOG_DIR": str(settings.log_dir), "C360_SNAPSHOT_SECONDS": str(SNAPSHOT_SECONDS)}
        sample = Sample(spec)
        events = sample.write(settings).lines
        scores = settings.log_dir / settings.risk_topic / "0.jsonl"
        with running(environment, Path(home)) as first:
            first.wait(lambda: first.total("c360_events_read_total") >= events)
            kept = first.total("c360_snapshot_size_bytes_count")
            # Two rounds: one may have begun before the last event was read.
            first.wait(lambda: first.total("c360_snapshot_size_bytes_count") > kept + 4 * settings.shards)
            first.process.send_signal(signal.SIGKILL)
        before = scores.stat().st_size
        state = sum(file.stat().st_size for file in (Path(home) / "recovery").rglob("*"))
        added = sample.append_morning(settings)
        began = time.perf_counter()
        with running(environment, Path(home)) as again:
            # The scores of the last moments before the kill may be cut off and written again; the tick's are new.
            again.wait(lambda: scores.stat().st_size > before)
            first_score = time.perf_counter() - began
            again.wait(lambda: _lines(scores, before) >= spec.accounts)
            all_scores = time.perf_counter() - began
            read = again.total("c360_events_read_total")
    return _Resumed(first_score, all_scores, state, events, int(read) - added, spec.accounts)


def _lines(path: Path, offset: int) -> int:
    """Lines behind an offset: reading the whole file again and again would slow what is measured."""
    with path.open("rb") as file:
        file.seek(offset)
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1024 * 1024), b""))
