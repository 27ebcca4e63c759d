"""Read the tables of a run. One process may open only one chDB path: from a test, do it in another process.

python -m tests.reference.tables --dsn chdb:///path/c360 "SELECT count() AS rows FROM outcomes FINAL"
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import clickhouse_connect

TableRow = dict[str, Any]


def query(dsn: str, sql: str) -> list[TableRow]:
    """The rows of a query, in this process; times in UTC."""
    client = clickhouse_connect.get_client(dsn=dsn, database="c360")
    try:
        return list(client.query(sql, tz_mode="aware").named_results())
    finally:
        client.close()


def query_elsewhere(dsn: str, *statements: str) -> list[list[TableRow]]:
    """The rows of each query, read by a process of its own; times come back as text in ISO 8601."""
    command = [sys.executable, "-m", "tests.reference.tables", "--dsn", dsn, *statements]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results: list[list[TableRow]] = [[] for _ in statements]
    for line in done.stdout.splitlines():
        number, row = json.loads(line)
        results[number].append(row)
    return results


def as_text(value: object) -> str:
    """How a value that JSON lacks is written."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def dump(dsn: str, statements: list[str]) -> Iterator[str]:
    """One line of JSON a row: the number of the statement, the row."""
    client = clickhouse_connect.get_client(dsn=dsn, database="c360")
    try:
        for number, sql in enumerate(statements):
            for row in client.query(sql, tz_mode="aware").named_results():
                yield json.dumps([number, row], default=as_text)
    finally:
        client.close()


def main() -> None:
    """Print the rows of the statements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dsn", required=True)
    parser.add_argument("statements", nargs="+")
    asked = parser.parse_args()
    for line in dump(asked.dsn, asked.statements):
        print(line)


if __name__ == "__main__":
    main()
