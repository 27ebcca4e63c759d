"""One way of learning at work on a log: the pipeline from the learner on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.records import DriftAlarm
from c360_stream.features.emissions import Emission
from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.contender import Contender
from c360_stream.learning.learner import LearnedTick
from c360_stream.monitoring.monitor import MetricRow
from c360_stream.pipeline import ModelPipeline, MonitorOutput
from c360_stream.scoring.scored import ScoredTick
from c360_stream.settings import Settings
from c360_stream.tools.evaluate.calls import CallLists
from c360_stream.tools.evaluate.contributions import Contributions
from c360_stream.tools.evaluate.ledger import ScoreLedger
from c360_stream.tools.evaluate.log_replay import ReplayedTick
from c360_stream.tools.evaluate.reason_check import ReasonCheck


@dataclass(slots=True)
class WorkedTick:
    """The output of a contestant for one tick: its model version and each shard's scores."""

    day: int
    learned: LearnedTick
    scored: list[ScoredTick]
    contenders: dict[str, NDArray[np.float64]]
    """By model of the contest the risks of the examples that matured, in canonical order, NaN where it kept none."""


@dataclass(slots=True)
class ModelHistory:
    """The alarms, metrics and champions of one contestant, over all ticks."""

    alarms: list[DriftAlarm] = field(default_factory=list)
    metrics: list[MetricRow] = field(default_factory=list)
    terms: list[tuple[int, str]] = field(default_factory=list)
    """Changes of the champion: the first day of each, and its name."""


class Contestant:
    """A pipeline from the learner on, and the records of its output.

    Parameters
    ----------
    name
        Its name in the report.
    settings
        The settings of this contestant.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.history = ModelHistory()
        self.ledger = ScoreLedger(settings.shards, settings.tier_high)
        self.calls = CallLists()
        self.reasons = ReasonCheck(settings.tier_high)
        self.contributions = Contributions()
        self._pipeline = ModelPipeline(settings)

    @property
    def contenders(self) -> dict[str, Contender]:
        """The models of the contest as they are now, by name."""
        return self._pipeline.learner.contenders

    def work(self, tick: ReplayedTick) -> WorkedTick:
        """Learn, score and watch, as the flow would."""
        contenders = self._pending_risks(tick)
        messages: list[Emission] = [*tick.hours, *tick.rows, *tick.examples]
        given = [each for message in messages for each in self._pipeline.take(message)]
        [learned] = [each for each in given if isinstance(each, LearnedTick)]
        scored = [each for each in given if isinstance(each, ScoredTick)]
        self.ledger.take(tick.day, tick.rows, scored)
        self.calls.take(tick.day, tick.rows, scored)
        for each in scored:
            self.reasons.take(each.scores)
            self.contributions.take(each.scores)
        if not self.history.terms or self.history.terms[-1][1] != learned.version.model_name:
            self.history.terms.append((tick.day, learned.version.model_name))
        for news in given:
            if isinstance(news, LearnedTick | MonitorOutput):
                self.history.alarms += news.alarms
                self.history.metrics += news.metrics
        return WorkedTick(tick.day, learned, scored, contenders)

    def _pending_risks(self, tick: ReplayedTick) -> dict[str, NDArray[np.float64]]:
        matured = ExampleBlock.merged([part.matured for part in tick.examples])
        return self._pipeline.learner.pending_risks(int(matured.as_of_day[0]), matured) if len(matured) else {}
