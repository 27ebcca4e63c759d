"""One world: simulated if it has to be, replayed once for all runs, and worked out to plain figures."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from c360_stream.errors import ConfigurationError
from c360_stream.logs.refusals import Refusals, reason_lines
from c360_stream.tools.evaluate.alarms import outage_figures
from c360_stream.tools.evaluate.contestant import Contestant, WorkedTick
from c360_stream.tools.evaluate.ledger import Matrices
from c360_stream.tools.evaluate.log_replay import LogReplay
from c360_stream.tools.evaluate.matured import TRUTH_HORIZON_DAYS, ExampleLog, day_of, read_truth
from c360_stream.tools.evaluate.maturity import LabelCounts
from c360_stream.tools.evaluate.sweep import Sweep
from c360_stream.tools.evaluate.world import Replayed, World
from c360_stream.tools.evaluate.world_figures import world_figures
from c360_stream.tools.machine import peak_resident_bytes
from c360_stream.tools.simulate import LogDirectorySink, simulate

TRUTH = "truth.jsonl"
ReportProgress = Callable[[str, int, int], None]
"""What is being done, and how many of how many days of it are; 0 days where nobody knows."""


def evaluate_world(world: World, sweep: Sweep, scratch: Path, report: ReportProgress) -> dict[str, Any]:
    """Evaluate every run of a sweep on one world.

    Parameters
    ----------
    world, sweep
        What to do.
    scratch
        Directory for simulated logs; what is put there is removed again.
    report
        Called with the progress: step, days done, days in total.

    Returns
    -------
    Figures as plain data; `c360_stream.tools.evaluate.command` describes them.

    Raises
    ------
    ConfigurationError
        If the log cannot be evaluated: nothing in it, no outcome known, or a truth that is not its own.
    """
    began = time.perf_counter()
    with _log(world, sweep, scratch, report) as (log_dir, truth):
        replayed = _replay(sweep, log_dir, world, report)
        if not len(replayed.examples):
            horizon = replayed.contestants[0].settings.horizon_days
            days = replayed.last_day - replayed.first_day + 1
            raise ConfigurationError(
                f"{world.title}: no outcome is known: the log has {days} ticks, and an outcome takes {horizon} days",
                "evaluate a longer log",
            )
        report("reading the truth", 0, 0)
        truth_note = _take_truth(replayed, truth, world)
    report("fitting the batch models, drawing accounts again", 0, 0)
    figures = world_figures(world, replayed, ablated=sweep.ablation) | {"truth_note": truth_note}
    latency = figures.pop("latency")
    window = world.spec().outage_window if world.log_dir is None else None
    if window is not None:
        twins = _twin(world, sweep, scratch, window, report)
        for contestant, twin in zip(replayed.contestants, twins, strict=True):
            run = figures["runs"][contestant.name]
            run["outage"] = outage_figures(contestant.history.alarms, window, contestant.ledger.matrices(), twin)
    peak = peak_resident_bytes() / 2**20
    return figures | {"cost": {"seconds": time.perf_counter() - began, "peak_mebibytes": peak, "latency": latency}}


@contextlib.contextmanager
def _log(world: World, sweep: Sweep, scratch: Path, report: ReportProgress) -> Iterator[tuple[Path, Path | None]]:
    """The log directory and the truth; what had to be simulated is gone afterwards."""
    if world.log_dir is not None:
        beside = world.log_dir / TRUTH
        yield world.log_dir, world.truth or (beside if beside.is_file() else None)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="world-") as home:
        spec = world.spec(sweep.settings_of(sweep.runs[0], Path(home)).topic_prefix)
        sink = LogDirectorySink(Path(home), spec.topic_prefix, spec.partitions)
        simulate(spec, sink, Path(home) / TRUTH, lambda day, _: report("simulating", day, spec.days))
        yield Path(home), Path(home) / TRUTH


def _replay(sweep: Sweep, log_dir: Path, world: World, report: ReportProgress, until: int | None = None) -> Replayed:
    """One pass: every run works on each tick. It ends after the tick `until`, if that is given."""
    contestants = [Contestant(run.name, sweep.settings_of(run, log_dir)) for run in sweep.runs]
    settings = contestants[0].settings
    replay = LogReplay(settings)
    log, labels = ExampleLog(tuple(each.name for each in contestants)), LabelCounts(settings.horizon_days)
    first = last = -1
    for tick in replay.ticks():
        first, last = (tick.day if first < 0 else first), tick.day
        worked: dict[str, WorkedTick] = {each.name: each.work(tick) for each in contestants}
        log.take(
            tick,
            {name: each.scored for name, each in worked.items()},
            {name: each.contenders for name, each in worked.items()},
        )
        labels.take(tick)
        report("replaying", last - first + 1, world.days if world.log_dir is None else 0)
        if until is not None and tick.day >= until:
            break
    if first < 0:
        raise ConfigurationError(
            f"{world.title}: nothing to evaluate: {replay.events:,} events, {replay.refusals.total():,} refused, and no"
            f" midnight among them{_why(replay.refusals)}",
            "evaluate a log of some months",
        )
    return Replayed(
        first_day=first,
        last_day=last,
        events=replay.events,
        refusals=replay.refusals,
        examples=log.examples(),
        labels=labels,
        contestants=contestants,
    )


def _why(refusals: Refusals) -> str:
    return f" ({'; '.join(reason_lines(refusals))})" if refusals else ""


def _take_truth(replayed: Replayed, truth: Path | None, world: World) -> str:
    """Put the true risks beside the examples, if they are known; else raise the reason."""
    if truth is None:
        return "there is no truth beside this log"
    horizon = replayed.contestants[0].settings.horizon_days
    if horizon != TRUTH_HORIZON_DAYS:
        return f"the truth is of {TRUTH_HORIZON_DAYS} days ahead, the horizon here is {horizon}: it is left out"
    risk = read_truth(truth, replayed.examples)
    missing = int(np.isnan(risk).sum())
    if missing:
        raise ConfigurationError(
            f"{world.title}: {truth} lacks {missing:,} of {len(risk):,} examples",
            "give the truth of this very log, or remove it",
        )
    replayed.examples.true_risk = risk
    return ""


def _twin(
    world: World, sweep: Sweep, scratch: Path, window: tuple[datetime, datetime], report: ReportProgress
) -> list[Matrices]:
    """Every run's ledger of the same world without its outage, up to the first tick after the outage's end."""
    twin = replace(world, scenario="steady")

    def report_twin(step: str, done: int, total: int) -> None:
        report(f"{step} without the outage", done, total)

    with _log(twin, sweep, scratch, report_twin) as (log_dir, _):
        until = day_of((window[1] + timedelta(days=1)).astimezone(UTC).date())
        return [each.ledger.matrices() for each in _replay(sweep, log_dir, twin, report_twin, until).contestants]
