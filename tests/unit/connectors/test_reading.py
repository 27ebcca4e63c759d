"""Reading that waits for the next records."""

from __future__ import annotations

import time

import pytest

from c360_stream.connectors.reading import read_within
from tests.unit.operators.readers import MemoryReader

TOPIC = "t"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass only while somebody sleeps."""
    naps: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: sum(naps))
    monkeypatch.setattr(time, "sleep", naps.append)
    return naps


def test_records_that_are_there_are_not_waited_for(slept: list[float]) -> None:
    assert read_within(MemoryReader(TOPIC, [b"1", b"2", b"3"]), 2, 5.0).values == [b"1", b"2"]
    assert not slept


def test_records_that_come_in_time_are_waited_for(slept: list[float]) -> None:
    assert read_within(MemoryReader(TOPIC, [b"1"], pauses=[0]), 2, 5.0).values == [b"1"]
    assert len(slept) == 1


def test_the_end_is_not_waited_for(slept: list[float]) -> None:
    reader = MemoryReader(TOPIC)
    assert not read_within(reader, 2, 5.0).values
    assert reader.at_end
    assert not slept


@pytest.mark.parametrize("seconds_max", [0.0, 5.0])
def test_nobody_waits_longer_than_asked_for(slept: list[float], seconds_max: float) -> None:
    reader = MemoryReader(TOPIC)
    reader.told_end_after(1_000_000)
    assert not read_within(reader, 2, seconds_max).values
    assert not reader.at_end
    assert sum(slept) == pytest.approx(seconds_max, abs=0.01)
