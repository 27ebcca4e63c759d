"""A table store of a ClickHouse server, from its client's side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.ports import Waiting, wait_patiently
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.contracts.rows import DAY_US, T0_US, columns

PASSWORD = "s3cret"
PATIENCE_SECONDS = 120.0  # never reached, except where a test gives less
MONTHS = 7


@contextmanager
def store_of(
    front: ClickHouseFront,
    query: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
    waiting: Waiting = wait_patiently,
) -> Iterator[TableStore]:
    dsn = front.dsn(query=query)
    with closing(connect(dsn, patience_seconds=patience_seconds, waiting=waiting)) as store:
        yield store


def must_not_wait(reason: str) -> None:
    raise AssertionError(f"waited: {reason}")


def block(name: str, rows: int = 30) -> dict[str, list[Any]]:
    """Feature rows of several months: as many parts of the table."""
    return columns(
        "account_features",
        *[
            {"account_id": f"{name}-{row}", "as_of": T0_US + 31 * DAY_US * month}
            for row in range(rows)
            for month in range(MONTHS)
        ],
    )


def stored(store: TableStore, table: str = "account_features") -> int:
    """Rows that are there, repeated ones counted: no FINAL."""
    (row,) = store.query(f"SELECT count() AS rows FROM {table}")
    return int(row["rows"])


def outcomes(name: str) -> dict[str, list[Any]]:
    """Outcomes of one account in several months."""
    rows = [{"account_id": name, "as_of": T0_US + 31 * DAY_US * month} for month in range(MONTHS)]
    return columns("outcomes", *rows)
