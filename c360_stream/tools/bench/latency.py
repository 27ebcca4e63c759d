"""Benchmark `latency`: from an event's produce until its account's new score can be read."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np

from c360_stream.tools.bench.live import Event, EventClock, Running, Stream, at_ms, running
from c360_stream.tools.bench.result import Result
from c360_stream.tools.bench.sample import Sample, SampleSpec
from c360_stream.tools.bench.targets import BenchTarget, place

WARM_SECONDS = 12.0
"""Longer than the interval of snapshots: the first ones after a tick publish it."""
FLOOR_SECONDS = 5.0
PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
SETTINGS = {"C360_EVENT_SCORE_CHANGE_MIN": "1e-12"}
"""A score for every account that is due one, not only for those whose risk has moved by some points."""


class _Score(msgspec.Struct):
    account_id: str
    as_of: str
    trigger: str


class _Sent(msgspec.Struct):
    account_id: str
    occurred_at: str


class _Sends:
    """When the newest event of each account and millisecond was sent."""

    def __init__(self, topics: BenchTarget) -> None:
        self._topics = topics
        self._at: dict[tuple[str, int], float] = {}

    def __call__(self, events: list[Event], at_ms: int) -> None:
        """Send events."""
        now = time.monotonic()
        for event in events:
            self._at[event.account, at_ms] = now
        self._topics.send(events)

    def seconds_since(self, account: str, at_ms: int, now: float) -> float | None:
        """Seconds since the account's event of a millisecond was sent; None if there was none."""
        sent = self._at.get((account, at_ms))
        return None if sent is None else now - sent


def measure(spec: SampleSpec, rate: int, seconds: int, brokers: str | None) -> Iterator[Result]:
    """Let a run tail its input, score a tick, and then time the scores that events bring about."""
    with ExitStack() as held:
        home = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="c360-bench-")))
        topics = held.enter_context(place(brokers, home, SETTINGS))
        sample = Sample(spec)
        events = topics.fill(sample)
        run = held.enter_context(running(topics.environment, home))
        run.wait(lambda: run.total("c360_events_read_total") >= events)
        sends = _Sends(topics)
        stream = Stream(sample, rate, EventClock(at_ms(spec.days, 12.0)), sends)
        stream.start()
        held.callback(stream.stop)
        _until_scored(run, topics, spec.accounts)
        latency = np.array(_latencies(run, topics, sends, seconds))
        stream.stop()
        floor = np.array(_echoes(topics, stream, rate))
    parameters = {
        "accounts": spec.accounts,
        "events_per_second": rate,
        "seconds": seconds,
        "samples": len(latency),
        "transport": topics.name,
        "settings": SETTINGS,
        "seed": spec.seed,
    }
    for name, share in PERCENTILES.items():
        yield Result(
            f"latency_{name}",
            "milliseconds from produce to score readable",
            1000 * float(np.percentile(latency, share)),
            1000 * float(np.percentile(floor, share)),
            "produce to readable of the events themselves, at the same rate",
            parameters,
        )


def _until_scored(run: Running, topics: BenchTarget, accounts: int) -> None:
    """Wait until a tick has scored the accounts, and a little longer."""
    seen: set[str] = set()

    def all_there() -> bool:
        seen.update(score.account_id for score in _scores(topics.scores()) if score.trigger == "tick")
        return len(seen) >= accounts

    run.wait(all_there, 0)
    until = time.monotonic() + WARM_SECONDS
    run.wait(lambda: bool(topics.scores()) and time.monotonic() > until, 0)


def _latencies(run: Running, topics: BenchTarget, sends: _Sends, seconds: float) -> list[float]:
    """Seconds of each score that an event brought about at once.

    The as-of of such a score is the millisecond after its account's newest event. An account that was scored less than
    `event_score_interval_seconds` ago is scored later, as of another moment: such scores are not counted.
    """
    found: list[float] = []
    until = time.monotonic() + seconds

    def over() -> bool:
        values = topics.scores()
        now = time.monotonic()
        for score in _scores(values):
            if score.trigger == "event":
                event_ms = int(np.datetime64(score.as_of.removesuffix("Z"), "ms").astype(np.int64)) - 1
                taken = sends.seconds_since(score.account_id, event_ms, now)
                found.extend([] if taken is None else [taken])
        return now > until

    run.wait(over, 0)
    return found


def _echoes(topics: BenchTarget, before: Stream, rate: int) -> list[float]:
    """Seconds until the events can be read that are sent at this rate."""
    topics.echo()
    sends = _Sends(topics)
    stream = Stream(before.sample, rate, before.clock, sends)
    stream.start()
    found: list[float] = []
    until = time.monotonic() + FLOOR_SECONDS
    decode = msgspec.json.Decoder(_Sent).decode
    while (now := time.monotonic()) < until:
        for value in topics.echo():
            event = decode(value)
            now = time.monotonic()
            at = int(np.datetime64(event.occurred_at.removesuffix("Z"), "ms").astype(np.int64))
            taken = sends.seconds_since(event.account_id, at, now)
            found.extend([] if taken is None else [taken])
    stream.stop()
    return found


def _scores(values: list[bytes]) -> list[_Score]:
    decode = msgspec.json.Decoder(_Score).decode
    return [decode(value) for value in values if b'"tombstone"' not in value]
