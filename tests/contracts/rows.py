"""Rows of any table, and what of them is stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from c360_stream.connectors.clickhouse.tables import TABLES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000
T0_US = 1_704_067_200_000_000  # 2024-01-01


def columns(table: str, *rows: dict[str, Any]) -> dict[str, list[Any]]:
    """The columns of `rows`, with something fitting where a row says nothing."""

    def default(field: pa.Field) -> object:
        if field.nullable:
            return None
        if pa.types.is_timestamp(field.type):
            return T0_US
        if pa.types.is_nested(field.type):
            return []
        return {"string": "", "binary": b""}.get(str(field.type), 0)

    def coerced(field: pa.Field, value: object) -> object:
        return bool(value) if pa.types.is_boolean(field.type) else value

    return {
        field.name: [coerced(field, row.get(field.name, default(field))) for row in rows] for field in TABLES[table]
    }


def time_of(us: int) -> datetime:
    """The time that a table holds for a number of microseconds."""
    return EPOCH + timedelta(milliseconds=us // 1000)
