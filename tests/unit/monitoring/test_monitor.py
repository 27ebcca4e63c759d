"""The monitor end to end on simulated companies: quiet when nothing changes, loud when something does."""

from __future__ import annotations

import math
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np
import pytest

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import DriftAlarm, utc_time
from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.monitoring.histograms import feature_histogram, risk_histogram
from c360_stream.monitoring.lead import NEVER, Leads
from c360_stream.monitoring.monitor import MetricRow, Monitor, MonitorConfig
from c360_stream.monitoring.tick_stats import MONDAY, TickStats, merge
from c360_stream.monitoring.value_check import ValueCheck
from c360_stream.state.codec import pack, unpack
from c360_stream.state.fields import codec_of

START = 19_900
HORIZON = 60


@dataclass
class Company:
    """Accounts with levels of their own that wander; outcomes drawn from the risks, `churn_factor` times the odds.

    With a `rhythm` usage is that share higher as a month turns, and lower in its middle. With a `trend` the model gives
    that much more log-odds a day.
    """

    accounts: int
    seed: int = 1
    model: str = "m"
    usage: float = 1.0
    null_share: float = 0.0
    churn_factor: float = 1.0
    discrimination: float = 1.0
    calibrated: bool = True
    rhythm: float = 0.0
    trend: float = 0.0

    def usage_at(self, day: int) -> float:
        """Of the 7 days before a midnight."""
        dates = [utc_time((day - back) * US_PER_DAY).date() for back in range(1, 8)]
        passed = [(date.day - 0.5) / monthrange(date.year, date.month)[1] for date in dates]
        return self.usage * fmean(1 + self.rhythm * math.cos(2 * math.pi * share) for share in passed)

    def ticks(self, days: range) -> Iterator[TickStats]:
        rng = np.random.default_rng(self.seed)
        level = rng.gamma(2, 3, (self.accounts, len(FEATURES)))
        wander = np.zeros_like(level)
        weight = rng.normal(0, 2.0, self.accounts)
        phase = rng.integers(0, 7, self.accounts)
        stored = {}
        for day in range(days.stop):
            wander = 0.9 * wander + rng.normal(0, 0.2, level.shape)
            features = level * np.exp(wander)
            features[:, INDEX["avg_dau_7d"]] *= self.usage_at(START + day)
            features[rng.random(self.accounts) < self.null_share, INDEX["avg_csat_30d"]] = np.nan
            risk = 1 / (1 + np.exp(3 - weight - self.trend * (day - 240)))
            due = np.flatnonzero((phase + day) % 7 == 0)
            odds = self.churn_factor * np.exp(self.discrimination * weight[due] - 3)
            # Horizons overlap: an account's fate holds for as long as one.
            fate = np.random.default_rng((self.seed, day // HORIZON)).random(self.accounts)[due]
            stored[day] = (due, fate < odds / (1 + odds), risk[due])
            rows, churned, risks = stored.pop(day - HORIZON, (due[:0], np.zeros(0, np.bool_), risk[:0]))
            if day in days:
                counts, nulls = feature_histogram(features)
                yield TickStats(
                    tick=START + day,
                    rows=self.accounts,
                    counts=counts,
                    nulls=nulls,
                    risk_counts=risk_histogram(risk),
                    model_name=self.model,
                    model_version=f"{self.model}-{day}",
                    calibrated=self.calibrated,
                    as_of_day=np.full(len(rows), START + day - HORIZON),
                    account_ids=[f"a{row:05d}" for row in rows],
                    churned=churned,
                    risk=risks,
                    mrr_cents=level[rows, INDEX["mrr_cents"]],
                    plan=["team" if row % 2 else "" for row in rows],
                    scored_risk=risk if (START + day) % 7 == MONDAY else risk[:0],
                    group=[None] * len(rows),
                    opened=len(due),
                    leads=Leads(np.array([3, NEVER]), np.array([100.0, 300.0]), 1, self.accounts),
                    value=ValueCheck(10, 500, 400, 150) if day % 30 == 0 else None,
                    kept_segment=(9, 10) if (START + day) % 7 == MONDAY else (0, 0),
                )


def watch(monitor: Monitor, company: Company, days: range) -> tuple[list[DriftAlarm], list[MetricRow]]:
    alarms, rows = [], []
    for stats in company.ticks(days):
        more, metrics = monitor.on_tick(stats)
        alarms += more
        rows += metrics
    return alarms, rows


def subjects(alarms: list[DriftAlarm]) -> list[tuple[str, str, str]]:
    return [(alarm.kind, alarm.subject, alarm.severity) for alarm in alarms]


@pytest.mark.parametrize("accounts", [60, 400])
def test_a_year_without_change_raises_no_alarm(accounts: int) -> None:
    assert watch(Monitor(MonitorConfig()), Company(accounts), range(365))[0] == []


def us_of(alarm: DriftAlarm) -> int:
    return int(alarm.as_of.timestamp() * 1e6)


def test_a_shifted_feature_alarms_once_and_again_after_it_cleared() -> None:
    monitor = Monitor(MonitorConfig())
    assert watch(monitor, Company(500), range(180))[0] == []
    alarms, _ = watch(monitor, Company(500, usage=0.55), range(180, 300))
    down = [("feature_drift", "avg_dau_7d", "warning"), ("feature_drift", "avg_dau_7d", "critical")]
    assert subjects(alarms) in (down, down[1:])
    assert alarms[0].as_of.timestamp() * 1e6 <= (START + 187) * US_PER_DAY
    assert alarms[0].raised_at == alarms[0].as_of
    assert "Median of avg_dau_7d moved from" in alarms[0].detail
    assert alarms[0].statistic is not None
    assert alarms[0].threshold is not None
    assert alarms[0].statistic > alarms[0].threshold
    again, _ = watch(monitor, Company(500), range(300, 360))
    assert subjects(again) in (down, down[1:])


def test_a_monthly_rhythm_is_no_drift_and_a_change_within_it_is() -> None:
    monitor = Monitor(MonitorConfig())
    assert watch(monitor, Company(500, rhythm=0.4), range(500))[0] == []
    alarms, _ = watch(monitor, Company(500, rhythm=0.4, usage=0.4), range(500, 530))
    assert {alarm.subject for alarm in alarms} == {"avg_dau_7d"}
    assert alarms[0].as_of.timestamp() * 1e6 <= (START + 510) * US_PER_DAY


def test_scores_that_move_all_the_time_have_not_drifted_until_they_move_more() -> None:
    """A model that follows what its company does anyway is no news."""
    monitor = Monitor(MonitorConfig())
    watch(monitor, Company(500, model="first"), range(100))
    company = Company(500, trend=0.02)
    alarms, rows = watch(monitor, company, range(100, 370))
    assert alarms == []
    moves = [row.value for row in rows if row.metric == "psi:risk" and row.as_of_us > (START + 211) * US_PER_DAY]
    assert min(moves) > 0.1, "each would be an alarm of a company that stands still"
    for stats in company.ticks(range(370, 380)):
        stats.risk_counts = np.roll(stats.risk_counts, 10)
        alarms += monitor.on_tick(stats)[0]
    assert {alarm.kind for alarm in alarms} == {"score_drift"}
    assert "critical" in {alarm.severity for alarm in alarms}


def test_a_feature_that_drifts_by_nature_is_watched_on_demand_only() -> None:
    def aging(stats: TickStats) -> TickStats:
        column = INDEX["account_age_days"]
        stats.counts[column] = np.roll(stats.counts[column], stats.tick - START)
        return stats

    for overrides, expected in (({}, set()), ({"account_age_days": (0.3, 0.6)}, {"account_age_days"})):
        monitor = Monitor(MonitorConfig(psi_overrides=overrides))
        alarms = [alarm for stats in Company(300).ticks(range(180)) for alarm in monitor.on_tick(aging(stats))[0]]
        assert {alarm.subject for alarm in alarms} == expected


def test_more_nulls_than_before_raise_completeness() -> None:
    monitor = Monitor(MonitorConfig())
    watch(monitor, Company(500, null_share=0.1), range(160))
    alarms, _ = watch(monitor, Company(500, null_share=0.6), range(160, 180))
    assert ("completeness", "avg_csat_30d", "critical") in subjects(alarms)
    assert {alarm.subject for alarm in alarms} == {"avg_csat_30d"}


def test_risks_that_move_raise_score_drift_but_another_model_does_not() -> None:
    monitor = Monitor(MonitorConfig())
    ticks = list(Company(500).ticks(range(260)))
    alarms = []
    for stats in ticks:
        day = stats.tick - START
        stats.model_name = "prior" if day < 100 else "learnt"
        if day < 100 or day >= 200:
            stats.risk_counts = np.roll(stats.risk_counts, -6)
        alarms += monitor.on_tick(stats)[0]
    assert {(alarm.kind, alarm.subject) for alarm in alarms} == {("score_drift", "learnt")}
    assert alarms[0].as_of.timestamp() >= (START + 200) * 86_400
    assert "Median risk moved from" in alarms[0].detail
    assert alarms[0].detail.endswith("No feature moved beyond noise: what the model makes of them has changed.")


def test_an_alarm_of_the_scores_names_what_moved_them() -> None:
    monitor, alarms = Monitor(MonitorConfig(psi_overrides={"avg_dau_7d": (9.0, 9.0)})), []
    for company, days in ((Company(500), range(200)), (Company(500, usage=0.5), range(200, 215))):
        for stats in company.ticks(days):
            stats.risk_counts = np.roll(stats.risk_counts, -6) if stats.tick - START >= 200 else stats.risk_counts
            alarms += monitor.on_tick(stats)[0]
    assert {alarm.kind for alarm in alarms} == {"score_drift"}
    named = alarms[0].detail.partition(" Features that moved most: ")[2]
    assert named.startswith("avg_dau_7d (PSI ")
    assert named.count("(PSI ") == 1


def test_a_useless_model_raises_performance_after_two_weeks() -> None:
    monitor = Monitor(MonitorConfig())
    alarms, rows = watch(monitor, Company(800, discrimination=0.0), range(130))
    assert subjects(alarms) == [("performance", "m", "critical")]
    worst = min(
        (row for row in rows if row.metric == "roc_auc" and row.segment != "all" and us_of(alarms[0]) == row.as_of_us),
        key=lambda row: row.value,
    )
    band = {"mrr_low": "low", "mrr_mid": "middle", "mrr_high": "high"}[worst.segment]
    assert alarms[0].detail.endswith(f"Worst: accounts of {band} MRR, {worst.value:.3f} on {worst.examples}.")
    weeks = [row for row in rows if (row.segment, row.metric) == ("all", "roc_auc")]
    # Eight weeks are the model's time to settle, then two weeks have to be bad.
    assert [row.as_of_us == int(alarms[0].as_of.timestamp() * 1e6) for row in weeks].index(True) == 9


def test_what_begins_raises_no_alarm_of_drift() -> None:
    """Accounts that begin young and windows that fill are no drift, however much they move."""
    monitor, alarms = Monitor(MonitorConfig()), []
    for stats in Company(500).ticks(range(145)):
        grown = min(1.0, (stats.tick - START) / 100)
        stats.counts = np.roll(stats.counts, -round(12 * (1 - grown)), axis=1)
        stats.risk_counts = np.roll(stats.risk_counts, round(8 * (1 - grown)))
        alarms += monitor.on_tick(stats)[0]
    assert alarms == []


def test_a_declared_season_is_no_news_and_its_end_neither() -> None:
    season = (date_of(200), date_of(220))
    alarms: dict[bool, list[DriftAlarm]] = {}
    for declared in (False, True):
        monitor = Monitor(MonitorConfig(seasons=(season,) if declared else ()))
        alarms[declared] = []
        for days, usage in ((range(200), 1.0), (range(200, 221), 0.4), (range(221, 340), 1.0)):
            alarms[declared] += watch(monitor, Company(500, usage=usage), days)[0]
    assert {alarm.subject for alarm in alarms[False]} == {"avg_dau_7d"}
    assert alarms[True] == []


def date_of(day: int) -> str:
    return f"{utc_time((START + day) * US_PER_DAY):%m-%d}"


def test_risks_that_are_no_probabilities_are_no_estimate() -> None:
    for calibrated in (True, False):
        _, rows = watch(Monitor(MonitorConfig()), Company(100, calibrated=calibrated), range(20))
        assert any(row.metric.startswith("estimated_") for row in rows) is calibrated


def test_weekly_metrics_name_the_model_that_scored() -> None:
    monitor = Monitor(MonitorConfig())
    ticks = list(Company(800).ticks(range(160)))
    for stats in ticks[78:]:
        stats.model_name = "learnt"
    rows = [row for stats in ticks for row in monitor.on_tick(stats)[1]]
    quality = [row for row in rows if row.metric == "base_rate" and row.segment == "all"]
    assert [row.model_name for row in quality] == ["m"] * 11 + ["learnt"] * (len(quality) - 11)
    # The week in which the model changed counts only what the new one scored.
    assert 0 < quality[11].examples < quality[12].examples
    assert {(row.as_of_us // US_PER_DAY - HORIZON) % 7 for row in quality} == {3}
    assert {row.metric for row in rows if row.segment == "mrr_low"} >= {"base_rate", "log_loss", "brier"}
    stability = [row for row in rows if row.metric == "psi:avg_dau_7d"]
    assert stability
    assert {row.as_of_us // US_PER_DAY % 7 for row in stability} == {4}


def test_shards_merge_in_any_order() -> None:
    parts = [stats for seed in range(4) for stats in Company(50, seed).ticks(range(70, 71))]
    for number, part in enumerate(parts):
        part.account_ids = [f"{number}-{account}" for account in part.account_ids]
    merged, again = merge(parts), merge(parts[::-1])
    stored = codec_of(TickStats)
    assert pack("s", stored.dump(merged)) == pack("s", stored.dump(again))
    assert merged.rows == 200
    assert merged.account_ids == sorted(merged.account_ids)
    assert stored.load(unpack("s", pack("s", stored.dump(merged))), None).account_ids == merged.account_ids
    parts[0].model_version = "other"
    with pytest.raises(ValueError, match="different ticks or models"):
        merge(parts)


def test_a_restored_monitor_goes_on_alike() -> None:
    ticks = [
        *Company(300).ticks(range(120)),
        *Company(300, usage=0.5, null_share=0.5, discrimination=0.0).ticks(range(120, 210)),
    ]
    hours = np.random.default_rng(1).poisson(100, (210, 24))
    hours[125:127] = 0

    def play(monitor: Monitor, first: int, last: int) -> list[object]:
        out: list[object] = []
        for day in range(first, last):
            out += monitor.on_hours(day * 24, {"product": hours[day].tolist()})
            alarms, rows = monitor.on_tick(ticks[day])
            out += [*alarms, *rows]
        return out

    whole = play(Monitor(MonitorConfig()), 0, 210)
    resumed: list[object] = []
    monitor = Monitor(MonitorConfig())
    for first, last in pairwise((0, 30, 123, 131, 200, 210)):
        resumed += play(monitor, first, last)
        state, monitor = monitor.state(), Monitor(MonitorConfig())
        monitor.restore(unpack("monitor", pack("monitor", state)))
    assert resumed == whole
    assert {alarm.kind for alarm in whole if isinstance(alarm, DriftAlarm)} >= {
        "feature_drift",
        "completeness",
        "performance",
        "volume",
        "freshness",
    }
