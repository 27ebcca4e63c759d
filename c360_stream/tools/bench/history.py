"""Benchmark `history`: 90 days of 4,200 accounts, a share of their 210 million events, and what all would take."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from c360_stream.errors import C360Error
from c360_stream.settings import Settings
from c360_stream.tools.bench.replay import log_files, split_lines
from c360_stream.tools.bench.result import Result, timed
from c360_stream.tools.bench.runs import Run, run_log
from c360_stream.tools.bench.sample import Counts, Sample, SampleSpec

EVENTS = 210_000_000
ACCOUNTS = 4_200
DAYS = 90
BYTES_PER_EVENT = 240
DISK_SPARE_BYTES = 2 * 1024**3
SMALLER = 10
"""The second run has a tenth of the first one's events."""


def measure(
    share: float, processes: int, seed: int, *, accounts: int = ACCOUNTS, days: int = DAYS, events: int = EVENTS
) -> Iterator[Result]:
    """Replay a share of the events, and a tenth of that share; the line through both extrapolates to all.

    All accounts and all days are there in both: ticks cost by accounts and days, and do not shrink with the share.
    What an event costs is the slope; start-up, ticks and learning are what is left without events.

    Raises
    ------
    C360Error
        If the disk has no room for the log, or a run fails.
    """
    small, large = (
        _replayed(SampleSpec(accounts, int(events * part), days, seed), processes) for part in (share / SMALLER, share)
    )
    slope = max(0.0, (large.run.flow - small.run.flow) / (large.events - small.events))
    fixed = max(0.0, small.run.flow - slope * small.events)
    parameters: dict[str, Any] = {
        "accounts": accounts,
        "days": days,
        "events": large.events,
        "share": share,
        "bytes_per_event": round(large.counts.bytes / large.counts.lines),
        "late": large.counts.late,
        "duplicates": large.counts.duplicates,
        "refused": large.counts.refused,
        "processes": processes,
        "recovery": True,
        "scores": large.run.scores,
        "seed": seed,
    }
    floor_is = "reading the same files line by line in one Python process and splitting each line at its commas"
    yield Result(
        "history",
        "events per second",
        large.events / large.run.flow,
        floor=large.events / large.floor,
        floor_is=floor_is,
        parameters=parameters,
        detail={**large.run.seconds(), "smaller_flow_seconds": small.run.flow},
    )
    yield Result(
        "history_extrapolated",
        "seconds for all events",
        fixed + slope * events,
        floor=large.floor / large.events * events,
        floor_is=floor_is,
        parameters={**parameters, "all_events": events, "smaller_events": small.events},
        detail={"without_events_seconds": fixed, "million_events_seconds": slope * 1e6},
    )


class _Replayed:
    """A replay, and the floor of it."""

    def __init__(self, counts: Counts, run: Run, floor: float) -> None:
        self.events, self.counts, self.run, self.floor = counts.lines, counts, run, floor


def _replayed(spec: SampleSpec, processes: int) -> _Replayed:
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as home:
        needed = spec.product_events * BYTES_PER_EVENT + DISK_SPARE_BYTES
        if shutil.disk_usage(home).free < needed:
            raise C360Error(f"{home} has no {needed / 1e9:.0f} GB free", "take a smaller --share, or set TMPDIR")
        settings = Settings.model_construct(log_dir=Path(home) / "log")
        counts = Counts()
        for day, written in enumerate(Sample(spec).write_by_day(settings), 1):
            counts = counts.plus(written)
            if day % 10 == 0 or day == spec.days:
                _report(f"day {day} of {spec.days} is written: {counts.lines:,} events, {counts.bytes / 1e9:.2f} GB")
        floor = timed(split_lines, log_files(settings)).wall
        _report(f"replaying {counts.lines:,} events over {processes} process{'es' if processes > 1 else ''}")
        run = run_log(settings.log_dir, processes, counts.accepted)
        _report(f"that took {run.flow:,.1f} s: {counts.lines / run.flow:,.0f} events per second")
        return _Replayed(counts, run, floor)


def _report(what: str) -> None:
    click.echo(f"c360 bench history: {what}", err=True)
