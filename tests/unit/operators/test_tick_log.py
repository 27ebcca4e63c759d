"""One line of the log a tick: what shards and processes said of it, added up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from c360_stream import metrics
from c360_stream.logs.events import LOG, TICK_SCORED, Happening
from c360_stream.monitoring.tick_stats import TickStats
from c360_stream.operators.tick_log import TickLog, TickTotals, Totals

DAY = 20_000
AS_OF = "2024-10-04T00:00:00.000Z"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, LOG.name):
        yield caplog


def closed(tick_log: TickLog, log: pytest.LogCaptureFixture, day: int = DAY) -> dict[str, Any]:
    """Fields of the line of a tick with 40 accounts."""
    stats = SimpleNamespace(tick=day, rows=40, model_name="m", model_version="v", account_ids=["a", "b"])
    tick_log.closed(cast(TickStats, stats), alarms=1)
    (record,) = log.records
    log.clear()
    assert isinstance(record.msg, Happening)
    assert record.msg.event is TICK_SCORED
    return dict(record.msg.fields)


def test_it_adds_up_shards_and_processes(log: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    tick_log = TickLog(2, lambda: now[0])
    tick_log.part(DAY, (10, 5, 0, 1), ("one", Totals(read=100, late=3)))
    now[0] = 1.5
    tick_log.part(DAY, (20, 4, 0, 0), ("two", Totals(read=50, duplicates=2, sink_rows=9)))
    found = closed(tick_log, log)
    assert found["as_of"] == AS_OF
    assert found["tiers"] == {"low": 30, "medium": 9, "high": 0, "critical": 1}
    assert (found["accounts"], found["outcomes"], found["alarms"], found["seconds"]) == (40, 2, 1, 1.5)
    counts = ("read", "refused", "late", "duplicates", "event_scores", "sink_rows")
    assert [found[name] for name in counts] == [150, 0, 3, 2, 0, 9]
    assert metrics.REGISTRY.get_sample_value("c360_tick_timestamp_seconds") == DAY * 86_400


def test_counts_are_since_the_line_before(log: pytest.LogCaptureFixture) -> None:
    tick_log = TickLog(1)
    for day, read, expected in ((DAY, 100, 100), (DAY + 1, 130, 30), (DAY + 2, 130, 0)):
        tick_log.part(day, (1, 0, 0, 0), ("one", Totals(read=read)))
        assert closed(tick_log, log, day)["read"] == expected


def test_parts_outlive_a_restart(log: pytest.LogCaptureFixture) -> None:
    before, after = TickLog(2), TickLog(2)
    before.part(DAY, (10, 5, 0, 1), None)
    after.restore(before.state())
    after.part(DAY, (20, 4, 0, 0), None)
    assert closed(after, log)["tiers"] == {"low": 30, "medium": 9, "high": 0, "critical": 1}
    assert after.state() == {"tiers": {}}


def test_a_part_that_is_missing_is_not_guessed(log: pytest.LogCaptureFixture) -> None:
    tick_log = TickLog(2)
    tick_log.part(DAY, (20, 4, 0, 0), None)
    assert closed(tick_log, log)["tiers"] is None


def test_a_process_is_counted_once_a_tick() -> None:
    totals = iter([Totals(read=1), Totals(read=2)])
    asked = TickTotals("one", lambda: next(totals))
    assert asked.at(DAY) == ("one", Totals(read=1))
    assert asked.at(DAY) is None
    assert asked.at(DAY + 1) == ("one", Totals(read=2))
    assert asked.at(DAY) is None
