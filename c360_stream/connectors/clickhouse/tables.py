"""The columns of the tables of `schemas/clickhouse`, and rows of them in Arrow form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from msgspec import Meta, Struct, inspect
from msgspec.structs import fields

from c360_stream.contracts.records import DeadLetter, DriftAlarm, Heartbeat, RiskScore, TimeUs, Version
from c360_stream.features.definitions import FEATURES

Column = Sequence[Any] | np.ndarray[Any, Any]
Count = Annotated[int, Meta(extra={"column": pa.uint64()})]

_TEXT = pa.string()
_BYTES = pa.binary()
_TIME = pa.timestamp("ms", tz="UTC")


def _columns_of(record: type[Struct]) -> pa.Schema:
    """A record's fields as the contract declares them, under the names that they are published by."""
    return _columns(**{field.encode_name: field.type for field in fields(record)})


def _columns(**types: Any) -> pa.Schema:
    """Columns by name, in the order of the table's."""
    kinds = {name: inspect.type_info(kind) for name, kind in types.items()}
    return pa.schema([pa.field(name, _arrow(kind), _may_be_null(kind)) for name, kind in kinds.items()])


def _may_be_null(kind: inspect.Type) -> bool:
    return _may_be_null(kind.type) if isinstance(kind, inspect.Metadata) else isinstance(kind, inspect.UnionType)


def _arrow(kind: inspect.Type) -> pa.DataType:
    match kind:
        case inspect.Metadata(extra={"column": column}):
            return column
        case inspect.Metadata(type=inner) | inspect.UnionType(types=(inner, inspect.NoneType())):
            return _arrow(inner)
        case inspect.ListType(item_type=inspect.StructType(fields=parts)):
            return pa.list_(pa.struct([(part.encode_name, _arrow(part.type)) for part in parts]))
        case inspect.ListType(item_type=inspect.TupleType(item_types=(key, value))):
            return pa.map_(_arrow(key), _arrow(value))
    return _PLAIN[type(kind)]


_PLAIN = {
    inspect.StrType: _TEXT,
    inspect.LiteralType: _TEXT,
    inspect.BytesType: _BYTES,
    inspect.FloatType: pa.float64(),
    inspect.IntType: pa.int64(),
    inspect.BoolType: pa.bool_(),
}

TABLES: dict[str, pa.Schema] = {
    "risk_scores": _columns_of(RiskScore),
    "account_features": _columns(account_id=str, as_of=TimeUs, **dict.fromkeys(FEATURES, float | None)),
    "outcomes": _columns(account_id=str, as_of=TimeUs, churned=bool, risk=float | None, known_at=TimeUs),
    "departures": _columns(account_id=str, gone_at=TimeUs),
    "drift_alarms": _columns_of(DriftAlarm),
    "model_metrics": _columns(
        as_of=TimeUs,
        model_name=str,
        model_version=str,
        segment=str,
        metric=str,
        value=float | None,
        examples=Count,
    ),
    "interventions": _columns(
        as_of=TimeUs,
        contacted=bool,
        playbook=str,
        tier=str,
        accounts=Count,
        churned=Count,
        mrr_cents=int,
        mrr_churned_cents=int,
        mean_risk=float,
        churn_rate=float,
        churn_rate_low=float,
        churn_rate_high=float,
    ),
    "model_versions": _columns(
        model_name=str, model_version=str, as_of=TimeUs, feature_version=Version, parameters=str
    ),
    "heartbeats": _columns_of(Heartbeat),
    "dead_letters": _columns_of(DeadLetter),
}

FILLED_BY_DATABASE = {"dead_letters": frozenset({"stored_at"})}
"""Columns that inserts leave out: the same row has the same values, whenever it is written."""


def arrow_table(table: str, columns: Mapping[str, Column]) -> pa.Table:
    """Columns as `TableStore.insert` takes them, in Arrow form; raises as it does."""
    schema = TABLES.get(table)
    if schema is None:
        raise ValueError(f"no table {table!r}: there are {', '.join(TABLES)}")
    if odd := set(columns) ^ set(schema.names):
        raise ValueError(f"{table}: columns missing or unknown: {', '.join(sorted(odd))}")
    return pa.Table.from_arrays([_array(columns[field.name], field) for field in schema], schema=schema)


def nested(table: str, column: str, offsets: np.ndarray[Any, Any], *fields: Column) -> pa.Array:
    """A column of lists of structs, for `TableStore.insert`; made of tuples it costs four times as much.

    Parameters
    ----------
    offsets
        int32, shape (n + 1,): the list of row i has the structs from `offsets[i]` up to `offsets[i + 1]`.
    fields
        The structs, one column per field.
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
        # ClickHouse would store the type's default, an empty name or a risk of 0, without an error.
        raise ValueError(f"column {field.name} must not be null or NaN")
    return array
