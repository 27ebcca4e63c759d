"""Benchmark `midnight`: a live run scores all accounts while events keep coming, and how long it stops reading them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import click

from c360_stream.operators.intake import WINDOW_SECONDS
from c360_stream.tools.bench.live import EventClock, Running, Stream, at_ms, rfc3339, running
from c360_stream.tools.bench.result import Result
from c360_stream.tools.bench.sample import Sample, SampleSpec
from c360_stream.tools.bench.targets import BenchTarget, place

FLOOR_ACCOUNTS = 100
RATE = 1_000
HOURS_BEFORE = 23.9
HOURS_AFTER = 1.001
"""Past the allowed lateness, which the tick waits for."""
SETTLE_SECONDS = 2 * WINDOW_SECONDS + 1
"""So long the longest pause is remembered, and more than two snapshots take to publish what they hold."""
LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Midnight:
    first_score_seconds: float
    all_scores_seconds: float
    pause_seconds: float
    pause_before_seconds: float
    transport: str


def measure(spec: SampleSpec, brokers: str | None) -> Iterator[Result]:
    """Run over two midnights, and watch the second: twice, for the floor too."""
    click.echo("c360 bench midnight: two live runs, each through two midnights: two minutes or more", err=True)
    floor = _midnight(replace(spec, accounts=FLOOR_ACCOUNTS, product_events=3 * FLOOR_ACCOUNTS), brokers)
    found = _midnight(spec, brokers)
    parameters = {
        "accounts": spec.accounts,
        "events_per_second": RATE,
        "transport": found.transport,
        "seed": spec.seed,
    }
    floor_is = f"the same with {FLOOR_ACCOUNTS} accounts"
    detail = {"pause_before_seconds": found.pause_before_seconds, "first_score_seconds": found.first_score_seconds}
    for name, unit, value, least in (
        (
            "midnight_all_scores",
            "seconds from midnight's event to the last score readable",
            found.all_scores_seconds,
            floor.all_scores_seconds,
        ),
        ("midnight_pause", "longest seconds without a look at the input", found.pause_seconds, floor.pause_seconds),
    ):
        yield Result(name, unit, value, floor=least, floor_is=floor_is, parameters=parameters, detail=detail)


def _midnight(spec: SampleSpec, brokers: str | None) -> _Midnight:
    with ExitStack() as held:
        home = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="c360-bench-")))
        topics = held.enter_context(place(brokers, home, {}))
        sample = Sample(spec)
        events = topics.fill(sample)
        run = held.enter_context(running(topics.environment, home))
        run.wait(lambda: run.total("c360_events_read_total") >= events)
        clock = EventClock(at_ms(0, HOURS_BEFORE))
        stream = Stream(sample, RATE, clock, lambda events, at_ms: topics.send(events))
        stream.start()
        held.callback(stream.stop)
        _night(run, topics, stream, 1)  # before it nobody had a score
        before = _longest_pause(run)
        first, last = _night(run, topics, stream, 2)
        return _Midnight(first, last, _longest_pause(run), before, topics.name)


def _night(run: Running, topics: BenchTarget, stream: Stream, day: int) -> tuple[float, float]:
    """Let a night pass; seconds to the first and to the last score of its tick."""
    as_of = f'"as_of":"{rfc3339(at_ms(day, 0))}"'.encode()
    morning = at_ms(day, HOURS_AFTER)
    began = time.monotonic()
    stream.clock.leap_to(morning)
    topics.send(stream.beat(morning))
    times: list[float] = []

    def all_there() -> bool:
        found = sum(as_of in score and b'"trigger":"tick"' in score for score in topics.scores())
        times.extend([time.monotonic() - began] * found)
        return len(times) >= stream.sample.spec.accounts

    run.wait(all_there, 0)
    return times[0], times[-1]


def _longest_pause(run: Running) -> float:
    """The longest pause while a tick is worked off, or nothing happens."""
    until = time.monotonic() + SETTLE_SECONDS
    longest = 0.0
    while time.monotonic() < until:
        longest = max(longest, run.total("c360_intake_pause_max_seconds"))
        time.sleep(LOOK_SECONDS)
    return longest
