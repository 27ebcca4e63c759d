"""Output records: what is published is what the contract says, and ids depend on nothing but their parts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.contracts.records import (
    DeadLetter,
    DriftAlarm,
    HorizonRisk,
    Move,
    Reason,
    RiskScore,
    Segment,
    alarm_id,
    encode_dead_letters,
    encode_drift_alarm,
    encode_record,
    rfc3339_ms,
    score_id,
    utc_time,
)
from c360_stream.contracts.validation import model_of
from c360_stream.scoring.segments import SEGMENTS
from c360_stream.tools.schemas import files as contracts

ROOT = Path(__file__).parents[3]
# From 1970 to 2099, as event times are.
EVENT_US = st.integers(0, 4_102_444_800_000_000 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TIERS = st.sampled_from(["low", "medium", "high", "critical"])
CENTS = st.integers(0, 2**53)
REASONS = st.builds(Reason, feature=st.text(), value=st.none() | FINITE, contribution=FINITE, text=st.text())
MOVES = st.builds(
    Move,
    feature=st.text(),
    before=st.none() | FINITE,
    value=st.none() | FINITE,
    contribution=FINITE,
    text=st.text(),
)
SCORES = st.builds(
    RiskScore,
    score_id=st.text(),
    account_id=st.text(),
    as_of=EVENT_US.map(rfc3339_ms),
    produced_at=EVENT_US.map(rfc3339_ms),
    risk=st.floats(0, 1),
    horizon_days=st.integers(1, 365),
    tier=TIERS,
    previous_tier=st.none() | TIERS,
    risk_change=st.none() | st.floats(-1, 1),
    mrr_cents=st.none() | CENTS,
    mrr_at_risk_cents=st.none() | CENTS,
    reasons=st.lists(REASONS, max_size=3),
    model_name=st.text(),
    model_version=st.text(),
    feature_version=st.integers(1, 9),
    trigger=st.sampled_from(["tick", "event"]),
    moved=st.lists(MOVES, max_size=3),
    risk_curve=st.lists(st.builds(HorizonRisk, horizon_days=st.integers(1, 365), risk=st.floats(0, 1)), max_size=4),
    segment=st.none() | st.sampled_from(SEGMENTS),
    expected_months=st.none() | st.floats(0, 240),
    lifetime_value_cents=st.none() | CENTS,
    mitigations=st.lists(REASONS, max_size=3),
    explained_by=st.sampled_from(["contributions", "occlusion"]),
)


def test_committed_schemas_are_those_of_the_contracts() -> None:
    committed = {path.name: path.read_text("utf-8") for path in (ROOT / contracts.SCHEMA_DIRECTORY).iterdir()}
    assert committed == contracts.json_schemas(), "run: python -m c360_stream.tools.schemas.files"


def test_schemas_are_written_where_asked(tmp_path: Path) -> None:
    contracts.main(tmp_path / "new")
    written = {path.relative_to(tmp_path / "new") for path in tmp_path.rglob("*.*")}
    assert written == {
        contracts.ASYNCAPI_FILE,
        *(contracts.SCHEMA_DIRECTORY / name for name in contracts.json_schemas()),
    }


@settings(deadline=None)
@given(SCORES)
def test_published_scores_are_what_the_contract_says(score: RiskScore) -> None:
    published = encode_record(score)
    assert model_of(RiskScore).model_validate_json(published).model_dump(mode="json") == msgspec.to_builtins(score)


def test_segments_are_those_of_the_scorer() -> None:
    assert get_args(Segment) == SEGMENTS


def test_a_value_that_is_not_a_number_is_published_as_null() -> None:
    assert b'"value":null' in msgspec.json.encode(Reason("nps_score", float("nan"), 0.1, "No answer yet"))


@settings(deadline=None)
@given(EVENT_US)
def test_published_times_are_cut_to_milliseconds(us: int) -> None:
    published = datetime.fromisoformat(rfc3339_ms(us))
    assert published == utc_time(us // 1000 * 1000)
    assert rfc3339_ms(us).endswith("Z")


def test_ids_differ_with_every_part() -> None:
    scores = {score_id(account, us, trigger) for account in "ab" for us in (0, 1) for trigger in ("tick", "event")}
    alarms = {
        alarm_id(us, kind, subject, method)
        for us in (0, 1)
        for kind in ("volume", "freshness")
        for subject, method in (("a", "bc"), ("ab", "c"), ('a","b', "c"))
    }
    assert (len(scores), len(alarms)) == (8, 12)


def test_alarm_is_published_with_times_in_utc() -> None:
    time = datetime(2024, 3, 5, 14, 34, 56, 789_999, tzinfo=timezone(timedelta(hours=2)))
    alarm = DriftAlarm(
        alarm_id=alarm_id(0, "feature_drift", "nps_score", "psi"),
        raised_at=time,
        as_of=time,
        kind="feature_drift",
        subject="nps_score",
        method="psi",
        statistic=float("inf"),
        threshold=0.2,
        severity="critical",
        action="none",
        detail="NPS answers moved",
    )
    published = encode_drift_alarm(alarm)
    assert b'"raised_at":"2024-03-05T12:34:56.789Z"' in published
    assert b'"statistic":null' in published
    read = model_of(DriftAlarm).model_validate_json(published)
    assert read.model_dump()["as_of"] == time.replace(microsecond=789_000)
    assert read.model_dump_json().encode() == published


@settings(deadline=None)
@given(st.none() | st.binary(), st.none() | st.binary(), st.lists(st.tuples(st.text(), st.none() | st.binary())))
def test_dead_letter_keeps_every_byte(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    letter = DeadLetter(
        topic="c360.product.events.v1",
        partition=3,
        offset=7,
        stage="decode",
        exception_class="Refused",
        exception_message="event_id: Expected `str`, got `int`",
        key=key,
        value=value,
        headers=headers,
        refused_us=1_709_596_800_123_456,
    )
    published, again = encode_dead_letters([letter] * 2)
    read = model_of(DeadLetter).model_validate_json(published)
    assert read.model_dump_json().encode() == published == again
    kept = msgspec.structs.asdict(letter) | read.model_dump()
    assert kept == msgspec.structs.asdict(letter) | {"refused_at": utc_time(1_709_596_800_123_000)}
    assert letter.connect_headers() == (
        ("__connect.errors.topic", b"c360.product.events.v1"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"7"),
        ("__connect.errors.stage", b"decode"),
        ("__connect.errors.exception.class.name", b"Refused"),
        ("__connect.errors.exception.message", b"event_id: Expected `str`, got `int`"),
    )
