"""Watches the stored scores against what happened: model metrics by week, performance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import DriftAlarm
from c360_stream.models.columns import Floats
from c360_stream.monitoring.alarms import AlarmLatch, day_text, drift_alarm, level
from c360_stream.monitoring.drift import SETTLE_DAYS
from c360_stream.monitoring.profit import Campaign
from c360_stream.monitoring.quality import MRR_BANDS, Measure, measure_by_segment, reliability_measures
from c360_stream.monitoring.tick_stats import TickStats
from c360_stream.state.fields import Kept, fields

WEEKS_RUNNING = 2
# Weeks running at or above the threshold until a performance alarm has cleared.
_WEEKS_CLEAR = 4
DAYS_PER_WEEK = 7
SUNDAY = 3  # Day 0 of the epoch was a Thursday.
_PERFORMANCE_ACTION = "scoring and learning go on; review the features, and do not act on single scores"


# Of a tick's outcomes: as-of day, whether it churned, risk, MRR and plan.
_Day = tuple[NDArray[np.int64], NDArray[np.bool_], Floats, Floats, list[str]]


class OutcomeWatch(Kept):
    """Judges matured outcomes, a week of as-ofs (Monday to Sunday) at a time, once the last has matured.

    Parameters
    ----------
    horizon_days
        Of the labels.
    auc_min
        A weekly ROC-AUC that is certainly below this (its 95% interval is) for two weeks running is an alarm.
    campaign
        Costs of a campaign, for its profit.
    """

    kept = fields(
        _models=dict[int, tuple[str, str]],
        _opened=dict[int, int],
        _week=list[_Day],
        _weeks_below=int,
        _weeks_well=int,
        _scores=str,
        _since=int,
    )

    def __init__(self, horizon_days: int, auc_min: float, campaign: Campaign) -> None:
        self._campaign = campaign
        self._opened: dict[int, int] = {}
        self._horizon_days = horizon_days
        self._auc_min = auc_min
        self._models: dict[int, tuple[str, str]] = {}
        self._week: list[_Day] = []
        self._weeks_below = 0
        self._weeks_well = 0
        self._scores, self._since = "", 0

    def on_tick(self, stats: TickStats, latch: AlarmLatch) -> tuple[list[DriftAlarm], tuple[str, str], list[Measure]]:
        """Take a tick: alarms, and at the end of a week its measures and the (name, version) that they are of."""
        now = (stats.model_name, stats.model_version)
        if stats.model_name != self._scores:
            self._scores, self._since = stats.model_name, stats.tick
        # Who scored an as-of is asked again when its outcome matures, and at the end of that week.
        oldest = stats.tick - self._horizon_days - DAYS_PER_WEEK
        self._models = {day: model for day, model in self._models.items() if day >= oldest} | {stats.tick: now}
        self._opened = {day: count for day, count in self._opened.items() if day >= oldest} | {stats.tick: stats.opened}
        self._week.append((stats.as_of_day, stats.churned, stats.risk, stats.mrr_cents, stats.plan))
        sunday = stats.tick - self._horizon_days
        if sunday % DAYS_PER_WEEK != SUNDAY:
            return [], now, []
        model = self._models.get(sunday, now)
        measures = self._measure_week(sunday, model[0])
        return self._watch_performance(stats, model[0], measures, latch), model, measures

    def _measure_week(self, sunday: int, model_name: str) -> list[Measure]:
        """Measure the week's outcomes; of a week in which the model changed, those that the new one scored."""
        *arrays, plans = zip(*self._week, strict=True)
        as_of_day, churned, risk, mrr_cents = (np.concatenate(column) for column in arrays)
        plan = [each for day in plans for each in day]
        self._week = []
        judged = range(sunday - DAYS_PER_WEEK + 1, sunday + 1)
        own = [day for day, (name, _) in self._models.items() if name == model_name]
        rows = np.isin(as_of_day, own)
        churned, risk, mrr_cents = churned[rows], risk[rows], mrr_cents[rows]
        if not len(risk):
            return []
        taken = sum(self._opened.get(day, 0) for day in own if day in judged)
        return [
            *measure_by_segment(
                churned, risk, mrr_cents, [each for each, kept in zip(plan, rows, strict=True) if kept]
            ),
            *reliability_measures(churned, risk),
            *self._campaign.measures(churned, risk, mrr_cents),
            *([Measure("all", "label_coverage", len(risk) / taken, taken)] if taken else []),
        ]

    def _watch_performance(
        self, stats: TickStats, model_name: str, measures: list[Measure], latch: AlarmLatch
    ) -> list[DriftAlarm]:
        if model_name != stats.model_name:
            # The outcomes of a model that no longer scores.
            self._weeks_below = self._weeks_well = 0
            return []
        whole = {each.metric: each for each in measures if each.segment == "all"}
        if "roc_auc" not in whole or stats.tick - self._horizon_days < self._since + SETTLE_DAYS:
            return []
        auc, examples = whole["roc_auc"].value, whole["roc_auc"].examples
        # Below for certain: a week of a small company has few who churn.
        below = whole["roc_auc_high"].value < self._auc_min
        self._weeks_below = self._weeks_below + 1 if below else 0
        self._weeks_well = 0 if below else self._weeks_well + 1
        # Half-way from the threshold to guessing is critical.
        reached = level(-auc, -self._auc_min, -(self._auc_min + 0.5) / 2) if self._weeks_below >= WEEKS_RUNNING else 0
        if not latch.rises("performance", model_name, reached, cleared=self._weeks_well >= _WEEKS_CLEAR):
            return []
        return [
            drift_alarm(
                stats.tick * US_PER_DAY,
                "performance",
                model_name,
                "weekly_roc_auc",
                statistic=auc,
                threshold=self._auc_min,
                level=reached,
                action=_PERFORMANCE_ACTION,
                detail=f"ROC-AUC of the scores of the week to {day_text(stats.tick - self._horizon_days)} was "
                f"{auc:.3f} on {examples} outcomes; certainly below {self._auc_min:.2f} for "
                f"{self._weeks_below} weeks running.{_worst(measures)}",
            )
        ]


def _worst(measures: list[Measure]) -> str:
    """The band of MRR with the lowest ROC-AUC, as a sentence; empty if no band has one."""
    bands = [each for each in measures if each.metric == "roc_auc" and each.segment in MRR_BANDS]
    if not bands:
        return ""
    worst = min(bands, key=lambda each: (each.value, each.segment))
    return f" Worst: accounts {MRR_BANDS[worst.segment]}, {worst.value:.3f} on {worst.examples}."
