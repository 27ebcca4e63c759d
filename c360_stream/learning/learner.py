"""The learner: at each tick every model learns what matured, in canonical order; the champion gives a new version."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import DriftAlarm
from c360_stream.features.columns import PRODUCT
from c360_stream.features.emissions import TickExamples
from c360_stream.features.example_block import ExampleBlock
from c360_stream.features.volume import VolumeBaseline
from c360_stream.learning.barrier import TickBarrier
from c360_stream.learning.blend import Blend
from c360_stream.learning.champion import EXAMPLES_MIN, ChampionTerm, challenge, change_alarm, fresh_alarm
from c360_stream.learning.contender import Baseline, Contender
from c360_stream.learning.contest import Contest
from c360_stream.learning.corrections import Corrections
from c360_stream.learning.declared import DeclaredContender, failed
from c360_stream.learning.generations import Generations
from c360_stream.learning.model_metrics import contest_rows, horizon_rows
from c360_stream.learning.refitted_trees import RefittedTrees
from c360_stream.learning.replay_buffer import ReplayBuffer
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models.catalogue import BASE_RATE, BASELINES, FIRST_CHAMPION, entry_named, fresh_name, without_suffix
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.columns import Floats
from c360_stream.models.horizons import HorizonLearner, Judged
from c360_stream.models.names import AUTO, LIGHTGBM, ModelDeclaration, SchemeName, trees_installed
from c360_stream.models.version import ModelVersion
from c360_stream.monitoring.alarms import AlarmLatch
from c360_stream.monitoring.concept import ConceptDrift
from c360_stream.monitoring.delay_watch import DelayWatch
from c360_stream.monitoring.monitor import MetricRow
from c360_stream.monitoring.seasons import Seasons
from c360_stream.monitoring.tick_stats import MONDAY
from c360_stream.state.fields import Kept, PlainState, fields, known, of_kind


@dataclass(frozen=True, slots=True)
class LearningConfig:
    """What learning takes from the settings of the same names, and how models are made."""

    model: ModelConfig = field(default_factory=ModelConfig)
    champion: str = AUTO
    challengers: tuple[str, ...] = ()
    learning_scheme: SchemeName = "matured"
    example_stride_days: int = 7
    retrain_days: int = 0
    retrain_loss_share_max: float = 1.05
    retrain_on_drift: bool = True
    replay_examples_max: int = 20_000
    trees_examples_max: int = 30_000
    declared_models: tuple[ModelDeclaration, ...] = ()
    horizons: tuple[int, ...] = (7, 30, 90)
    seasons: tuple[tuple[str, str], ...] = ()

    @property
    def first(self) -> str:
        """The model that scores to begin with."""
        return FIRST_CHAMPION if self.champion == AUTO else self.champion

    @property
    def watched(self) -> str:
        """The model whose surprise is a sign of drift: the first, or of a blend the part that waits for labels."""
        return (*self._parts(self.first), self.first)[0]

    @property
    def contenders(self) -> tuple[str, ...]:
        """Names of all models, each once: blends before their parts, since they have to learn first.

        Challengers whose library is not installed are left out.
        """
        challengers = (name for name in self.challengers if name != LIGHTGBM or trees_installed())
        wanted = (self.first, *challengers, *self.declared)
        parts = [part for name in wanted for part in self._parts(name)]
        names = dict.fromkeys((*wanted, *parts, *BASELINES))
        return tuple(sorted(names, key=lambda name: not self._parts(name)))

    @property
    def declared(self) -> dict[str, ModelDeclaration]:
        """Declared models by name: all of them contend."""
        return {each.name: each for each in self.declared_models}

    def _parts(self, name: str) -> tuple[str, ...]:
        """The models that a blend is made of."""
        return () if name in self.declared else entry_named(name).parts


@dataclass(slots=True)
class LearnedTick:
    """What learning at a tick gave: the version that scores it, and news of the models."""

    day: int
    version: ModelVersion
    learnt: int
    learnt_churned: int
    alarms: list[DriftAlarm] = field(default_factory=list)
    metrics: list[MetricRow] = field(default_factory=list)


class _ExamplesBarrier(TickBarrier[TickExamples]):
    kept = fields(_days=dict[int, dict[int, TickExamples]])


class Learner(Kept):
    """Learns whole ticks, so that what it knows does not depend on how the examples travelled.

    Parameters
    ----------
    shards
        Number of shards that each tick waits for.
    config
        Settings.
    """

    kept = fields(
        _contest=Contest,
        contenders=known(of_kind("contender")),
        term=ChampionTerm,
        _latch=AlarmLatch,
        _concept=ConceptDrift,
        _delay=DelayWatch,
        _barrier=_ExamplesBarrier,
        _baseline=VolumeBaseline,
        _replay=ReplayBuffer,
        _corrections=Corrections,
        _generations=Generations,
        _opened=ExampleBlock,
        _horizons=HorizonLearner,
        _settled=list[Judged],
        _fresh_day=int,
    )

    def __init__(self, shards: int, config: LearningConfig) -> None:
        self.config = config
        self.contenders: dict[str, Contender] = {}
        for name in config.contenders:
            self.contenders[name] = self._contender(name)
        horizon_days = config.model.horizon_days
        self.term = ChampionTerm(config.first, 0)
        self._contest = Contest(config.contenders, horizon_days, config.example_stride_days)
        self._latch = AlarmLatch()
        self._concept = ConceptDrift(horizon_days, config.example_stride_days, Seasons(config.seasons))
        self._delay = DelayWatch()
        self._barrier = _ExamplesBarrier(shards)
        self._baseline = VolumeBaseline()
        trees = any(isinstance(each, RefittedTrees) for each in self.contenders.values())
        self._replay = ReplayBuffer(max(config.replay_examples_max, config.trees_examples_max * trees))
        self._corrections = Corrections()
        self._generations = Generations(horizon_days, config.example_stride_days, config.replay_examples_max)
        self._opened = ExampleBlock.none()
        self._horizons = HorizonLearner(horizon_days, config.horizons, config.model.prior_churn_rate)
        self._settled: list[Judged] = []
        self._fresh_day = 0

    @property
    def model(self) -> Contender:
        """The champion."""
        return self.contenders[self.term.champion]

    def receive(self, part: TickExamples) -> LearnedTick | None:
        """Take a shard's part of a tick; give the new version if it was the last part."""
        parts = self._barrier.put(part.day, part.shard, part)
        return self._learn(parts) if parts else None

    def pending_risks(self, day: int, block: ExampleBlock) -> dict[str, Floats]:
        """By model the risks of a day's examples that wait for their outcome, shape (n,), NaN where it kept none."""
        return {name: self._contest.pending_predictions(day, block, name) for name in self.contenders}

    def _learn(self, parts: list[TickExamples]) -> LearnedTick:
        day = parts[0].day
        self._note_exposure(day - 1, sum(part.events_by_topic[PRODUCT] for part in parts))
        corrected = {
            (as_of, account): treated
            for part in parts
            for as_of, account, treated in zip(
                part.corrected_as_of, part.corrected_ids, part.corrected_treated, strict=True
            )
        }
        self._corrections.relearn(corrected, self.contenders)
        matured = ExampleBlock.merged([part.matured for part in parts])
        week_old = ExampleBlock.merged([part.week_old for part in parts])
        churned = ExampleBlock.merged([part.churned_before_horizon for part in parts])
        alarms = self._watch(day, parts, week_old)
        predictions = self._contest.pop_predictions(day - self.config.model.horizon_days, matured)
        self._contest.fade()
        self._contest.judge(predictions, matured.churned[predictions.rows])
        self._corrections.before(day, matured, self.contenders)
        for name, contender in self.contenders.items():
            raw = predictions.over_block(predictions.raw, name, len(matured))
            batch = TrainingBatch(matured, week_old, churned, self._opened, raw)
            if isinstance(contender, Blend):
                batch = replace(
                    batch,
                    part_log_odds=self._part_log_odds(contender, week_old) if len(week_old) else None,
                    matured_part_log_odds=contender.past_log_odds(
                        lambda part: predictions.over_block(predictions.risk, part, len(matured)),
                        lambda part: predictions.over_block(predictions.raw, part, len(matured)),
                    ),
                )
            contender.learn(batch)
        self._replay.add(matured)
        self._generations.add(matured, week_old)
        self._begin_generation()
        alarms += self._judge_champion(day)
        self._learn_curve(day, parts)
        versions = {name: contender.version(day) for name, contender in self.contenders.items()}
        scores = self.term.champion
        trusted = versions[scores].calibrated and not self._latch.holds("concept_drift")
        versions[scores] = versions[scores].revised(calibrated=trusted, curve=self._horizons.curve())
        self._opened = ExampleBlock.merged([part.opened for part in parts])
        self._open(day, versions)
        return LearnedTick(
            day,
            versions[scores],
            len(matured),
            int(matured.churned.sum()),
            alarms,
            self._metrics(day, versions) if day % 7 == MONDAY else [],
        )

    def _part_log_odds(self, blend: Blend, week_old: ExampleBlock) -> tuple[Floats, Floats]:
        day = int(week_old.as_of_day[0])
        return blend.past_log_odds(
            partial(self._contest.pending_predictions, day, week_old),
            partial(self._contest.pending_log_odds, day, week_old),
        )

    def _watch(self, day: int, parts: list[TickExamples], week_old: ExampleBlock) -> list[DriftAlarm]:
        """Look for drift of the concept and of the labels' delay."""
        # Not the champion's predictions: one that learns a week's labels at once adapts before it is certain that
        # something has changed, and what a promotion interrupts begins again from nothing.
        watched = self.config.watched
        risk = np.zeros(0)
        if len(week_old):
            risk = self._contest.pending_predictions(int(week_old.as_of_day[0]), week_old, watched)
        late_days = [late for part in parts for late in part.late_days]
        return [
            *self._concept.on_tick(day, watched, week_old, risk, self._latch),
            *self._delay.on_tick(day, late_days, self._latch),
        ]

    def _begin_generation(self) -> None:
        """Give the additive models another basis if it is time; copies that were begun afresh have theirs."""
        learners = {name: each for name, each in self.contenders.items() if each.learns}
        if not learners or not self._generations.due(next(iter(learners.values())).model, self._replay):
            return
        examples = self._replay.examples(self.config.replay_examples_max)
        basis = self._generations.basis(examples, self.model.model.exposures)
        for name, contender in learners.items():
            if name == without_suffix(name):
                contender.begin(basis, examples, self._generations.week_old())
                self._corrections.forget(name)

    def _note_exposure(self, day: int, product_events: int) -> None:
        exposure = self._baseline.day_exposure(day, product_events)
        if exposure < 1.0:
            for contender in self.contenders.values():
                contender.model.expose(day, exposure)

    def _open(self, day: int, versions: dict[str, ModelVersion]) -> None:
        """Keep every model's predictions for the examples taken at this tick."""
        # Of more than are judged nobody looks at the others, and some models take long to predict.
        opened, as_of_us = self._opened.take(self._opened.judged_rows()), day * US_PER_DAY
        if len(opened):
            # A model that is not warm scores with the prior rule, by which it must not be judged.
            ready = {name: versions[name] for name, each in self.contenders.items() if each.ready}
            risk = {name: version.risks(opened.features, as_of_us) for name, version in ready.items()}
            raw = {name: contender.raw_log_odds(opened, as_of_us) for name, contender in self.contenders.items()}
            self._contest.add_predictions(day, opened, risk, raw)
            # A blend that is not warm scores with its first part.
            scored_by = versions[self.term.champion].model_name
            if scored_by in risk:
                self._horizons.add_predictions(day, opened, risk[scored_by])

    def _learn_curve(self, day: int, parts: list[TickExamples]) -> None:
        """Learn the risk curve from examples whose longest horizon has passed."""
        after = {
            account: days
            for part in parts
            for account, days in zip(part.observed_ids, part.observed_after, strict=True)
        }
        judged = self._horizons.learn_observed(day - self._horizons.reach_days, after)
        if judged is not None:
            self._settled.append(judged)

    def _judge_champion(self, day: int) -> list[DriftAlarm]:
        """Let the best model score from now on, and begin a fresh one if there is reason to."""
        alarms = []
        alarms += self._take_out_failed(day)
        reason = self._reason_to_retrain(day)
        if self.config.champion == AUTO and self.model.model.warm:
            sound = [name for name, contender in self.contenders.items() if not failed(contender)]
            change = challenge(self.term, self._contest, sound, day, self.config.model.horizon_days)
            if change is not None:
                self.term = ChampionTerm(change.new, day)
                alarms.append(change_alarm(change, day))
        self._refit(day, asked=bool(reason))
        if reason and len(self._replay):
            examples = self._replay.examples(self.config.replay_examples_max)
            name = self._start_fresh_challenger(day, examples)
            alarms.append(fresh_alarm(name, reason, len(examples), day))
        return alarms

    def _take_out_failed(self, day: int) -> list[DriftAlarm]:
        """Tell which declared models have failed; one that scored gives way to the best of the others."""
        before = self.term.champion
        if failed(self.model):
            others = [name for name, each in self.contenders.items() if each.ready and name not in BASELINES]
            losses = {name: self._contest.loss(name) for name in (*others, *BASELINES)}
            best = min(losses, key=lambda name: np.inf if np.isnan(losses[name]) else losses[name])
            self.term = ChampionTerm(best, day)
        told = [
            contender.new_failure(day, self.term.champion, scored=contender.name == before)
            for contender in self.contenders.values()
            if isinstance(contender, DeclaredContender)
        ]
        return [alarm for alarm in told if alarm is not None]

    def _refit(self, day: int, *, asked: bool) -> None:
        for contender in self.contenders.values():
            if isinstance(contender, RefittedTrees):
                contender.refit(day, partial(self._replay.examples, self.config.trees_examples_max), asked=asked)

    def _reason_to_retrain(self, day: int) -> str:
        """Why a fresh challenger is due; empty if none is. At most one per horizon."""
        config, since = self.config, day - self._fresh_day
        if not self._fresh_day or not self.model.model.warm:
            self._fresh_day = self._fresh_day or day
            return ""
        if since < min(config.model.horizon_days, config.retrain_days or config.model.horizon_days):
            return ""
        if config.retrain_days and since >= config.retrain_days:
            return f"{since} days have passed since the last one."
        if config.retrain_on_drift and self._concept.began_day > self._fresh_day:
            return f"Other accounts leave than {self.config.watched} expected."
        own, base = self._contest.loss(self.term.champion), self._contest.loss(BASE_RATE)
        judged = self._contest.standing(BASE_RATE, self.term.champion).examples
        if judged >= EXAMPLES_MIN and own > config.retrain_loss_share_max * base:
            return f"The loss of {self.term.champion}, {own:.4f}, is {own / base:.3f} times that of the base rate."
        return ""

    def _start_fresh_challenger(self, day: int, examples: ExampleBlock) -> str:
        """Start a model that has learnt the examples, in place of one that does not score; its name."""
        name = fresh_name(self.term.champion)
        fresh = self._contender(name)
        fresh.model.exposures = dict(self.model.model.exposures)
        fresh.model.begin(self._generations.basis(examples, fresh.model.exposures))
        fresh.model.learn(examples.features, examples.churned, examples.as_of_day * US_PER_DAY, examples.treated)
        self.contenders[name] = fresh
        self._contest.reset(name)
        self._corrections.forget(name)
        self._fresh_day = day
        return name

    def _contender(self, name: str) -> Contender:
        given = (name, self.config.model, self.config.learning_scheme)
        if name in self.config.declared:
            return DeclaredContender(self.config.declared[name], *given[1:])
        match entry_named(name).kind:
            case "blend":
                return Blend(*given, self.contenders, stride_days=self.config.example_stride_days)
            case "trees":
                return RefittedTrees(*given)
            case "baseline":
                return Baseline(*given)
        return Contender(*given)

    def _metrics(self, day: int, versions: dict[str, ModelVersion]) -> list[MetricRow]:
        settled, self._settled = self._settled, []
        champion = self.term.champion
        return [
            *contest_rows(day, versions, self._contest, champion),
            *horizon_rows(day, versions[champion], settled),
        ]

    def restore(self, state: PlainState) -> None:
        """Restore what `state` gave. Models that the settings have added begin now; those they have dropped are gone.

        A model that was begun afresh stays.
        """
        for name in state["contenders"]:
            if name not in self.contenders and name != without_suffix(name):
                self.contenders[name] = self._contender(name)
        super().restore(state)
        for name in self.contenders:  # in the order of the settings, in every process
            if name not in state["contenders"]:
                self._contest.reset(name)
        pinned = self.config.champion != AUTO and not failed(self.contenders[self.config.first])
        if pinned or self.term.champion not in self.contenders:
            self.term = ChampionTerm(self.config.first, 0)
