"""One way of learning at work on a log: the pipeline from the learner on."""

from __future__ import annotations

from dataclasses import dataclass, field

from c360_stream.contracts.records import DriftAlarm
from c360_stream.features.emissions import Emission
from c360_stream.learning.learner import LearnedTick
from c360_stream.monitoring.monitor import MetricRow
from c360_stream.pipeline import ModelPipeline, MonitorOutput
from c360_stream.scoring.scored import ScoredTick
from c360_stream.settings import Settings
from c360_stream.tools.evaluate.calls import CallLists
from c360_stream.tools.evaluate.ledger import ScoreLedger
from c360_stream.tools.evaluate.log_replay import ReplayedTick
from c360_stream.tools.evaluate.reason_check import ReasonCheck


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
    """A pipeline from the learner on, and what is noted of it.

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
        self._pipeline = ModelPipeline(settings)

    def work(self, tick: ReplayedTick) -> WorkedTick:
        """Learn, score and watch, as the flow would."""
        messages: list[Emission] = [*tick.hours, *tick.rows, *tick.examples]
        given = [each for message in messages for each in self._pipeline.take(message)]
        [learned] = [each for each in given if isinstance(each, LearnedTick)]
        scored = [each for each in given if isinstance(each, ScoredTick)]
        self.ledger.take(tick.day, tick.rows, scored)
        self.calls.take(tick.day, tick.rows, scored)
        for each in scored:
            self.reasons.take(each.scores)
        if not self.told.terms or self.told.terms[-1][1] != learned.version.model_name:
            self.told.terms.append((tick.day, learned.version.model_name))
        for news in given:
            if isinstance(news, LearnedTick | MonitorOutput):
                self.told.alarms += news.alarms
                self.told.metrics += news.metrics
        return WorkedTick(tick.day, learned, scored)
