"""Concept drift: who leaves, against who was expected to."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from c360_stream.contracts.records import DriftAlarm, utc_time
from c360_stream.features.definitions import FEATURES, INDEX
from c360_stream.features.example_block import ExampleBlock
from c360_stream.models.columns import Floats
from c360_stream.monitoring.alarms import AlarmLatch
from c360_stream.monitoring.concept import (
    CHURNED_MIN,
    CURRENT_WEEKS,
    REFERENCE_WEEKS_MAX,
    REFERENCE_WEEKS_MIN,
    ConceptDrift,
    signed_root,
)
from c360_stream.monitoring.seasons import Seasons
from c360_stream.state.codec import pack, unpack

START = 19_905  # a Monday
MRR, SEATS = INDEX["mrr_cents"], INDEX["seat_utilization_30d"]
RISK = 0.23  # of 60 days: 3% a week


def blocks(
    days: range, seed: int = 1, factor: float = 1.0, rows: int = 200
) -> Iterator[tuple[int, ExampleBlock, Floats]]:
    """A day's young examples: 3% leave within the week; small accounts `factor` times, the others the less."""
    for day in days:
        rng = np.random.default_rng((seed, day))
        features = rng.gamma(2.0, 1.0, (rows, len(FEATURES)))
        features[:, MRR] = rng.integers(1, 41, rows) * 1000.0
        features[rng.random(rows) < 0.3, SEATS] = np.nan
        small = features[:, MRR] <= 12_000
        rate = 0.03 * np.where(small, factor, (1 - 0.3 * factor) / 0.7)
        ids = [f"a{number:04}" for number in range(rows)]
        yield (
            day,
            ExampleBlock(
                np.full(rows, START + day - 7), ids, features, rng.random(rows) < rate, np.zeros(rows, np.bool_)
            ),
            np.full(rows, RISK),
        )


def watch(
    detector: ConceptDrift, *parts: Iterator[tuple[int, ExampleBlock, Floats]], latch: AlarmLatch | None = None
) -> list[DriftAlarm]:
    latch = latch or AlarmLatch()
    return [
        alarm
        for part in parts
        for day, block, risk in part
        for alarm in detector.on_tick(START + day, "m", block, risk, latch)
    ]


def day_of(alarm: DriftAlarm) -> int:
    return (alarm.as_of - utc_time(0)).days - START


def test_when_other_accounts_leave_though_no_more_of_them_it_is_found_and_named() -> None:
    latch = AlarmLatch()
    alarms = watch(ConceptDrift(), blocks(range(150)), blocks(range(150, 220), factor=3.0), latch=latch)
    assert {(alarm.kind, alarm.subject, alarm.method) for alarm in alarms} == {
        ("concept_drift", "m", "observed_to_expected")
    }
    assert 1 <= len(alarms) <= 2
    assert 150 < day_of(alarms[0]) <= 150 + 28
    assert alarms[0].detail.startswith("Accounts with mrr_cents below 1")
    assert "times as often as expected in the" in alarms[0].detail
    assert "(before: 1.0 times)" in alarms[0].detail
    assert alarms[0].statistic is not None
    assert alarms[0].threshold is not None
    assert alarms[0].statistic > alarms[0].threshold
    assert latch.holds("concept_drift")


def test_years_without_change_raise_no_alarm() -> None:
    assert watch(ConceptDrift(), blocks(range(1100), seed=2, rows=60)) == []


def test_what_leaves_less_often_is_no_alarm() -> None:
    fewer = ((day, block, risk * 2) for day, block, risk in blocks(range(150, 220)))
    assert watch(ConceptDrift(), blocks(range(150)), fewer) == []


def test_a_model_that_overrated_everybody_and_comes_right_is_no_change() -> None:
    overrated = ((day, block, np.full(len(block), 0.6)) for day, block, _ in blocks(range(150)))
    assert watch(ConceptDrift(), overrated, blocks(range(150, 250))) == []


def test_more_of_everybody_is_said_of_all_accounts() -> None:
    def more(days: range) -> Iterator[tuple[int, ExampleBlock, Floats]]:
        for day, block, risk in blocks(days):
            block.churned |= np.random.default_rng(day).random(len(block)) < 0.03
            yield day, block, risk

    alarms = watch(ConceptDrift(), blocks(range(150)), more(range(150, 220)))
    assert alarms
    (said,) = re.findall(r"all accounts ([0-9.]+) times|Accounts cancelled ([0-9.]+) times", alarms[0].detail)
    assert 1.3 <= float("".join(said)) <= 2.2


def test_it_clears_once_the_reference_has_seen_it_and_finds_the_next_change() -> None:
    detector, latch = ConceptDrift(), AlarmLatch()
    watch(detector, blocks(range(150)), blocks(range(150, 200), factor=3.0), latch=latch)
    assert latch.holds("concept_drift")
    assert watch(detector, blocks(range(200, 600), factor=3.0), latch=latch) == []
    assert not latch.holds("concept_drift")
    assert watch(detector, blocks(range(600, 700), factor=0.2), latch=latch) != []


def test_another_model_starts_afresh() -> None:
    detector, latch = ConceptDrift(), AlarmLatch()
    watch(detector, blocks(range(150)), blocks(range(150, 200), factor=3.0), latch=latch)
    alarms = [
        alarm
        for day, block, risk in blocks(range(200, 270), factor=0.2)
        for alarm in detector.on_tick(START + day, "other", block, risk, latch)
    ]
    assert alarms == []
    assert not latch.holds("concept_drift")
    assert len(detector.state()["weeks"]) == 10


def test_what_the_model_said_nothing_of_and_seasons_do_not_count() -> None:
    silent = [(day, block, np.full(len(block), np.nan)) for day, block, _ in blocks(range(20))]
    detector = ConceptDrift()
    assert watch(detector, iter(silent)) == []
    assert not any(len(week[0]) for week in detector.state()["weeks"])
    declared = ConceptDrift(seasons=Seasons([("01-01", "12-31")]))
    watch(declared, blocks(range(20)))
    assert not any(len(week[0]) for week in declared.state()["weeks"])


def test_the_state_is_bounded() -> None:
    detector = ConceptDrift()
    watch(detector, blocks(range(500), rows=5))
    assert len(detector.state()["weeks"]) == CURRENT_WEEKS[-1] + REFERENCE_WEEKS_MAX


def test_a_short_reference_and_few_churners_give_no_alarm() -> None:
    weeks = REFERENCE_WEEKS_MIN + CURRENT_WEEKS[0]
    changed = blocks(range(7 * (weeks - 4), 7 * (weeks - 1)), factor=3.0)
    assert watch(ConceptDrift(), blocks(range(7 * (weeks - 4))), changed) == []
    few = blocks(range(150, 171), factor=3.3, rows=CHURNED_MIN // 2)
    assert watch(ConceptDrift(), blocks(range(150)), few) == []


def test_what_time_itself_moves_is_no_change_of_the_world() -> None:
    def swapped(days: range, factor: float = 1.0) -> Iterator[tuple[int, ExampleBlock, Floats]]:
        for day, block, risk in blocks(days, factor=factor):
            block.features[:, [MRR, INDEX["days_to_renewal"]]] = block.features[:, [INDEX["days_to_renewal"], MRR]]
            yield day, block, risk

    assert watch(ConceptDrift(), swapped(range(150)), swapped(range(150, 200), factor=3.0)) == []


def test_labels_that_overlap_count_for_as_many_fewer() -> None:
    weekly, daily = ConceptDrift(stride_days=7), ConceptDrift(stride_days=1)
    for detector in (weekly, daily):
        watch(detector, blocks(range(150)), blocks(range(150, 169), factor=3.0))
    found, overlapping = weekly._compare(3), daily._compare(3)
    assert found is not None
    assert overlapping is not None
    assert found.z > 3
    assert found.z == pytest.approx(overlapping.z * 7**0.5)


def test_the_test_by_hand() -> None:
    # 12 of 20 churners where 5 of 20 were expected: 2 (12 ln(12/5) + 8 ln(8/15)).
    assert signed_root(12, 10, 8, 30) == pytest.approx((2 * (12 * np.log(12 / 5) + 8 * np.log(8 / 15))) ** 0.5)
    assert signed_root(0, 10, 8, 30) == pytest.approx(-((2 * 8 * np.log(4 / 3)) ** 0.5))
    assert signed_root(8, 30, 12, 10) == pytest.approx(-signed_root(12, 10, 8, 30))


def test_a_restored_detector_goes_on_alike() -> None:
    before, after = range(150), range(150, 200)
    whole = watch(ConceptDrift(), blocks(before), blocks(after, factor=3.0))
    detector, latch = ConceptDrift(), AlarmLatch()
    watch(detector, blocks(range(150)), blocks(range(150, 159), factor=3.0), latch=latch)
    again, again_latch = ConceptDrift(), AlarmLatch()
    again.restore(unpack("learn", pack("learn", detector.state())))
    again_latch.restore(latch.state())
    rest = watch(again, blocks(range(159, 200), factor=3.0), latch=again_latch)
    assert rest == [alarm for alarm in whole if day_of(alarm) >= 159] != []
    watch(detector, blocks(range(159, 200), factor=3.0), latch=latch)
    assert pack("learn", again.state()) == pack("learn", detector.state())
