"""Rows and records of scores: the two say the same, and what a loop over the accounts would say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from c360_stream.connectors.clickhouse.tables import TABLES, arrow_table
from c360_stream.contracts.records import DeadLetter, RiskScore, Trigger
from c360_stream.contracts.validation import model_of
from c360_stream.features.definitions import FEATURES
from c360_stream.models.additive import AdditiveVersion
from c360_stream.models.horizons import HorizonLearner
from c360_stream.operators.rows import Clock, TableRows, TopicRecords, dead_letter_outputs, score_outputs
from c360_stream.operators.sink import BLOCK_BYTES_MAX, Blocks
from c360_stream.scoring.reasons import MODEL
from c360_stream.scoring.scored import ScoredRows
from c360_stream.scoring.tiers import HIGH
from c360_stream.settings import Settings
from tests.unit.learning.rows import DAY_US, feature_rows
from tests.unit.scoring.plain_reasons import plain_moves, plain_reasons

DAY = 20_000
SETTINGS = Settings.model_construct()


def scored(n: int, trigger: Trigger, *, curve: bool = True) -> ScoredRows:
    """Scores of n accounts, some of which had none before; contributions and moves have ties, weak ones and zeros."""
    rng = np.random.default_rng(n)
    new = rng.random(n) < 0.3
    contributions, moved = (np.round(rng.normal(0, 0.06, (n, len(FEATURES))), 2) for _ in range(2))
    moved[new], before = np.nan, feature_rows(n, seed=2)
    before[new] = np.nan
    horizons = HorizonLearner(60, (30, 60, 90), 0.08).curve() if curve else None
    days = horizons.days if horizons else ()
    unknown = np.full(n, np.nan)
    return ScoredRows(
        trigger=trigger,
        ids=[f'acct "{number}"' for number in range(n)],
        as_of_us=DAY * DAY_US + (rng.integers(0, DAY_US, n) if trigger == "event" else np.zeros(n, np.int64)),
        features=feature_rows(n, seed=1),
        risk=rng.random(n),
        previous_risk=np.where(new, np.nan, rng.random(n)),
        tier=rng.integers(0, 4, n).astype(np.int8),
        previous_tier=np.where(new, -1, rng.integers(0, 4, n)).astype(np.int8),
        contributions=contributions,
        before=before,
        delta=moved,
        model_delta=np.where(new, np.nan, np.round(rng.normal(0, 0.06, n), 2)),
        curve_days=days,
        curve=rng.random((n, len(days))),
        expected_months=rng.random(n) * 60 if curve else unknown,
        lifetime_value_cents=rng.random(n) * 1e6 if curve else unknown,
        segment=rng.integers(0, 7, n).astype(np.int8),
        version=AdditiveVersion("m", DAY, -2.0, {}, curve=horizons),
    )


def outputs(scores: ScoredRows) -> tuple[TableRows, TopicRecords]:
    rows, records = score_outputs(SETTINGS, Clock(live=False), 3, scores)
    assert isinstance(rows, TableRows)
    assert isinstance(records, TopicRecords)
    return rows, records


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table in the form of the record: names of fields and times apart, they are the same."""
    times = {name: value for name, value in row.items() if isinstance(value, datetime)}
    shown = {name: time.isoformat(timespec="milliseconds").replace("+00:00", "Z") for name, time in times.items()}
    return {**row, **shown}


@pytest.mark.parametrize("trigger", ["tick", "event"])
@pytest.mark.parametrize("curve", [True, False])
def test_a_row_of_the_table_says_what_its_record_says(trigger: Trigger, curve: bool) -> None:
    rows, records = outputs(scored(200, trigger, curve=curve))
    table = arrow_table("risk_scores", rows.columns)
    assert table.schema == TABLES["risk_scores"]
    assert rows.exact is records.exact is (trigger == "tick")
    for row, record in zip(table.to_pylist(), records.records, strict=True):
        assert record.value is not None
        told = msgspec.json.decode(record.value)
        assert as_json(row) == told
        assert list(told) == list(RiskScore.__struct_fields__)
        assert model_of(RiskScore).model_validate_json(record.value).model_dump()["account_id"] == record.key


def test_reasons_mitigations_and_moves_are_those_of_a_loop_over_topics() -> None:
    scores = scored(300, "tick")
    _, records = outputs(scores)
    seen = {"reasons": 0, "mitigations": 0, "moved": 0, MODEL: 0}
    for i, record in enumerate(records.records):
        assert record.value is not None
        told = msgspec.json.decode(record.value)
        parts, value, before = scores.contributions[i].tolist(), values(scores.features[i]), values(scores.before[i])
        found = dict(zip(("reasons", "mitigations"), plain_reasons(value, parts, scores.tier[i] >= HIGH), strict=True))
        changes = np.nan_to_num(scores.delta[i]).tolist()
        moved = plain_moves(before, value, changes, float(np.nan_to_num(scores.model_delta[i])))
        wanted = {name: [each._asdict() for each in some] for name, some in (found | {"moved": moved}).items()}
        assert {name: told[name] for name in wanted} == wanted
        for name in wanted:
            seen[name] += len(told[name])
        seen[MODEL] += any(each["feature"] == MODEL for each in told["reasons"])
    assert min(seen.values()) > 0, seen


def values(row: Any) -> list[float | None]:
    return [None if np.isnan(each) else float(each) for each in row]


def test_shards_join_to_one_block_whose_lists_stay_with_their_rows() -> None:
    parts = [outputs(scored(n, "tick"))[0] for n in (3, 1, 40)]
    blocks = Blocks()
    for part in parts:
        assert blocks.add(part) is None
    [(table, block)] = blocks.take()
    assert block.to_pylist() == [row for part in parts for row in arrow_table(table, part.columns).to_pylist()]


def dead_letter(value: bytes, headers: Sequence[tuple[str, bytes | None]] = ()) -> DeadLetter:
    return DeadLetter(
        topic="t",
        partition=0,
        offset=1,
        stage="decode",
        exception_class="Refused",
        exception_message="no",
        key=None,
        value=value,
        headers=[*headers],
        refused_us=0,
    )


def test_a_block_ends_where_its_text_is_long() -> None:
    def letters(value: bytes) -> TableRows:
        letter = dead_letter(value)
        rows, _ = dead_letter_outputs(SETTINGS, [letter])
        assert isinstance(rows, TableRows)
        return rows

    blocks = Blocks()
    half = b"x" * (BLOCK_BYTES_MAX // 2)
    assert blocks.add(letters(half[:-1])) is None
    assert blocks.add(letters(b"x")) is None
    block = blocks.add(letters(half))
    assert block is not None
    assert block[1].num_rows == 3
    assert blocks.take() == []


@pytest.mark.parametrize("first", [0, 1])
def test_letters_with_headers_and_without_join_to_one_block(first: int) -> None:
    headers: list[list[tuple[str, bytes | None]]] = [[], [("trace", b"1"), ("empty", None)]]
    order = [headers[first], headers[1 - first], headers[first]]
    blocks = Blocks()
    for each in order:
        letter = dead_letter(b"x", each)
        rows, _ = dead_letter_outputs(SETTINGS, [letter, letter])
        assert isinstance(rows, TableRows)
        assert blocks.add(rows) is None
    [(_, block)] = blocks.take()
    expected = [[(name, value or b"") for name, value in each] for each in order for _ in range(2)]
    assert block["headers"].to_pylist() == expected


def test_nobody_gives_nothing() -> None:
    assert score_outputs(SETTINGS, Clock(live=False), 0, scored(0, "tick")) == []
