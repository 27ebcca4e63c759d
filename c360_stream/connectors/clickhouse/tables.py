"""The columns of the tables of `schemas/clickhouse`, and rows of them in Arrow form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from c360_stream.features.definitions import FEATURES

Column = Sequence[Any] | np.ndarray[Any, Any]

_TEXT = pa.string()
_BYTES = pa.binary()
_REAL = pa.float64()
_TIME = pa.timestamp("ms", tz="UTC")
_REASON = pa.struct([("feature", _TEXT), ("value", _REAL), ("contribution", _REAL), ("text", _TEXT)])
_MOVE = pa.struct([("feature", _TEXT), ("before", _REAL), ("value", _REAL), ("contribution", _REAL), ("text", _TEXT)])
_POINT = pa.struct([("horizon_days", pa.uint16()), ("risk", _REAL)])


def _schema(required: dict[pa.DataType, str], nullable: dict[pa.DataType, str] | None = None) -> pa.Schema:
    """Columns by type; their order does not matter, since they are inserted by name."""
    return pa.schema(
        pa.field(name, kind, nullable=is_nullable)
        for is_nullable, columns in ((False, required), (True, nullable or {}))
        for kind, names in columns.items()
        for name in names.split()
    )


TABLES: dict[str, pa.Schema] = {
    "risk_scores": _schema(
        {
            _TEXT: "score_id account_id tier trigger model_name model_version",
            _TIME: "as_of produced_at",
            _REAL: "risk",
            pa.uint16(): "horizon_days feature_version",
            pa.list_(_REASON): "reasons mitigations",
            pa.list_(_MOVE): "moved",
            pa.list_(_POINT): "risk_curve",
        },
        {
            _TEXT: "previous_tier segment",
            _REAL: "risk_change expected_months",
            pa.int64(): "mrr_cents mrr_at_risk_cents lifetime_value_cents",
        },
    ),
    "account_features": _schema({_TEXT: "account_id", _TIME: "as_of"}, {_REAL: " ".join(FEATURES)}),
    "outcomes": _schema({_TEXT: "account_id", _TIME: "as_of known_at", pa.bool_(): "churned"}, {_REAL: "risk"}),
    "departures": _schema({_TEXT: "account_id", _TIME: "gone_at"}),
    "drift_alarms": _schema(
        {_TEXT: "alarm_id kind subject method severity action detail", _TIME: "raised_at as_of"},
        {_REAL: "statistic threshold"},
    ),
    "model_metrics": _schema(
        {_TEXT: "model_name model_version segment metric", _TIME: "as_of", pa.uint64(): "examples"},
        {_REAL: "value"},
    ),
    "interventions": _schema(
        {
            _TEXT: "playbook tier",
            _TIME: "as_of",
            pa.bool_(): "contacted",
            pa.uint64(): "accounts churned",
            pa.int64(): "mrr_cents mrr_churned_cents",
            _REAL: "mean_risk churn_rate churn_rate_low churn_rate_high",
        }
    ),
    "model_versions": _schema(
        {_TEXT: "model_name model_version parameters", _TIME: "as_of", pa.uint16(): "feature_version"}
    ),
    "heartbeats": _schema({_TEXT: "topic", _TIME: "sent_at produced_at", pa.int32(): "partition"}),
    "dead_letters": _schema(
        {
            _TEXT: "topic stage exception_class exception_message",
            _TIME: "refused_at",
            pa.int32(): "partition",
            pa.int64(): "offset",
            pa.map_(_TEXT, _BYTES): "headers",
        },
        {_BYTES: "key value"},
    ),
}

FILLED_BY_DATABASE = {"dead_letters": frozenset({"stored_at"})}
"""Columns that are no part of an insert: what is written twice is the same row, whenever that was."""


def arrow_table(table: str, columns: Mapping[str, Column]) -> pa.Table:
    """Columns as `TableStore.insert` takes them, in Arrow form; raises as it does."""
    schema = TABLES.get(table)
    if schema is None:
        raise ValueError(f"no table {table!r}: there are {', '.join(TABLES)}")
    if odd := set(columns) ^ set(schema.names):
        raise ValueError(f"{table}: columns missing or unknown: {', '.join(sorted(odd))}")
    return pa.Table.from_arrays([_array(columns[field.name], field) for field in schema], schema=schema)


def nested(table: str, column: str, offsets: np.ndarray[Any, Any], *fields: Column) -> pa.Array:
    """A column of lists of structs, which `TableStore.insert` takes too; made of tuples it costs four times as much.

    Parameters
    ----------
    offsets
        int32, shape (n + 1,): the list of row i has the structs from `offsets[i]` up to `offsets[i + 1]`.
    fields
        The structs, a column a field.
    """
    lists = TABLES[table].field(column).type
    kinds = list(lists.value_type)
    arrays = [pa.array(values, kind.type, from_pandas=True) for kind, values in zip(kinds, fields, strict=True)]
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(arrays, fields=kinds), type=lists)


def letter_headers(headers: Sequence[Sequence[tuple[str, bytes | None]]]) -> pa.Array:
    """The headers of dead letters, which `TableStore.insert` takes too; few letters of a flood have any."""
    if any(headers):
        pairs = [[(name, value or b"") for name, value in each] for each in headers]
        return pa.array(pairs, TABLES["dead_letters"].field("headers").type)
    nothing = pa.array([], _TEXT), pa.array([], _BYTES)
    return pa.MapArray.from_arrays(pa.array(np.zeros(len(headers) + 1, np.int32)), *nothing)


def _array(values: Column, field: pa.Field) -> pa.Array:
    if field.type == _TIME:
        return pa.array(np.asarray(values, np.int64) // 1000).view(_TIME)
    array = values if isinstance(values, pa.Array) else pa.array(values, field.type, from_pandas=True)
    if array.null_count and not field.nullable:
        # ClickHouse would store the type's default, an empty name or a risk of 0, and say nothing.
        raise ValueError(f"column {field.name} must not be null or NaN")
    return array
