"""Watches the distributions of features and risks: feature drift, score drift, completeness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import DriftAlarm
from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.models.exposure import WINDOW_DAYS_MAX
from c360_stream.monitoring.alarms import CLEAR_SHARE, CRITICAL, NORMAL, AlarmLatch, day_text, drift_alarm, level
from c360_stream.monitoring.drift import (
    DRIFT_BY_NATURE,
    GAP_TICKS,
    RING_TICKS,
    SETTLE_DAYS,
    WARMUP_DAYS,
    WARMUP_DAYS_BY_FEATURE,
    Psi,
    SlidingWindows,
    UsualPsi,
    Window,
    psi,
)
from c360_stream.monitoring.histograms import BINS, RISK_BINS, median_feature, median_risk
from c360_stream.monitoring.quality import Measure
from c360_stream.monitoring.seasons import NO_SEASONS, Seasons
from c360_stream.monitoring.tick_stats import TickStats
from c360_stream.state.fields import Kept, dict_of, fields

# Standard deviations by which a null share must rise beyond what the number of accounts explains.
_NULL_SIGMAS = 4.0
# Features that an alarm of the scores names.
_NAMED_MAX = 3
_FEATURE_ACTION = "scoring and learning go on; check the events behind this feature, or the product change"
_SCORE_ACTION = "scoring goes on; compare with the feature alarms and with the calibration of the next outcomes"
_NULL_ACTION = "nulls score as missing values; check that the events behind this feature still arrive"


class DistributionWatch(Kept):
    """Compares the last 7 ticks with the 28 ticks that ended 28 ticks ago, and with the same days of the month before.

    What differs from the one and not from the other is the rhythm of a month, and no drift: the smaller PSI counts.

    Parameters
    ----------
    psi_thresholds
        (warning, critical).
    psi_overrides
        The same for single features. A feature that drifts by nature is watched only if it is named here.
    null_share_change_max
        Rise of a null share, in shares (0..1).
    seasons
        Declared times of other usage: ticks whose features look back on one are left out.
    """

    kept = fields(
        _first_tick=int | None,
        _features=SlidingWindows,
        _risk=SlidingWindows,
        _usual=dict_of(str, UsualPsi),
        _usual_risk=UsualPsi,
        _model_name=str,
        _model_since=int,
    )

    def __init__(
        self,
        psi_thresholds: tuple[float, float],
        psi_overrides: Mapping[str, tuple[float, float]],
        null_share_change_max: float,
        seasons: Seasons = NO_SEASONS,
    ) -> None:
        self._seasons = seasons
        self._thresholds = {
            name: psi_overrides.get(name, psi_thresholds)
            for name in FEATURES
            if name not in DRIFT_BY_NATURE or name in psi_overrides
        }
        self._score_thresholds = psi_thresholds
        self._null_share_change_max = null_share_change_max
        self._first_tick: int | None = None
        self._features = SlidingWindows(len(FEATURES) * (BINS + 1))
        self._risk = SlidingWindows(RISK_BINS + 1)
        self._usual = {name: UsualPsi() for name in FEATURES}
        self._usual_risk = UsualPsi()
        self._model_name, self._model_since = "", 0

    def on_tick(self, stats: TickStats, latch: AlarmLatch) -> tuple[list[DriftAlarm], list[Measure]]:
        """Take a tick: alarms, and the PSI of everything that has its windows filled."""
        if self._first_tick is None:
            self._first_tick = stats.tick
        if self._seasons.touch(stats.tick, WINDOW_DAYS_MAX):
            return [], []  # no part of any window: neither the season nor its end is news
        counts = np.column_stack((stats.counts, stats.nulls))
        self._features.push(stats.tick, int(counts[0].sum()), counts.ravel())
        if stats.model_name != self._model_name:
            # Another model spreads its risks differently: its reference starts with it.
            self._model_name, self._risk = stats.model_name, SlidingWindows(RISK_BINS + 1)
            self._usual_risk = UsualPsi()
            self._model_since = stats.tick
        self._risk.push(stats.tick, int(stats.risk_counts.sum()), np.append(stats.risk_counts, 0))
        found = [
            *self._watch_features(stats, stats.tick - self._first_tick, latch),
            *self._watch_risk(stats, stats.tick - self._first_tick, latch),  # names what the features have shown
        ]
        measures = [each for each in found if isinstance(each, Measure)]
        return [each for each in found if isinstance(each, DriftAlarm)], measures

    def _watch_features(self, stats: TickStats, age: int, latch: AlarmLatch) -> Iterator[DriftAlarm | Measure]:
        windows = self._features
        if not windows.full:
            return
        current, *references = (_by_feature(each) for each in (windows.current, *windows.references()))
        for column, name in enumerate(FEATURES):
            if age < RING_TICKS - 1 + WARMUP_DAYS_BY_FEATURE.get(name, WARMUP_DAYS):
                continue
            now, befores = current[column], [each[column] for each in references]
            before = befores[0].counts
            yield from self._completeness(stats.tick, name, befores, now, latch)
            if name not in self._thresholds:
                continue
            found = smallest_psi(befores, now)
            yield Measure("all", f"psi:{name}", found.value, stats.rows)
            usual = self._usual[name]
            warning, critical = usual.limits(found, self._thresholds[name])
            reached = level(found.value, warning, critical)
            if reached == NORMAL and not latch.holds("feature_drift", name):
                usual.take(stats.tick, found.value)
            if latch.rises("feature_drift", name, reached, cleared=found.value < CLEAR_SHARE * warning):
                yield drift_alarm(
                    stats.tick * US_PER_DAY,
                    "feature_drift",
                    name,
                    "psi",
                    statistic=found.value,
                    threshold=critical if reached == CRITICAL else warning,
                    level=reached,
                    action=_FEATURE_ACTION,
                    detail=f"Median of {name} moved from {median_feature(before[:-1]):.3g} to "
                    f"{median_feature(now.counts[:-1]):.3g}; PSI {found.value:.2f} {_against(stats.tick)}.",
                )

    def _completeness(
        self, tick: int, name: str, befores: Sequence[Window], now: Window, latch: AlarmLatch
    ) -> Iterator[DriftAlarm]:
        limit = self._null_share_change_max
        share_before, share = max(map(_null_share, befores)), _null_share(now)
        rise, pooled = share - share_before, (share + share_before) / 2
        per_account = 1 / befores[0].accounts + 1 / now.accounts
        certain = rise > _NULL_SIGMAS * (pooled * (1 - pooled) * per_account) ** 0.5
        reached = level(rise, limit, 2 * limit) if certain else NORMAL
        if latch.rises("completeness", name, reached, cleared=rise < CLEAR_SHARE * limit):
            yield drift_alarm(
                tick * US_PER_DAY,
                "completeness",
                name,
                "null_share_change",
                statistic=rise,
                threshold=limit * reached,
                level=reached,
                action=_NULL_ACTION,
                detail=f"{name} is null for {share:.0%} of the accounts, up from {share_before:.0%}, {_against(tick)}.",
            )

    def _watch_risk(self, stats: TickStats, age: int, latch: AlarmLatch) -> Iterator[DriftAlarm | Measure]:
        windows = self._risk
        if not windows.full:
            return
        found = smallest_psi(windows.references(), windows.current)
        yield Measure("all", "psi:risk", found.value, stats.rows)
        if age - WARMUP_DAYS < RING_TICKS - 1:
            return  # the scores grow up with the features
        settling = stats.tick - self._model_since - SETTLE_DAYS < RING_TICKS - 1
        warning, critical = self._usual_risk.limits(found, self._score_thresholds)
        reached = level(found.value, warning, critical)
        if settling or (reached == NORMAL and not latch.holds("score_drift", stats.model_name)):
            self._usual_risk.take(stats.tick, found.value)
        if settling:
            return  # a model that has just begun to score
        if latch.rises("score_drift", stats.model_name, reached, cleared=found.value < CLEAR_SHARE * warning):
            yield drift_alarm(
                stats.tick * US_PER_DAY,
                "score_drift",
                stats.model_name,
                "psi",
                statistic=found.value,
                threshold=critical if reached == CRITICAL else warning,
                level=reached,
                action=_SCORE_ACTION,
                detail=f"Median risk moved from {median_risk(windows.reference.counts[:-1]):.1%} to "
                f"{median_risk(windows.current.counts[:-1]):.1%}; PSI {found.value:.2f} {_against(stats.tick)}. "
                f"{self._most_moved()}",
            )

    def _most_moved(self) -> str:
        """The features that moved most, as a sentence: empty until their windows are filled."""
        windows = self._features
        if not windows.full:
            return ""
        now, *befores = (_by_feature(each) for each in (windows.current, *windows.references()))
        found = {
            name: smallest_psi([each[column] for each in befores], now[column]) for column, name in enumerate(FEATURES)
        }
        moved = [name for name, each in found.items() if name in self._thresholds and each.value > each.noise]
        texts = [
            f"{name} (PSI {found[name].value:.2f}, median "
            f"{median_feature(befores[0][INDEX[name]].counts[:-1]):.3g} to "
            f"{median_feature(now[INDEX[name]].counts[:-1]):.3g})"
            for name in sorted(moved, key=lambda name: (-found[name].value, name))[:_NAMED_MAX]
        ]
        if not texts:
            return "No feature moved beyond noise: what the model makes of them has changed."
        return f"Features that moved most: {', '.join(texts)}."


def smallest_psi(references: Sequence[Window], current: Window) -> Psi:
    """The smallest PSI against several references, and the greatest noise: a drift is one against all of them."""
    found = [psi(each.counts, current.counts, each.accounts, current.accounts) for each in references]
    return Psi(min(each.value for each in found), max(each.noise for each in found))


def _by_feature(window: Window) -> list[Window]:
    return [Window(counts, window.accounts) for counts in window.counts.reshape(len(FEATURES), -1)]


def _null_share(window: Window) -> float:
    return float(window.counts[-1] / window.counts.sum())


def _against(tick: int) -> str:
    return f"against the 28 ticks to {day_text(tick - GAP_TICKS)}, and no less against the same days a month before"
