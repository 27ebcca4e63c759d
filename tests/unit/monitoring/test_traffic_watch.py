"""Volume and freshness: an outage within the hour, nights and quiet topics never."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from c360_stream.contracts.records import DriftAlarm
from c360_stream.monitoring.alarms import AlarmLatch
from c360_stream.monitoring.traffic_watch import TrafficWatch

FIRST_HOUR = 19_905 * 24  # A Monday.
NOON = 49 * 24 + 12  # Of a Monday.


def traffic(events_per_hour: float, days: int, burst: int = 4, seed: int = 1) -> NDArray[np.int64]:
    """Office hours on weekdays, a trickle at night and weekends, events in bursts."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    office = np.where((hours % 24 >= 8) & (hours % 24 < 18), 1.0, 0.04)
    week = np.where(hours // 24 % 7 < 5, 1.0, 0.15)
    return rng.poisson(events_per_hour / burst * office * week) * burst


def alarms(**topics: NDArray[np.int64]) -> list[DriftAlarm]:
    watch = TrafficWatch(volume_drop_max=0.2, freshness_hours_max=1.0)
    return watch.on_hours(FIRST_HOUR, {name: counts.tolist() for name, counts in topics.items()}, AlarmLatch())


def hours_after_noon(alarm: DriftAlarm) -> float:
    return alarm.as_of.timestamp() / 3600 - FIRST_HOUR - NOON


@pytest.mark.parametrize("events_per_hour", [2, 60, 20_000])
def test_a_year_as_usual_raises_no_alarm(events_per_hour: float) -> None:
    assert alarms(product=traffic(events_per_hour, 365), support=traffic(1, 365, burst=1, seed=2)) == []


def test_an_outage_raises_freshness_within_the_hour_and_volume_once() -> None:
    product = traffic(2000, 90)
    product[NOON : NOON + 48] = 0
    found = alarms(product=product, support=traffic(1, 90, burst=1))
    assert {alarm.subject for alarm in found} == {"product"}
    stale = [alarm for alarm in found if alarm.kind == "freshness"]
    assert [(alarm.severity, hours_after_noon(alarm)) for alarm in stale] == [("warning", 1), ("critical", 6)]
    volume = [alarm for alarm in found if alarm.kind == "volume"]
    assert hours_after_noon(volume[0]) <= 3
    assert [alarm.severity for alarm in volume] in (["critical"], ["warning", "critical"])
    assert "events in the" in volume[0].detail


def test_a_second_outage_alarms_again() -> None:
    product = traffic(2000, 90)
    for start in (NOON, NOON + 14 * 24):
        product[start : start + 5] = 0
    stale = [alarm for alarm in alarms(product=product) if alarm.kind == "freshness"]
    assert [hours_after_noon(alarm) for alarm in stale] == [1, 14 * 24 + 1]


def test_a_lasting_drop_raises_one_volume_warning() -> None:
    product = traffic(2000, 80)
    product[NOON:] = (product[NOON:] * 0.65).astype(np.int64)
    found = alarms(product=product)
    assert [(alarm.kind, alarm.severity) for alarm in found] == [("volume", "warning")]
    assert 0 < hours_after_noon(found[0]) <= 36
    assert found[0].statistic == pytest.approx(0.35, abs=0.15)


def test_hours_come_in_order_and_for_every_topic() -> None:
    watch, latch = TrafficWatch(0.2, 1.0), AlarmLatch()
    watch.on_hours(100, {"product": [1, 2]}, latch)
    with pytest.raises(ValueError, match="do not follow hour 102"):
        watch.on_hours(103, {"product": [1]}, latch)
    with pytest.raises(ValueError, match="for every topic"):
        watch.on_hours(102, {"product": [1], "support": []}, latch)


def test_hours_one_by_one_are_as_good_as_at_once() -> None:
    product = traffic(500, 60)
    product[NOON : NOON + 30] = 0
    watch, latch = TrafficWatch(0.2, 1.0), AlarmLatch()
    found = [
        alarm
        for hour, count in enumerate(product.tolist())
        for alarm in watch.on_hours(FIRST_HOUR + hour, {"product": [count]}, latch)
    ]
    assert found == alarms(product=product) != []
