"""Benchmark `tick`: midnight over many accounts, from the windows to the rows and records that go to the sinks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.contracts.records import RiskScore, encode_record
from c360_stream.features.emissions import IntradayRows, TickRows
from c360_stream.models.version import ModelVersion
from c360_stream.operators.rows import Clock, Output, TopicRecords, feature_rows, score_outputs
from c360_stream.scoring.scored import ScoredTick
from c360_stream.scoring.scorer import ShardScorer, ShardVersion
from c360_stream.settings import Settings
from c360_stream.tools.bench.model import trained_version
from c360_stream.tools.bench.result import Result, least_cpu_seconds, timed
from c360_stream.tools.bench.sample import START_DAY, Sample, SampleSpec
from c360_stream.tools.bench.shards import Shards, decoded


@dataclass(frozen=True, slots=True)
class _Tick:
    """CPU seconds of a tick's parts, the accounts that it scored and the records that it made."""

    seconds: dict[str, float]
    accounts: int
    records: list[bytes]


def measure(settings: Settings, spec: SampleSpec, repeats: int) -> Iterator[Result]:
    """Fill the shards with the events of `spec`, then run one tick on each of the days that follow."""
    shards = _filled(settings, spec)
    version = trained_version(settings, spec.seed, START_DAY + 1)
    days = range(START_DAY + 1, START_DAY + 1 + repeats)
    best = min((_tick(settings, shards, version, day) for day in days), key=lambda tick: sum(tick.seconds.values()))
    records = list(map(msgspec.json.Decoder(RiskScore).decode, best.records))
    yield Result(
        "tick",
        "CPU seconds",
        sum(best.seconds.values()),
        floor=least_cpu_seconds(repeats, _encode, records),
        floor_is="encoding the finished records as JSON",
        parameters={
            "accounts": best.accounts,
            "records": len(records),
            "product_events": spec.product_events,
            "shards": settings.shards,
            "seed": spec.seed,
            "repeats": repeats,
        },
        detail=best.seconds,
    )


def _filled(settings: Settings, spec: SampleSpec) -> Shards:
    """Shards that have taken the events of one day; the scorers get to know the accounts."""
    shards = Shards(settings)
    sample = Sample(spec)
    for kind in INPUT_KINDS:
        [lines] = sample.lines(kind)
        _, columns = shards.encode(kind, decoded(kind, lines))
        for emissions in shards.receive(START_DAY * US_PER_DAY, columns):
            for rows in emissions:
                if isinstance(rows, IntradayRows):
                    shards.scorers[rows.shard].take(rows)
    return shards


def _tick(settings: Settings, shards: Shards, version: ModelVersion, day: int) -> _Tick:
    closed = timed(_close, shards, day)
    score_seconds = rows_seconds = 0.0
    records: list[bytes] = []
    for rows in closed.given:  # one shard's outputs at a time are in memory, as in the flow
        scored = timed(_score, shards.scorers[rows.shard], rows, version)
        made = timed(_outputs, settings, scored.given)
        score_seconds += scored.cpu
        rows_seconds += made.cpu
        records += [r.value for out in made.given if isinstance(out, TopicRecords) for r in out.records if r.value]
    seconds = {"features": closed.cpu, "score": score_seconds, "rows": rows_seconds}
    return _Tick(seconds, sum(len(rows.account) for rows in closed.given), records)


def _close(shards: Shards, day: int) -> list[TickRows]:
    return [item for out in shards.receive(day * US_PER_DAY) for item in out if isinstance(item, TickRows)]


def _score(scorer: ShardScorer, rows: TickRows, version: ModelVersion) -> list[ScoredTick]:
    scorer.take(ShardVersion(rows.shard, rows.day, version))
    return [scored for scored in scorer.take(rows) if isinstance(scored, ScoredTick)]


def _outputs(settings: Settings, ticks: list[ScoredTick]) -> list[Output]:
    clock = Clock(live=False)
    out: list[Output] = []
    for tick in ticks:
        out += score_outputs(settings, clock, tick.shard, tick.scores)
        out += feature_rows(tick.shard, tick.scores)
    return out


def _encode(records: list[RiskScore]) -> None:
    for record in records:
        encode_record(record)
