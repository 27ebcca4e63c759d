"""One way of learning at work on a log: the learner, the scorers and the monitor of the flow, without its engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from c360_stream.contracts.records import DriftAlarm
from c360_stream.features.columns import TOPICS
from c360_stream.learning.barrier import HourBarrier
from c360_stream.learning.learner import LearnedTick, Learner
from c360_stream.monitoring.monitor import MetricRow, Monitor
from c360_stream.monitoring.tick_stats import merge
from c360_stream.operators.score import tick_stats
from c360_stream.scoring.scored import ScoredTick
from c360_stream.scoring.scorer import ShardScorer
from c360_stream.settings import Settings
from c360_stream.tools.evaluate.calls import CallLists
from c360_stream.tools.evaluate.ledger import ScoreLedger
from c360_stream.tools.evaluate.log_replay import ReplayedTick
from c360_stream.tools.evaluate.reason_check import ReasonCheck
from flows.churn import learning_config, monitor_config, scoring_config


@dataclass(slots=True)
class WorkedTick:
    """What a contestant made of a tick: its version and news of models, and each shard's scores."""

    day: int
    learned: LearnedTick
    scored: list[ScoredTick]


@dataclass(slots=True)
class Told:
    """All that a contestant has said besides scores."""

    alarms: list[DriftAlarm] = field(default_factory=list)
    metrics: list[MetricRow] = field(default_factory=list)
    terms: list[tuple[int, str]] = field(default_factory=list)
    """Ticks from which on another model scored, and its name."""


class Contestant:
    """The learning half of the flow.

    Parameters
    ----------
    name
        What it is called.
    settings
        Settings, with what makes this contestant different.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.told = Told()
        self.ledger = ScoreLedger(settings.shards, settings.tier_high)
        self.calls = CallLists()
        self.reasons = ReasonCheck(settings.tier_high)
        self.learner = Learner(settings.shards, learning_config(settings))
        self._scorers = [ShardScorer(scoring_config(settings)) for _ in range(settings.shards)]
        self._monitor = Monitor(monitor_config(settings))
        self._hours = HourBarrier(settings.shards, len(TOPICS))

    def work(self, tick: ReplayedTick) -> WorkedTick:
        """Learn, score and watch, as the flow would."""
        learned = self._learn(tick)
        for rows in tick.rows:
            self._scorers[rows.shard].rows(rows)
        scored = [each for scorer in self._scorers for each in scorer.version(tick.day, learned.version)]
        ticks = [each for each in scored if isinstance(each, ScoredTick)]
        self.ledger.take(tick.day, tick.rows, ticks)
        self.calls.take(tick.day, tick.rows, ticks)
        for each in ticks:
            self.reasons.take(each.scores)
        if not self.told.terms or self.told.terms[-1][1] != learned.version.model_name:
            self.told.terms.append((tick.day, learned.version.model_name))
        self._watch_hours(tick)
        alarms, metrics = self._monitor.on_tick(merge([tick_stats(each) for each in ticks]))
        self.told.alarms += [*learned.alarms, *alarms]
        self.told.metrics += [*learned.metrics, *metrics]
        return WorkedTick(tick.day, learned, ticks)

    def _learn(self, tick: ReplayedTick) -> LearnedTick:
        for part in tick.examples:
            learned = self.learner.receive(part)
        assert learned is not None  # noqa: S101 - the last shard's part completes the tick
        return learned

    def _watch_hours(self, tick: ReplayedTick) -> None:
        for each in tick.hours:
            closed = self._hours.put(each.shard, each.first_hour, each.counts)
            if closed is not None:
                first, counts = closed
                self.told.alarms += self._monitor.on_hours(
                    first, {name: counts[i].tolist() for i, name in enumerate(TOPICS)}
                )
