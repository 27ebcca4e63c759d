"""What every table store keeps: each logical row once, unchanged, whatever was repeated."""

from __future__ import annotations

import math
import re
import time
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import fields

from c360_stream.connectors.clickhouse.migrations import load_migrations
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.clickhouse.tables import FILLED_BY_DATABASE, TABLES, Column, arrow_table
from c360_stream.contracts.records import HorizonRisk, Move, Reason
from c360_stream.errors import TransportError
from c360_stream.features.definitions import FEATURES
from tests.contracts.rows import DAY_US, T0_US, columns, time_of

in_one_database = settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def rows_of(store: TableStore, table: str) -> list[dict[str, Any]]:
    """A table's logical rows, as far as they are what was inserted."""
    return store.query(f"SELECT {', '.join(TABLES[table].names)} FROM {table} FINAL ORDER BY ALL")


COLUMN_TYPES = {
    "timestamp[ms, tz=UTC]": "DateTime64(3, 'UTC')",
    "string": "String",
    "binary": "String",
    "double": "Float64",
    "bool": "Bool",
    "int32": "Int32",
    "int64": "Int64",
    "uint16": "UInt16",
    "uint64": "UInt64",
    "map<string, binary>": "Map(String, String)",
}
LISTED: dict[tuple[str, str], type[Struct]] = {
    ("risk_scores", "reasons"): Reason,
    ("risk_scores", "moved"): Move,
    ("risk_scores", "risk_curve"): HorizonRisk,
    ("risk_scores", "mitigations"): Reason,
}


def column_type(table: str, field: pa.Field) -> str:
    """What a declared column is in the database, `LowCardinality` apart."""
    if (listed := LISTED.get((table, field.name))) is not None:
        # Arrow says of no field in a list whether it may be null; the declaration does.
        nullable = {each.encode_name: "None" in str(each.type) for each in fields(listed)}
        parts = [f"{part.name} {named(part.type, nullable[part.name])}" for part in field.type.value_type]
        return f"Array(Tuple({', '.join(parts)}))"
    return named(field.type, field.nullable)


def named(kind: pa.DataType, nullable: bool) -> str:
    name = COLUMN_TYPES[str(kind)]
    return f"Nullable({name})" if nullable else name


def test_declared_columns_are_those_of_the_migrated_tables_in_their_order(store: TableStore) -> None:
    described: dict[str, list[tuple[str, str]]] = {table: [] for table in TABLES}
    for row in store.query("SELECT table, name, type FROM system.columns WHERE database = 'c360' ORDER BY position"):
        kind = re.sub(r"^LowCardinality\((.*)\)$", r"\1", row["type"])
        if row["name"] not in FILLED_BY_DATABASE.get(row["table"], frozenset()):
            described.setdefault(row["table"], []).append((row["name"], kind))
    for table, schema in TABLES.items():
        assert [(field.name, column_type(table, field)) for field in schema] == described[table], (
            f"{table}: what is declared in c360_stream/contracts needs a migration in schemas/clickhouse"
        )


def test_account_features_has_the_defined_features_in_order(store: TableStore) -> None:
    names = [row["name"] for row in store.query("DESCRIBE TABLE account_features")]
    assert names == ["account_id", "as_of", *FEATURES]


finite_or_nan = st.floats(allow_infinity=False)
reason = st.tuples(st.text(), st.none() | finite_or_nan, st.floats(allow_nan=False), st.text())
move = st.tuples(st.text(), st.none() | finite_or_nan, st.none() | finite_or_nan, st.floats(allow_nan=False), st.text())
score = st.fixed_dictionaries(
    {
        "score_id": st.text(),
        "as_of": st.integers(T0_US - 10**13, T0_US + 10**13),
        "risk": st.floats(0, 1),
        "reasons": st.lists(reason, max_size=4),
        "mitigations": st.lists(reason, max_size=4),
        "moved": st.lists(move, max_size=4),
        "risk_curve": st.lists(st.tuples(st.integers(0, 2**16 - 1), st.floats(0, 1)), max_size=4),
        "previous_tier": st.none() | st.sampled_from(["low", "critical"]),
        "risk_change": st.none() | finite_or_nan,
        "mrr_cents": st.none() | st.integers(-(2**63), 2**63 - 1),
    }
)


def null_if_nan(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


@in_one_database
@given(rows=st.lists(score, min_size=1, max_size=5))
def test_scores_come_back_as_they_went_in(store: TableStore, rows: list[dict[str, Any]]) -> None:
    store.command("TRUNCATE TABLE risk_scores")
    numbered = [row | {"account_id": f"a{number}"} for number, row in enumerate(rows)]
    assert store.insert("risk_scores", columns("risk_scores", *numbered)) == len(rows)
    stored = store.query("SELECT * FROM risk_scores FINAL ORDER BY account_id")
    assert len(stored) == len(rows)
    for row, back in zip(rows, stored, strict=True):
        assert back["as_of"] == time_of(row["as_of"])
        for kind in ("reasons", "mitigations"):
            assert [tuple(r.values()) for r in back[kind]] == [
                (feature, null_if_nan(value), contribution, text) for feature, value, contribution, text in row[kind]
            ]
        assert [tuple(m.values()) for m in back["moved"]] == [
            (feature, null_if_nan(then), null_if_nan(now), contribution, text)
            for feature, then, now, contribution, text in row["moved"]
        ]
        assert [tuple(point.values()) for point in back["risk_curve"]] == row["risk_curve"]
        assert back["risk_change"] == null_if_nan(row["risk_change"])
        assert {name: back[name] for name in ("score_id", "risk", "previous_tier", "mrr_cents")} == {
            name: row[name] for name in ("score_id", "risk", "previous_tier", "mrr_cents")
        }


def test_nan_features_are_null_and_the_rest_are_exact(store: TableStore) -> None:
    matrix = np.random.default_rng(7).normal(size=(50, len(FEATURES)))
    matrix[::3, ::2] = np.nan
    rows: dict[str, Column] = {"account_id": [f"a{row:02d}" for row in range(50)], "as_of": np.full(50, T0_US)}
    store.insert("account_features", rows | {name: matrix[:, i] for i, name in enumerate(FEATURES)})
    stored = store.query("SELECT * FROM account_features FINAL ORDER BY account_id")
    back = np.array([[row[name] for name in FEATURES] for row in stored], dtype=float)
    assert np.array_equal(back, matrix, equal_nan=True)
    assert stored[0][FEATURES[0]] is None


@in_one_database
@given(
    value=st.none() | st.binary(),
    key=st.none() | st.binary(),
    headers=st.lists(st.tuples(st.text(), st.binary()), max_size=3, unique_by=lambda header: header[0]),
)
def test_dead_letters_keep_raw_bytes(
    store: TableStore, value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    store.command("TRUNCATE TABLE dead_letters")
    store.insert("dead_letters", columns("dead_letters", {"value": value, "key": key, "headers": headers}))
    (row,) = store.query(
        "SELECT hex(value) AS value, hex(key) AS key, mapKeys(headers) AS names, "
        "arrayMap(x -> hex(x), mapValues(headers)) AS values FROM dead_letters FINAL"
    )
    for name, raw in (("value", value), ("key", key)):
        assert row[name] == (None if raw is None else raw.hex().upper())
    assert [(name, bytes.fromhex(raw)) for name, raw in zip(row["names"], row["values"], strict=True)] == headers


def test_a_header_without_a_value_is_empty(store: TableStore) -> None:
    store.insert("dead_letters", columns("dead_letters", {"headers": [("h", None)]}))
    assert store.query("SELECT headers FROM dead_letters FINAL") == [{"headers": {"h": ""}}]


def test_a_token_makes_the_second_insert_of_a_batch_nothing(store: TableStore) -> None:
    # Over two months, so that the batch lands in two partitions.
    batch = columns("outcomes", {"account_id": "a"}, {"account_id": "b", "as_of": T0_US + 40 * DAY_US})
    for _ in range(3):
        assert store.insert("outcomes", batch, token="0:17") == 2
    assert store.query("SELECT count() AS rows FROM outcomes") == [{"rows": 2}]
    store.insert("outcomes", columns("outcomes", {"account_id": "c"}), token="0:18")
    assert store.query("SELECT count() AS rows FROM outcomes") == [{"rows": 3}]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def two_months(table: str) -> dict[str, list[Any]]:
    """Three rows, two of them of one month; of today where a table forgets old ones."""
    times = [{"as_of": T0_US + day * DAY_US, "account_id": account} for day, account in ((40, "a"), (0, "b"), (1, "c"))]
    others = [{"sent_at": now_ms() * 1000, "offset": n, "alarm_id": str(n), "partition": n} for n in range(3)]
    return columns(table, *(time | other for time, other in zip(times, others, strict=True)))


def forget(store: TableStore, table: str, where: str = "1") -> None:
    """Take rows away behind the tokens' back, as a kill between the token and the rows does."""
    store.command(f"ALTER TABLE {table} DELETE WHERE {where} SETTINGS mutations_sync = 1")


def count(store: TableStore, table: str) -> int:
    return int(store.query(f"SELECT count() AS rows FROM {table}")[0]["rows"])


def insert_again(store: TableStore, table: str, batch: dict[str, list[Any]], *, repeated: bool = True) -> None:
    store.insert_rows(table, arrow_table(table, batch), "store:0:1", repeated=repeated)


@pytest.mark.parametrize("table", TABLES)
def test_a_token_without_its_rows_loses_nothing_that_is_repeated(store: TableStore, table: str) -> None:
    batch = two_months(table)
    store.insert(table, batch, token="store:0:1")
    whole = rows_of(store, table)
    forget(store, table)
    insert_again(store, table, batch, repeated=False)
    assert count(store, table) == 0, "the database drops what it believes to have"
    insert_again(store, table, batch)
    assert rows_of(store, table) == whole
    rows = count(store, table)
    insert_again(store, table, batch)
    assert count(store, table) == rows


@pytest.mark.parametrize("table", TABLES)
def test_rows_that_are_stored_are_not_inserted_again(store: TableStore, table: str) -> None:
    batch = two_months(table)
    store.insert(table, batch, token="store:0:1")
    rows = count(store, table)
    insert_again(store, table, batch)
    assert count(store, table) == rows > 0


def test_of_a_batch_the_months_that_are_missing_are_inserted_again(store: TableStore) -> None:
    store.insert("outcomes", two_months("outcomes"), token="store:0:1")
    forget(store, "outcomes", "account_id = 'a'")
    insert_again(store, "outcomes", two_months("outcomes"))
    assert [row["account_id"] for row in store.query("SELECT account_id FROM outcomes ORDER BY ALL")] == ["a", "b", "c"]


def test_a_row_that_a_newer_one_has_replaced_is_not_missing(store: TableStore) -> None:
    first = columns("outcomes", {"account_id": "a", "known_at": T0_US})
    store.insert("outcomes", first, token="store:0:1")
    store.insert("outcomes", columns("outcomes", {"account_id": "a", "known_at": T0_US + DAY_US}))
    store.command("OPTIMIZE TABLE outcomes FINAL")
    insert_again(store, "outcomes", first)
    assert count(store, "outcomes") == 1


def test_an_older_row_of_the_same_key_is_not_taken_for_the_missing_one(store: TableStore) -> None:
    newer = columns("outcomes", {"account_id": "a", "churned": True, "known_at": T0_US + DAY_US})
    store.insert("outcomes", newer, token="store:0:1")
    forget(store, "outcomes")
    store.insert("outcomes", columns("outcomes", {"account_id": "a", "known_at": T0_US}))
    insert_again(store, "outcomes", newer)
    assert store.query("SELECT churned FROM outcomes FINAL") == [{"churned": True}]


def test_an_insert_whose_answer_never_came_is_looked_for(store: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = store._client.insert_arrow
    failures = [OperationalError("the server was killed")]

    def cut_off(*args: Any, **options: Any) -> Any:
        done = insert(*args, **options)
        if failures:
            forget(store, "outcomes")
            error = failures.pop()
            error.__cause__ = ConnectionResetError()
            raise error
        return done

    monkeypatch.setattr(store._client, "insert_arrow", cut_off)
    store.insert("outcomes", two_months("outcomes"), token="store:0:1")
    assert count(store, "outcomes") == 3


def test_a_repeated_row_shows_once_under_final(store: TableStore) -> None:
    now_us = time.time_ns() // 1000
    for table in TABLES:
        row = {"sent_at": now_us} if table == "heartbeats" else {}  # old ones go
        for token in ("before the crash", "after it"):
            store.insert(table, columns(table, row), token=token)
        assert store.query(f"SELECT count() AS rows FROM {table} FINAL") == [{"rows": 1}], table


@pytest.mark.parametrize("order", [1, -1])
def test_a_corrected_outcome_replaces_whatever_the_order(store: TableStore, order: int) -> None:
    known = [{"churned": False, "known_at": T0_US}, {"churned": True, "known_at": T0_US + DAY_US}]
    for row in known[::order]:
        store.insert("outcomes", columns("outcomes", row))
    assert store.query("SELECT churned, sum(churned) OVER () AS sum FROM outcomes FINAL") == [
        {"churned": True, "sum": 1}
    ]


def test_a_batch_may_span_many_years(store: TableStore) -> None:
    months = [{"account_id": "a", "as_of": T0_US + month * 31 * DAY_US} for month in range(150)]
    assert store.insert("account_features", columns("account_features", *months)) == 150


def test_no_rows_are_no_insert(store: TableStore) -> None:
    assert store.insert("outcomes", columns("outcomes")) == 0


def test_what_does_not_fit_the_table_is_refused(store: TableStore) -> None:
    cases: list[tuple[str, dict[str, list[Any]]]] = [
        ("outcomes; DROP TABLE outcomes", {}),
        ("schema_migrations", {}),
        ("outcomes", {"churned) SELECT 1 --": [1]}),
        ("outcomes", {"risk": [0.1, 0.2]}),
        ("outcomes", {"account_id": [None]}),
        ("risk_scores", {"risk": [math.nan]}),
        ("risk_scores", {"horizon_days": [70_000]}),
    ]
    for table, change in cases:
        fitting = columns(table if table in TABLES else "outcomes", {})
        with pytest.raises(ValueError, match=r"."):
            store.insert(table, fitting | change)
    incomplete = columns("outcomes", {})
    del incomplete["churned"]
    with pytest.raises(ValueError, match="churned"):
        store.insert("outcomes", incomplete)
    for table in TABLES:
        assert store.query(f"SELECT count() AS rows FROM {table}") == [{"rows": 0}]


@in_one_database
@given(hostile=st.text() | st.just("' OR 1=1 --") | st.just("\\'; DROP TABLE outcomes"))
def test_parameters_are_values_never_sql(store: TableStore, hostile: str) -> None:
    assert store.query("SELECT {p:String} AS p", {"p": hostile}) == [{"p": hostile}]


def test_times_are_bound_and_read_aware(store: TableStore) -> None:
    store.insert("outcomes", columns("outcomes", {"as_of": T0_US + 123_456}))
    when = time_of(T0_US + 123_456)
    sql = "SELECT as_of FROM outcomes FINAL WHERE as_of = {t:DateTime64(3, 'UTC')}"
    (row,) = store.query(sql, {"t": when})
    assert row["as_of"] == when
    assert row["as_of"].utcoffset() == timedelta(0)


def test_an_unknown_table_says_how_to_make_it(store: TableStore) -> None:
    with pytest.raises(TransportError, match="c360 setup"):
        store.query("SELECT * FROM nowhere")


def test_migrating_again_does_nothing(store: TableStore) -> None:
    assert store.migrate() == []
    assert store.schema_version() == store.schema_expected() == len(load_migrations())
