"""Daily exposure: 1 unless a day lost more than half of what its weekday holds."""

from __future__ import annotations

import pytest

from c360_stream.features.volume import VolumeBaseline

WEEKDAYS = [5000, 5200, 5100, 4900, 4800, 900, 700]


def weeks(baseline: VolumeBaseline, first: int, days: int, share: float = 1.0) -> list[float]:
    return [baseline.day_exposure(day, int(WEEKDAYS[day % 7] * share)) for day in range(first, first + days)]


def test_weekends_and_growth_are_full_days() -> None:
    baseline = VolumeBaseline()
    assert {*weeks(baseline, 0, 70), *weeks(baseline, 70, 28, 1.4), *weeks(baseline, 98, 28, 0.8)} == {1.0}


def test_an_outage_is_measured_and_does_not_become_the_norm() -> None:
    baseline = VolumeBaseline()
    weeks(baseline, 0, 28)
    assert baseline.day_exposure(28, 1000) == pytest.approx(0.2)
    assert baseline.day_exposure(29, 0) == 0.0
    assert weeks(baseline, 30, 60) == [1.0] * 60


def test_a_lasting_change_becomes_the_norm() -> None:
    baseline = VolumeBaseline()
    weeks(baseline, 0, 28)
    assert max(weeks(baseline, 28, 14, 0.3)) == pytest.approx(0.3, abs=0.01)
    assert set(weeks(baseline, 56, 14, 0.3)) == {1.0}


def test_no_claims_from_little_history_or_few_events() -> None:
    baseline = VolumeBaseline()
    assert [baseline.day_exposure(day, 1000) for day in range(13)] == [1.0] * 13
    assert baseline.day_exposure(13, 0) == 1.0
    small = VolumeBaseline()
    assert {small.day_exposure(day, 20 * (day < 30)) for day in range(40)} == {1.0}


def test_a_restored_baseline_goes_on_alike() -> None:
    baseline = VolumeBaseline()
    weeks(baseline, 0, 40)
    again = VolumeBaseline()
    again.restore(baseline.state())
    assert len(baseline.state()["days"]) == 28
    assert weeks(again, 40, 7, 0.4) == weeks(baseline, 40, 7, 0.4)
