"""Snapshots and refused records in the log: a line now and then."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from c360_stream.logs.events import LOG, Happening
from c360_stream.logs.summaries import REASONS_MAX, DeadLetterSummary, SnapshotSummary


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, LOG.name):
        yield caplog


def said(log: pytest.LogCaptureFixture, *names: str) -> list[tuple[object, ...]]:
    found = [(record.levelname, record.msg) for record in log.records if isinstance(record.msg, Happening)]
    log.clear()
    return [(level, *(happening.fields[name] for name in names)) for level, happening in found]


def of_decoding(reasons: dict[str, int]) -> Counter[tuple[str, str]]:
    return Counter({("decode", reason): number for reason, number in reasons.items()})


def test_a_snapshot_is_a_line_and_one_a_minute_at_info(log: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    summary = SnapshotSummary(lambda: now[0])
    for _ in range(7):
        for size in (100, 200):
            summary.kept(size, 0.25)
            summary.log_if_due()
            now[0] += 0.1
        now[0] += 9.8
        summary.log_if_due()
        summary.log_if_due()
    found = said(log, "keys", "bytes", "seconds", "snapshots")
    assert found == [("INFO" if i in (0, 6) else "DEBUG", 2, 300, 0.5, i + 1) for i in range(7)]


def test_one_that_nobody_looked_at_is_told_with_the_next(log: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    summary = SnapshotSummary(lambda: now[0])
    summary.kept(1, 0.0)
    now[0] += 10
    summary.kept(2, 0.0)
    assert said(log, "bytes") == [("INFO", 1)]
    summary.log()
    summary.log()
    assert said(log, "bytes") == [("DEBUG", 2)]


def test_keys_that_take_their_time_are_of_one_snapshot(log: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    summary = SnapshotSummary(lambda: now[0])
    for _ in range(3):
        now[0] += 5
        summary.kept(1, 5.0)
    summary.log()
    assert said(log, "keys", "seconds") == [("INFO", 3, 15.0)]


def test_where_a_record_breaks_off_is_no_rule_of_its_own(log: pytest.LogCaptureFixture) -> None:
    summary = DeadLetterSummary(lambda: 0.0)
    summary.count("billing", of_decoding({"JSON is malformed (byte 7)": 2, "JSON is malformed (byte 8)": 1}))
    summary.log()
    assert said(log, "reasons") == [("WARNING", {"JSON is malformed": 3})]


def test_refused_records_are_counted_by_rule_and_told_at_most_once_a_minute(log: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    summary = DeadLetterSummary(lambda: now[0])
    summary.log_if_due()
    for _ in range(60):
        summary.count("billing", of_decoding({"mrr_cents: missing": 2}))
        summary.count("product", of_decoding({"too long": 1}))
        summary.log_if_due()
        now[0] += 1
    assert said(log, "topic", "records") == [("WARNING", "billing", 2), ("WARNING", "product", 1)]
    summary.log_if_due()
    assert said(log, "topic", "reasons") == [
        ("WARNING", "billing", {"mrr_cents: missing": 118}),
        ("WARNING", "product", {"too long": 59}),
    ]
    summary.log()
    assert said(log) == []


def test_many_reasons_are_cut(log: pytest.LogCaptureFixture) -> None:
    summary = DeadLetterSummary()
    summary.count("billing", of_decoding({f"rule {i}": 100 - i for i in range(REASONS_MAX + 3)}))
    summary.log()
    ((_, reasons, records),) = said(log, "reasons", "records")
    assert isinstance(reasons, dict)
    assert len(reasons) == REASONS_MAX + 1
    assert reasons["other reasons"] == 90 + 89 + 88
    assert sum(reasons.values()) == records
