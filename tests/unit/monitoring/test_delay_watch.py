"""Label-delay drift: cancellations that are heard later than they used to be."""

from __future__ import annotations

import numpy as np
import pytest

from c360_stream.contracts.records import DriftAlarm
from c360_stream.monitoring.alarms import AlarmLatch
from c360_stream.monitoring.delay_watch import CURRENT_DAYS, REFERENCE_DAYS, DelayWatch, chance_of_as_many
from c360_stream.state.codec import pack, unpack

START = 19_900


def watch(late_days: list[list[int]], watcher: DelayWatch | None = None) -> list[DriftAlarm]:
    watcher, latch = watcher or DelayWatch(), AlarmLatch()
    return [alarm for day, late in enumerate(late_days) for alarm in watcher.on_tick(START + day, late, latch)]


def test_an_export_that_comes_days_late_alarms_once_and_says_by_how_much() -> None:
    # One cancellation a day, in time for 84 days; then every second one comes four days late.
    alarms = watch([[0]] * 84 + [[0], [4]] * 14)
    assert [(alarm.kind, alarm.subject, alarm.severity) for alarm in alarms] == [
        ("label_delay", "subscription_cancelled", "warning"),
        ("label_delay", "subscription_cancelled", "critical"),
    ]
    assert "heard in the 28 days to 2024-" in alarms[1].detail
    assert "came a day or more late, 4.0 days on average; 0% of 80 before." in alarms[1].detail
    assert alarms[1].statistic == pytest.approx(12 / 28)
    assert alarms[1].detail.startswith("43% of 28 cancellations")


def test_what_has_always_been_late_is_no_news_nor_what_gets_better() -> None:
    assert watch([[0, 3], [2]] * 100) == []
    assert watch([[3]] * 100 + [[0]] * 100) == []


def test_a_new_usual_delay_clears_and_a_second_change_alarms_again() -> None:
    late, in_time = [[3, 2]], [[0, 0]]
    days = in_time * 100 + late * (CURRENT_DAYS + REFERENCE_DAYS) + in_time * 120 + late * 30
    alarms = watch(days)
    assert len({alarm.severity for alarm in alarms[: len(alarms) // 2]}) == len(alarms) // 2
    first, second = alarms[0].as_of.timestamp() / 86_400 - START, alarms[-1].as_of.timestamp() / 86_400 - START
    assert 100 <= first < 110
    assert second >= 332


def test_few_cancellations_and_chance_raise_no_alarm() -> None:
    assert watch([[0]] * 9 + [[]] * 30 + [[5]] * 9) == []
    rng = np.random.default_rng(1)
    assert watch([(rng.random(rng.poisson(1.5)) < 0.3).astype(int).tolist() for _ in range(3650)]) == []


def test_the_exact_test_by_hand() -> None:
    # 4 marked of 10, 5 drawn: 3 marked in C(4,3) C(6,2) = 60 ways, 4 in C(4,4) C(6,1) = 6, of C(10,5) = 252.
    assert chance_of_as_many(3, 5, 4, 10) == pytest.approx(66 / 252)
    assert chance_of_as_many(0, 5, 4, 10) == pytest.approx(1.0)
    assert chance_of_as_many(0, 5, 8, 10) == pytest.approx(1.0)


def test_a_restored_watch_goes_on_alike() -> None:
    days = [[0]] * 90 + [[0], [4]] * 20
    whole = watch(days)
    first = DelayWatch()
    assert watch(days[:95], first) == []
    again = DelayWatch()
    again.restore(unpack("learn", pack("learn", first.state())))
    assert again.state() == first.state()
    latch = AlarmLatch()
    rest = [alarm for day, late in enumerate(days[95:], 95) for alarm in again.on_tick(START + day, late, latch)]
    assert rest == whole != []
