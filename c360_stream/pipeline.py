"""The pipeline: account shards -> learner -> scorers -> monitors, and how messages are routed between them.

Pure and deterministic. The flow runs the parts as steps of an engine, on several workers; `c360 evaluate` and
`c360 bench` run them here, one after the other. Both take the routing from this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING, TypeVar

from c360_stream.contracts.events import US_PER_SECOND
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.contracts.records import DriftAlarm
from c360_stream.features.columns import ShardBatch
from c360_stream.features.emissions import Emission, HourCounts, TickExamples
from c360_stream.features.shard import AccountShard, ShardConfig
from c360_stream.learning.barrier import HourBarrier, TickBarrier
from c360_stream.learning.learner import LearnedTick, Learner, LearningConfig
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.horizons import learnt_horizons
from c360_stream.monitoring.interventions import InterventionRow, InterventionWatch
from c360_stream.monitoring.monitor import MetricRow, Monitor, MonitorConfig
from c360_stream.monitoring.tick_stats import TickStats, merge
from c360_stream.scoring.account_scores import ScoringConfig
from c360_stream.scoring.scored import ScoredTick, ScorerOutput, ShardStats, shard_stats
from c360_stream.scoring.scorer import ScorerInput, ShardScorer, ShardVersion
from c360_stream.scoring.value import ValueConfig
from c360_stream.settings import Settings
from c360_stream.state.fields import Kept, fields

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")

LearnerInput = TickExamples
"""What the one learner takes of all account shards."""
MonitorInput = HourCounts | ShardStats
"""What the monitors take: the hours of all account shards, and the statistics of all scorers' ticks."""


def shard_versions(learned: LearnedTick, shards: int) -> list[ShardVersion]:
    """The version of a tick, for every scorer."""
    return [ShardVersion(number, learned.day, learned.version) for number in range(shards)]


@dataclass(slots=True)
class MonitorOutput:
    """What the monitors find in hours or a tick that all shards have closed."""

    alarms: list[DriftAlarm] = field(default_factory=list)
    metrics: list[MetricRow] = field(default_factory=list)
    interventions: list[InterventionRow] = field(default_factory=list)
    stats: TickStats | None = None
    """Of all shards, if a tick was closed."""


class _StatsBarrier(TickBarrier[TickStats]):
    kept = fields(_days=dict[int, dict[int, TickStats]])


class Monitors(Kept):
    """What watches, behind the barriers that wait for every shard.

    Parameters
    ----------
    shards
        Number of shards.
    config
        Thresholds.
    """

    kept = fields(_monitor=Monitor, _interventions=InterventionWatch, _hours=HourBarrier, _ticks=_StatsBarrier)

    def __init__(self, shards: int, config: MonitorConfig) -> None:
        self._monitor = Monitor(config)
        tiers = (config.tier_medium, config.tier_high, config.tier_critical)
        self._interventions = InterventionWatch(config.horizon_days, tiers)
        self._hours = HourBarrier(shards, len(INPUT_KINDS))
        self._ticks = _StatsBarrier(shards)

    def take(self, part: MonitorInput) -> MonitorOutput:
        """Take a shard's part of hours or of a tick; look at what all shards have closed with it."""
        return self._hours_of(part) if isinstance(part, HourCounts) else self._tick_of(part)

    def _hours_of(self, part: HourCounts) -> MonitorOutput:
        closed = self._hours.put(part.shard, part.first_hour, part.counts)
        if closed is None:
            return MonitorOutput()
        first, counts = closed
        by_topic: dict[str, list[int]] = {name: counts[i].tolist() for i, name in enumerate(INPUT_KINDS)}
        return MonitorOutput(alarms=self._monitor.on_hours(first, by_topic))

    def _tick_of(self, part: ShardStats) -> MonitorOutput:
        parts = self._ticks.put(part.stats.tick, part.shard, part.stats)
        if parts is None:
            return MonitorOutput()
        whole = merge(parts)
        alarms, metrics = self._monitor.on_tick(whole)
        return MonitorOutput(alarms, metrics, self._interventions.on_tick(whole), whole)


class ModelPipeline:
    """The pipeline from the learner on: of all shards, in one process.

    Parameters
    ----------
    settings
        Settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.learner = Learner(settings.shards, learning_config(settings))
        self.scorers = [ShardScorer(scoring_config(settings)) for _ in range(settings.shards)]
        self.monitors = Monitors(settings.shards, monitor_config(settings))

    def take(self, message: Emission | ShardVersion) -> Iterator[LearnedTick | ScorerOutput | MonitorOutput]:
        """Take what an account shard gives; give what follows from it, through all parts. To be exhausted."""
        if isinstance(message, ScorerInput):
            yield from self._monitored(self.scorers[message.shard].take(message))
        elif isinstance(message, LearnerInput):
            if (learned := self.learner.receive(message)) is not None:
                yield learned
                for version in shard_versions(learned, len(self.scorers)):
                    yield from self.take(version)
        elif isinstance(message, MonitorInput):
            yield self.monitors.take(message)

    def _monitored(self, scored: Iterable[ScorerOutput]) -> Iterator[ScorerOutput | MonitorOutput]:
        for each in scored:
            yield each
            if isinstance(each, ScoredTick):
                yield self.monitors.take(shard_stats(each))


class Pipeline:
    """The whole pipeline, of all shards, in one process.

    Parameters
    ----------
    settings
        Settings.
    partitions
        Names of the source partitions.
    """

    def __init__(self, settings: Settings, partitions: tuple[str, ...]) -> None:
        self.shards = account_shards(settings, partitions)
        self.models = ModelPipeline(settings)

    def receive(self, batch: ShardBatch) -> Iterator[Emission | LearnedTick | ScorerOutput | MonitorOutput]:
        """Take a partition's batch for a shard; give what the shard emits and all that follows. To be exhausted."""
        for emission in self.shards[batch.shard].receive([batch]):
            yield emission
            yield from self.models.take(emission)


def account_shards(settings: Settings, partitions: tuple[str, ...]) -> list[AccountShard]:
    """The pipeline's first part, of all shards."""
    config = shard_config(settings, partitions)
    return [AccountShard(number, config) for number in range(settings.shards)]


def _same_named(config: type[Config], settings: Settings) -> Config:
    """A configuration whose fields are named as the settings are."""
    return config(**{field.name: getattr(settings, field.name) for field in dataclass_fields(config)})


def shard_config(settings: Settings, partitions: tuple[str, ...]) -> ShardConfig:
    """What the account shards take from the settings."""
    return ShardConfig(
        partitions=partitions,
        lateness_us=settings.allowed_lateness_seconds * US_PER_SECOND,
        dedupe_days=-(-settings.dedupe_hours // 24),
        horizon_days=settings.horizon_days,
        reach_days=max(_learnt_horizons(settings)),
        stride_days=settings.example_stride_days,
        event_score_interval_us=settings.event_score_interval_seconds * US_PER_SECOND,
        early_events_max=settings.early_events_max // settings.shards,
    )


def learning_config(settings: Settings) -> LearningConfig:
    """What the learner takes from the settings."""
    return LearningConfig(
        model=_same_named(ModelConfig, settings),
        champion=settings.champion,
        challengers=settings.challengers,
        learning_scheme=settings.learning_scheme,
        example_stride_days=settings.example_stride_days,
        retrain_days=settings.retrain_days,
        retrain_loss_share_max=settings.retrain_loss_share_max,
        retrain_on_drift=settings.retrain_on_drift,
        replay_examples_max=settings.replay_examples_max,
        trees_examples_max=settings.trees_examples_max,
        declared_models=settings.declared_models,
        horizons=_learnt_horizons(settings),
        seasons=settings.seasons,
    )


def _learnt_horizons(settings: Settings) -> tuple[int, ...]:
    return learnt_horizons(settings.horizon_days, settings.risk_curve_days)


def monitor_config(settings: Settings) -> MonitorConfig:
    """What the monitor takes from the settings."""
    return _same_named(MonitorConfig, settings)


def scoring_config(settings: Settings) -> ScoringConfig:
    """What the scorers take from the settings."""
    return ScoringConfig(
        horizon_days=settings.horizon_days,
        thresholds=(settings.tier_medium, settings.tier_high, settings.tier_critical),
        hysteresis=settings.tier_hysteresis,
        tier_min_days=settings.tier_min_days,
        event_score_change_min=settings.event_score_change_min,
        risk_curve_days=settings.risk_curve_days,
        value=_same_named(ValueConfig, settings),
    )
