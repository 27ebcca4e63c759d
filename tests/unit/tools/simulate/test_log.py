"""The log a simulation writes: reproducible to the byte, canonical, keyed and ordered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from c360_stream.contracts.events import Decoder
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.tools.simulate import LogDirectorySink, SimulationSpec, account_of, simulate
from tests.unit.tools.simulate.worlds import SMALL, MemorySink, live, partition_of, world

_DIGEST = """
import hashlib, io
from c360_stream.tools.simulate import SimulationSpec, simulate
from tests.unit.tools.simulate.worlds import MemorySink
sink, truth = MemorySink(), io.StringIO()
simulate(SimulationSpec(accounts=20, days=40, seed=5), sink, truth)
print(hashlib.sha256(repr(sorted(sink.lines.items())).encode() + truth.getvalue().encode()).hexdigest())
"""


def test_same_seed_same_bytes_whatever_the_hash_seed() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _DIGEST],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[4],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


def test_another_seed_is_another_world() -> None:
    assert live(replace(SMALL, seed=12, days=5)).truth != live(replace(SMALL, days=5)).truth


def test_partitions_change_where_events_go_and_nothing_else() -> None:
    one, four = live(replace(SMALL, days=40, partitions=1)), live(replace(SMALL, days=40, partitions=4))
    assert one.truth == four.truth
    for kind in INPUT_KINDS:
        assert sorted(one.raw(kind)) == sorted(four.raw(kind))


@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_every_event_keeps_the_contract(kind: InputKind) -> None:
    decoder = Decoder(kind)
    for line in world().raw(kind):
        decoder.decode(line)


@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_ids_are_unique_partitions_are_ordered_and_hold_their_accounts(kind: InputKind) -> None:
    ids = [event["event_id"] for event in world().events(kind)]
    assert len(ids) == len(set(ids)) == world().summary.events[kind]
    for (name, partition), lines in world().sink.lines.items():
        events = [json.loads(line) for line in lines]
        if name == kind:
            times = [event["occurred_at"] for event in events]
            assert times == sorted(times)
            assert {partition_of(event["account_id"], SMALL.partitions) for event in events} == {partition}
            assert all(
                account_of(line).decode() == event["account_id"] for line, event in zip(lines, events, strict=True)
            )


def test_every_kind_of_event_happens() -> None:
    seen = Counter(event["event_type"] for kind in INPUT_KINDS for event in world().events(kind))
    expected = {
        "subscription_started", "subscription_changed", "subscription_cancelled", "invoice_paid",
        "invoice_payment_failed", "ticket_opened", "ticket_solved", "csat_submitted", "nps_submitted",
        "success_contacted", "task_created", "task_completed", "comment_added", "file_uploaded", "page_viewed",
        "invite_sent", "export_requested", "session_start", "session_end", "board_viewed", "canvas_edited",
    }  # fmt: skip
    assert expected <= set(seen)
    product = world().events("product")
    assert 0 < sum("feature" in event for event in product) < len(product) / 5
    assert 0 < sum("user_id" not in event for event in product) < len(product) / 20


def test_accounts_live_between_their_subscription_and_their_cancellation() -> None:
    billing = world().events("billing")
    moves = [event for event in billing if event["event_type"] in ("subscription_started", "subscription_cancelled")]
    spans: dict[str, list[list[str]]] = {}
    for event in moves:
        mine = spans.setdefault(event["account_id"], [])
        if event["event_type"] == "subscription_started":
            assert not mine or len(mine[-1]) == 2, "started while a customer"
            mine.append([event["occurred_at"]])
        else:
            mine[-1].append(event["occurred_at"])
    assert len(spans) <= SMALL.accounts
    for kind in INPUT_KINDS:
        for event in world().events(kind):
            assert any(
                span[0] <= event["occurred_at"] <= (span[1] if len(span) == 2 else "9")
                for span in spans[event["account_id"]]
            ), event


def test_truth_has_a_line_a_midnight_while_active() -> None:
    expected = set()
    started: dict[str, date] = {}
    for event in world().events("billing"):
        day = date.fromisoformat(event["occurred_at"][:10])
        if event["event_type"] == "subscription_started":
            started[event["account_id"]] = day + timedelta(days=1)
        elif event["event_type"] == "subscription_cancelled":
            first = started.pop(event["account_id"])
            expected |= {(event["account_id"], first + timedelta(days=n)) for n in range((day - first).days + 1)}
    end = SMALL.start + timedelta(days=SMALL.days)
    for account, first in started.items():
        expected |= {(account, first + timedelta(days=n)) for n in range((end - first).days)}
    rows = world().truth_rows()
    assert {(row["account_id"], date.fromisoformat(row["as_of"][:10])) for row in rows} == expected
    assert len(rows) == len(expected) == world().summary.account_days
    assert all(row["as_of"].endswith("T00:00:00Z") for row in rows)
    assert all(0 < row["hazard_1d"] <= 1 and 0 < row["risk_60d"] <= 1 for row in rows)


def test_log_directory_holds_what_was_written(tmp_path: Path) -> None:
    spec = replace(SMALL, days=20)
    done: list[tuple[int, int]] = []
    summary = simulate(
        spec,
        LogDirectorySink(tmp_path, spec.topic_prefix, spec.partitions),
        tmp_path / "truth.jsonl",
        lambda day, events: done.append((day, events)),
    )
    expected = live(spec)
    for kind in INPUT_KINDS:
        files = sorted((tmp_path / f"c360.{kind}.events.v1").iterdir())
        assert [file.name for file in files] == ["0.jsonl", "1.jsonl", "2.jsonl", "3.jsonl"]
        assert b"".join(file.read_bytes() for file in files).splitlines() == expected.raw(kind)
    assert (tmp_path / "truth.jsonl").read_text() == expected.truth
    assert summary == expected.summary
    assert [day for day, _ in done] == list(range(1, 21))
    assert done[-1][1] == sum(summary.events.values())
    with pytest.raises(ConfigurationError, match="already holds events"):
        LogDirectorySink(tmp_path, spec.topic_prefix, spec.partitions)


def test_events_leave_day_by_day_and_in_bounded_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c360_stream.tools.simulate.events.LINES_MAX", 100)
    spec = replace(SMALL, days=20)
    sink = MemorySink()
    handed_over: list[int] = []
    simulate(spec, sink, Path(os.devnull), lambda day, events: handed_over.append(sum(sink.writes) - events))
    assert handed_over == [0] * spec.days
    assert max(sink.writes) == 100
    assert sorted(line for lines in sink.lines.values() for line in lines) == sorted(
        line for kind in INPUT_KINDS for line in live(spec).raw(kind)
    )
    assert sink.closed


def test_truth_that_cannot_be_written_is_a_readable_error(tmp_path: Path) -> None:
    sink = MemorySink()
    with pytest.raises(TransportError, match="truth"):
        simulate(replace(SMALL, days=1), sink, tmp_path / "missing" / "truth.jsonl")
    assert sink.closed


@pytest.mark.parametrize(
    "wrong",
    [{"accounts": 0}, {"days": 0}, {"seed": -1}, {"scenario": "doom"}, {"partitions": 0}, {"start": date(2099, 12, 1)}],
)
def test_wrong_specifications_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        SimulationSpec(**{"accounts": 10, "days": 100, "seed": 1, **wrong})  # type: ignore[arg-type]
