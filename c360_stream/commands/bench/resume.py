"""Benchmark `resume`: from the start of a run that was killed to its first score, with all accounts in its state."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from c360_stream.commands.bench.result import Result
from c360_stream.commands.bench.sample import Sample, SampleSpec
from c360_stream.errors import C360Error
from c360_stream.settings import Settings

FLOOR_ACCOUNTS = 100
SNAPSHOT_SECONDS = 2
SECONDS_MAX = 600.0
_POLL_SECONDS = 0.02
_PAGE = re.compile(r"metrics at (\S+)")


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
        sample = Sample(spec)
        events, _ = sample.write(settings)
        scores = settings.log_dir / settings.risk_topic / "0.jsonl"
        with _run(settings) as first:
            _wait(first, lambda: first.total("c360_events_read_total") >= events)
            kept = first.total("c360_snapshot_size_bytes_count")
            # Two rounds: one may have begun before the last event was read.
            _wait(first, lambda: first.total("c360_snapshot_size_bytes_count") > kept + 4 * settings.shards)
            first.process.send_signal(signal.SIGKILL)
        before = scores.stat().st_size
        state = sum(file.stat().st_size for file in (Path(home) / "recovery").rglob("*"))
        added = sample.append_morning(settings)
        began = time.perf_counter()
        with _run(settings) as again:
            # The scores of the last moments before the kill may be cut off and written again; the tick's are new.
            _wait(again, lambda: scores.stat().st_size > before)
            first_score = time.perf_counter() - began
            _wait(again, lambda: _lines(scores, before) >= spec.accounts)
            all_scores = time.perf_counter() - began
            read = again.total("c360_events_read_total")
    return _Resumed(first_score, all_scores, state, events, int(read) - added, spec.accounts)


class _Running:
    """A run that tails the log, with what it says."""

    def __init__(self, process: subprocess.Popen[bytes], said: Path) -> None:
        self.process = process
        self._said = said

    def total(self, name: str) -> float:
        """Sum of a metric over its labels; 0 before the run serves metrics."""
        if (found := _PAGE.search(self.said())) is None:
            return 0.0
        try:
            with urlopen(found[1], timeout=5) as page:  # noqa: S310 - an address that the run has printed
                families = list(text_string_to_metric_families(page.read().decode()))
        except OSError:
            return 0.0
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    def said(self) -> str:
        """Everything so far."""
        return self._said.read_text()


@contextmanager
def _run(settings: Settings) -> Iterator[_Running]:
    """Start `c360 run`, away from this process's configuration; end it."""
    home = settings.log_dir.parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
    environment |= {"C360_METRICS_ADDRESS": "127.0.0.1:0", "C360_SNAPSHOT_SECONDS": str(SNAPSHOT_SECONDS)}
    command = [sys.executable, "-m", "c360_stream", "run", "--log-dir", str(settings.log_dir)]
    said = home / "said.txt"
    with said.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - this very program
            [*command, "--recovery", str(home / "recovery")], env=environment, cwd=home, stdout=output, stderr=output
        )
    try:
        yield _Running(process, said)
    finally:
        process.kill()
        process.wait()


def _wait(running: _Running, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise C360Error(f"the run did not come to it: {running.said().strip()[-500:]}", "run `c360 doctor`")
        time.sleep(_POLL_SECONDS)


def _lines(path: Path, offset: int) -> int:
    """Lines behind an offset: reading the whole file again and again would slow what is measured."""
    with path.open("rb") as file:
        file.seek(offset)
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1024 * 1024), b""))
