"""Score step, keyed by shard: a thin shell around `ShardScorer`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from bytewax.operators import StatefulBatchLogic

from c360_stream import metrics
from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import TIERS, rfc3339_ms, score_id
from c360_stream.features.columns import Heartbeats
from c360_stream.logs.events import SCORE_EMITTED
from c360_stream.operators.rows import Clock, Output, departures, feature_rows, outcome_rows, score_outputs
from c360_stream.operators.run_context import RunContext, record_failure
from c360_stream.operators.tick_log import TickTotals, Totals
from c360_stream.operators.tick_scheduler import TickScheduler
from c360_stream.scoring.account_scores import ScoringConfig
from c360_stream.scoring.scored import FinalOutcomes, ScoredRows, ScoredTick, ShardStats, shard_stats
from c360_stream.scoring.scorer import ScorerInput, ShardScorer, ShardVersion
from c360_stream.settings import Settings
from c360_stream.state.backend import StateBackend
from c360_stream.state.fields import Kept, fields


@dataclass(frozen=True, slots=True)
class CountedStats(ShardStats):
    """A shard's part of a tick, and what its process has counted, from the first of its shards."""

    totals: tuple[str, Totals] | None = None


@dataclass(frozen=True)
class ScoreStep:
    """Builds the scorer of one shard, with its state; the shards of a process take turns at a tick."""

    settings: Settings
    config: ScoringConfig
    backend: StateBackend
    run: RunContext
    turns: TickScheduler = field(default_factory=TickScheduler)
    totals: TickTotals = field(default_factory=lambda: TickTotals(uuid4().hex))

    @record_failure
    def __call__(self, resume_state: bytes | None) -> ScoreLogic:
        """Build, or restore a snapshot."""
        return ScoreLogic(self, resume_state)


HEARTBEATS_HELD_MAX = 10_000
"""Messages; the oldest go. Nothing hangs on a heartbeat that is lost."""

ScoreInput = ScorerInput | Heartbeats
ScoreOutput = Output | CountedStats | Heartbeats


class ScoreLogic(StatefulBatchLogic[ScoreInput, ScoreOutput, bytes], Kept):
    """The scorer of one shard.

    Live, a tick is scored when it is this shard's turn: the version of a tick reaches all shards at once, and scoring
    all of them in one go kept the sources of 100,000 accounts waiting for 2.5 s. What comes behind the tick waits with
    it, and a snapshot holds both. A replay has nobody to keep waiting and scores at once.

    Heartbeats leave once the rows that came before them are scored. A snapshot does not hold them.
    """

    kept = fields(_shard=int, _scorer=ShardScorer)

    def __init__(self, step: ScoreStep, resume_state: bytes | None = None) -> None:
        self.run = step.run
        self._step = step
        self._handle = step.backend.of("score", ScoreLogic)
        self._scorer = ShardScorer(step.config)
        self._clock = Clock(step.settings.live)
        self._shard = 0
        self._taken = 0  # messages with rows
        self._heartbeats: deque[tuple[int, Heartbeats]] = deque(maxlen=HEARTBEATS_HELD_MAX)  # behind so many of them
        if resume_state is not None:
            self.restore(self._handle.load(resume_state))

    @record_failure
    def on_batch(self, values: list[ScoreInput]) -> tuple[list[ScoreOutput], bool]:
        """Take rows and versions; emit what can be scored, live but for a tick."""
        out: list[ScoreOutput] = []
        for value in values:
            self._shard = value.shard
            if isinstance(value, Heartbeats):
                self._heartbeats.append((self._taken, value))
            else:
                if isinstance(value, ShardVersion):
                    out += self._all()  # a tick that still waits: so no more than one ever does
                else:
                    self._taken += 1
                self._scorer.hold(value)
            out += self._until_tick() if self._step.settings.live else self._all()
        return [*out, *self._passing()], False

    @record_failure
    def on_notify(self) -> tuple[list[ScoreOutput], bool]:
        """Score the tick that waits, if it is this shard's turn."""
        if not self._step.turns.free():
            return [], False
        out = self._next() + self._until_tick()
        self._step.turns.ended()
        return [*out, *self._passing()], False

    def notify_at(self) -> datetime | None:
        """When this shard may have its turn, if a tick waits."""
        waits = self._scorer.tick_is_ready
        self._step.turns.set_waiting(self._shard, waits=waits)
        return self._step.turns.next_at() if waits else None

    @record_failure
    def on_eof(self) -> tuple[list[ScoreOutput], bool]:
        """Score what waits: there will be no more turns."""
        return [*self._all(), *self._passing()], False

    def _passing(self) -> Iterator[Heartbeats]:
        """Heartbeats with no rows ahead of them any more."""
        scored = self._taken - self._scorer.waiting
        while self._heartbeats and self._heartbeats[0][0] <= scored:
            yield self._heartbeats.popleft()[1]

    def _until_tick(self) -> list[Output | CountedStats]:
        out: list[Output | CountedStats] = []
        while not self._scorer.tick_is_ready and (given := self._next()):
            out += given
        return out

    def _all(self) -> list[Output | CountedStats]:
        out: list[Output | CountedStats] = []
        while given := self._next():
            out += given
        return out

    def _next(self) -> list[Output | CountedStats]:
        """What the next of the ready scores gives: at least something; nothing if none is ready."""
        scored = next(self._scorer.ready(), None)
        if scored is None:
            return []
        if isinstance(scored, FinalOutcomes):
            return [*outcome_rows(self._shard, scored.time_us, scored.outcomes)]
        return self._tick(scored) if isinstance(scored, ScoredTick) else [*self._event(scored)]

    def _event(self, scores: ScoredRows) -> list[Output]:
        _count(scores)
        _log_scores(scores)
        return score_outputs(self._step.settings, self._clock, self._shard, scores)

    def _tick(self, tick: ScoredTick) -> list[Output | CountedStats]:
        _count(tick.scores)
        _log_scores(tick.scores)
        metrics.ACCOUNTS_ACTIVE.labels(str(tick.shard)).set(len(tick.scores.ids))
        stats = shard_stats(tick)
        return [
            *score_outputs(self._step.settings, self._clock, tick.shard, tick.scores),
            *feature_rows(tick.shard, tick.scores),
            *outcome_rows(tick.shard, tick.day * US_PER_DAY, tick.outcomes),
            *departures(self._step.settings, tick.shard, tick.day, tick.gone),
            CountedStats(stats.shard, stats.stats, stats.tiers, self._step.totals.at(tick.day)),
        ]

    def restored(self) -> None:
        """Count the messages that wait with rows."""
        self._taken = self._scorer.waiting

    @record_failure
    def snapshot(self) -> bytes:
        """The scorer's state."""
        return self._handle.keep(str(self._shard), self.state)


def _count(scores: ScoredRows) -> None:
    for tier, number in Counter(scores.tier.tolist()).items():
        metrics.SCORES_EMITTED.labels(scores.trigger, TIERS[tier]).inc(number)


def _log_scores(scores: ScoredRows) -> None:
    """Name each score in the log, if it goes so far; its id is no account's."""
    if not SCORE_EMITTED.enabled:
        return
    version = scores.version
    for account, as_of_us, tier in zip(scores.ids, scores.as_of_us.tolist(), scores.tier.tolist(), strict=True):
        SCORE_EMITTED.log(
            score_id=score_id(account, as_of_us, scores.trigger),
            as_of=rfc3339_ms(as_of_us),
            trigger=scores.trigger,
            tier=TIERS[tier],
            model_name=version.model_name,
            model_version=version.model_version,
        )
