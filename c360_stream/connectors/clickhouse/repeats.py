"""Finds the rows of an insert that a database takes for repeated, and does not have.

A MergeTree table without replicas notes the token of an insert before it commits the part. Killed in between, it drops
every repetition of rows that it never stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

Query = Callable[[str, Mapping[str, Any]], list[dict[str, Any]]]

_TABLE = (
    "SELECT engine_full, sorting_key FROM system.tables WHERE database = {database:String} AND name = {table:String}"
)
_UNREPLICATED = re.compile(r"ReplacingMergeTree(?:\((\w+)\))?(?![\w(])")


def rows_not_stored(query: Query, database: str, table: str, rows: pa.Table) -> pa.Table:
    """Rows of an insert that should be in a table, and are not.

    An insert makes one part for each month, which is stored whole or not at all: the first row of each is looked for.
    A row that a newer one of the same key has replaced counts as stored. Tables with replicas settle tokens and parts
    together; of these nothing is missing.

    Parameters
    ----------
    query
        As `TableStore.query`.
    rows
        As they were inserted, in the same order; not empty.

    Raises
    ------
    TransportError
        What `query` raises.
    """
    (found,) = query(_TABLE, {"database": database, "table": table})
    engine = _UNREPLICATED.match(found["engine_full"])
    if engine is None:
        return rows.slice(0, 0)
    # All names are of the tables' own schema; values are bound.
    key = [name for name in found["sorting_key"].split(", ") if name in rows.schema.names]
    tests = [f"{name} = {_parameter(rows.schema.field(name))}" for name in key]
    if version := engine[1]:
        key.append(version)
        tests.append(f"{version} >= {_parameter(rows.schema.field(version))}")
    asked = f"SELECT count() AS found FROM {table} WHERE {' AND '.join(tests)}"  # noqa: S608
    firsts, months = _months(rows)
    probes = rows.select(key).take(pa.array(firsts))
    columns = {name: _bound(probes[name]) for name in key}
    absent = [
        number
        for number in range(len(firsts))
        if not query(asked, {name: column[number] for name, column in columns.items()})[0]["found"]
    ]
    return rows.filter(pa.array(np.isin(months, absent)))


def _months(rows: pa.Table) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Row number of the first row of each month, and each row's month as an index into these."""
    if "as_of" not in rows.schema.names:
        return np.zeros(1, np.int64), np.zeros(rows.num_rows, np.int64)
    of_rows = rows["as_of"].to_numpy().astype("datetime64[M]")
    _, firsts, months = np.unique(of_rows, return_index=True, return_inverse=True)
    return firsts, months


def _parameter(field: pa.Field) -> str:
    if pa.types.is_timestamp(field.type):
        return f"fromUnixTimestamp64Milli({{{field.name}:Int64}})"
    if pa.types.is_string(field.type):
        return f"{{{field.name}:String}}"
    return f"{{{field.name}:Int64}}"


def _bound(column: pa.ChunkedArray) -> list[Any]:
    return list((column if pa.types.is_string(column.type) else column.cast(pa.int64())).to_pylist())
