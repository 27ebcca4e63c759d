"""Watches the input topics by the hour: volume and freshness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from c360_stream.contracts.events import US_PER_HOUR
from c360_stream.contracts.records import DriftAlarm, utc_time
from c360_stream.monitoring.alarms import CLEAR_SHARE, NORMAL, WARNING, AlarmLatch, drift_alarm, level
from c360_stream.monitoring.hourly_counts import HourlyCounts
from c360_stream.state.fields import Kept, dict_of, fields, stored_as

# Window in hours, and the standard deviations that a drop must exceed: an hour is tested 24 times a day, and
# bursts make its tail heavier than a day's.
_WINDOWS = ((24, 5.0), (1, 6.0))
_DROP_CRITICAL = 0.5
# A volume is back to normal when the day up to now was near its expectation, by chance or not, for a whole day.
_DAY, _CALM_HOURS = 24, 24
# Silence through 20 expected bursts of events has a probability of exp(-20), 2e-9.
_BURSTS_MISSED_MAX = 20.0
# Silence this many times longer than allowed is critical.
_SILENCE_CRITICAL = 6.0
_VOLUME_ACTION = "check the producers of this topic; scores allow for days that lost over half of the product events"
_FRESHNESS_ACTION = "time goes on without this topic; check its producers and its connector"


class TrafficWatch(Kept):
    """Compares each closed hour, and the day up to it, with the same hours of the four weeks before.

    Parameters
    ----------
    volume_drop_max
        Share (0..1) of the expected events that may be missing.
    freshness_hours_max
        Hours without an event that are never an alarm.
    """

    kept = fields(
        _next_hour=int | None,
        _topics=dict_of(str, stored_as(list[int], HourlyCounts.counts, HourlyCounts)),
        _calm_hours=dict[str, int],
    )

    def __init__(self, volume_drop_max: float, freshness_hours_max: float) -> None:
        self._volume_drop_max = volume_drop_max
        self._freshness_hours_max = freshness_hours_max
        self._next_hour: int | None = None
        self._topics: dict[str, HourlyCounts] = {}
        self._calm_hours: dict[str, int] = {}

    def on_hours(self, first_hour: int, counts: Mapping[str, Sequence[int]], latch: AlarmLatch) -> list[DriftAlarm]:
        """Take closed hours, in order and without gaps.

        Raises
        ------
        ValueError
            If they do not follow the hours before, or are not as many for every topic.
        """
        if self._next_hour not in (None, first_hour):
            raise ValueError(f"hours from {first_hour} do not follow hour {self._next_hour}")
        hours = max(map(len, counts.values()), default=0)
        if any(len(each) != hours for each in counts.values()):
            raise ValueError("not as many hours for every topic")
        self._next_hour = first_hour + hours
        alarms: list[DriftAlarm] = []
        for offset in range(hours):
            for topic in sorted(counts):
                hourly = self._topics.setdefault(topic, HourlyCounts())
                hourly.push(int(counts[topic][offset]))
                end_us = (first_hour + offset + 1) * US_PER_HOUR
                alarms += self._volume(end_us, topic, hourly, latch)
                alarms += self._freshness(end_us, topic, hourly, latch)
        return alarms

    def _volume(self, end_us: int, topic: str, hourly: HourlyCounts, latch: AlarmLatch) -> Iterator[DriftAlarm]:
        limit = self._volume_drop_max
        drop, window = max((hourly.drop(hours, sigmas), hours) for hours, sigmas in _WINDOWS)
        near = max(drop, hourly.drop(_DAY)) >= CLEAR_SHARE * limit
        calm = 0 if near else self._calm_hours.get(topic, 0) + 1
        self._calm_hours[topic] = min(calm, _CALM_HOURS)
        critical = max(limit, _DROP_CRITICAL)
        reached = level(drop, limit, critical)
        rises = latch.rises("volume", topic, reached, cleared=calm >= _CALM_HOURS)
        if rises and (expectation := hourly.expected(window)) is not None:
            yield drift_alarm(
                end_us,
                "volume",
                topic,
                f"drop_{window}h",
                statistic=drop,
                threshold=limit if reached == WARNING else critical,
                level=reached,
                action=_VOLUME_ACTION,
                detail=f"{hourly.observed(window)} events in the {window} h to {_minute(end_us)}, {drop:.0%} below "
                f"the {expectation.events:.0f} of the same hours of the last {expectation.weeks} weeks.",
            )

    def _freshness(self, end_us: int, topic: str, hourly: HourlyCounts, latch: AlarmLatch) -> Iterator[DriftAlarm]:
        silent, limit = hourly.silent_hours, self._freshness_hours_max
        reached = NORMAL
        if silent >= limit and hourly.missed_bursts(silent) > _BURSTS_MISSED_MAX:
            # The newest event is older than the whole hours of silence, by the rest of its own hour.
            reached = level(silent + 1, limit, _SILENCE_CRITICAL * limit)
        rises = latch.rises("freshness", topic, reached, cleared=silent == 0)
        if rises and (expectation := hourly.expected(silent)) is not None:
            yield drift_alarm(
                end_us,
                "freshness",
                topic,
                "expected_events_missed",
                statistic=silent,
                threshold=limit * (1 if reached == WARNING else _SILENCE_CRITICAL),
                level=reached,
                action=_FRESHNESS_ACTION,
                detail=f"No event in the {silent} h to {_minute(end_us)}, where {expectation.events:.0f} were "
                f"expected.",
            )


def _minute(us: int) -> str:
    return f"{utc_time(us):%Y-%m-%d %H:%M} UTC"
