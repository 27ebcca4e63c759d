"""The monitor: every alarm and model metric, from tick statistics and hourly counts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from c360_stream.contracts.events import US_PER_DAY, time_us
from c360_stream.contracts.records import DriftAlarm
from c360_stream.monitoring.alarms import AlarmLatch
from c360_stream.monitoring.distribution_watch import DistributionWatch
from c360_stream.monitoring.estimate import estimate
from c360_stream.monitoring.lead import LeadWatch
from c360_stream.monitoring.outcome_watch import OutcomeWatch
from c360_stream.monitoring.profit import Campaign
from c360_stream.monitoring.quality import Measure
from c360_stream.monitoring.seasons import Seasons
from c360_stream.monitoring.tick_stats import MONDAY, TickStats
from c360_stream.monitoring.traffic_watch import TrafficWatch
from c360_stream.state.fields import Kept, fields


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """Thresholds; the fields are named and explained as in the settings."""

    horizon_days: int = 60
    tier_medium: float = 0.10
    tier_high: float = 0.25
    tier_critical: float = 0.50
    psi_warning: float = 0.10
    psi_critical: float = 0.20
    psi_overrides: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    auc_min: float = 0.78
    volume_drop_max: float = 0.20
    freshness_hours_max: float = 1.0
    null_share_change_max: float = 0.20
    seasons: tuple[tuple[str, str], ...] = ()
    contact_cost_cents: int = 2_500
    offer_cost_cents: int = 10_000
    margin_share: float = 0.8


class MetricRow(NamedTuple):
    """Row of `model_metrics`. `as_of_us` is the tick at which the value became known."""

    as_of_us: int
    model_name: str
    model_version: str
    segment: str
    metric: str
    value: float
    examples: int


class Monitor(Kept):
    """Watches distributions, outcomes and traffic. Event time only: a replay raises the same alarms.

    The size of its state is bounded but for the outcomes of a week, 25 bytes and the name of a plan each.

    Parameters
    ----------
    config
        Thresholds.
    """

    kept = fields(
        _latch=AlarmLatch,
        _distributions=DistributionWatch,
        _outcomes=OutcomeWatch,
        _leads=LeadWatch,
        _traffic=TrafficWatch,
    )

    def __init__(self, config: MonitorConfig) -> None:
        self._latch = AlarmLatch()
        self._seasons = Seasons(config.seasons)
        self._distributions = DistributionWatch(
            (config.psi_warning, config.psi_critical),
            config.psi_overrides,
            config.null_share_change_max,
            self._seasons,
        )
        campaign = Campaign(config.contact_cost_cents, config.offer_cost_cents, config.margin_share)
        self._outcomes = OutcomeWatch(config.horizon_days, config.auc_min, campaign)
        self._leads = LeadWatch()
        self._traffic = TrafficWatch(config.volume_drop_max, config.freshness_hours_max)

    def on_tick(self, stats: TickStats) -> tuple[list[DriftAlarm], list[MetricRow]]:
        """Take the merged statistics of the next tick.

        Metrics come weekly. Quality is measured on the matured outcomes of a week of as-ofs, under the model that
        scored them. On Mondays come, under the model that scores now, PSI (`psi:<feature>`, `psi:risk`), the early
        estimate (`estimated_...`), how far ahead cancellations were seen and how stable segments are. Every 30 days:
        how predicted values came out.
        """
        self._leads.on_tick(stats.leads)
        alarms, stabilities = self._distributions.on_tick(stats, self._latch)
        more, scored_by, qualities = self._outcomes.on_tick(stats, self._latch)
        rows = _rows(stats.tick, scored_by, qualities)
        if stats.tick % 7 == MONDAY:
            # Without labels, risks are all there is to go by: not where they are judgements, nor while it is known that
            # they no longer mean what they did.
            estimates = estimate("all", stats.scored_risk) if stats.calibrated else []
            measures = [*stabilities, *estimates, *self._leads.measures(), *_stability(stats)]
            rows += _rows(stats.tick, (stats.model_name, stats.model_version), measures)
        if stats.value is not None:
            rows += _rows(stats.tick, (stats.model_name, stats.model_version), stats.value.measures())
        return alarms + more, rows

    def on_hours(self, first_hour: int, counts: Mapping[str, Sequence[int]]) -> list[DriftAlarm]:
        """Take the next closed hours, counted since the epoch: a topic's events in each, from `first_hour` on.

        Raises
        ------
        ValueError
            If they do not follow the hours before, or are not as many for every topic.
        """
        alarms = self._traffic.on_hours(first_hour, counts, self._latch)
        # A topic that is silent is an alarm at any time; fewer events than usual are expected in a declared season.
        return [alarm for alarm in alarms if alarm.kind != "volume" or not self._in_season(alarm)]

    def _in_season(self, alarm: DriftAlarm) -> bool:
        return self._seasons.touch(time_us(alarm.as_of) // US_PER_DAY, 0)


def _stability(stats: TickStats) -> list[Measure]:
    kept, known = stats.kept_segment
    return [Measure("all", "segment_stability", kept / known, known)] if known else []


def _rows(tick: int, model: tuple[str, str], measures: list[Measure]) -> list[MetricRow]:
    name, version = model
    return [
        MetricRow(
            as_of_us=tick * US_PER_DAY,
            model_name=name,
            model_version=version,
            segment=each.segment,
            metric=each.metric,
            value=each.value,
            examples=each.examples,
        )
        for each in measures
    ]
