"""ClickHouse in memory: tables that survive the crashes of who inserts, behind the HTTP of the real client.

`connect` and its client run as they are, over `MemoryServer` in place of connections.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
from urllib3 import HTTPResponse
from urllib3.exceptions import ProtocolError

from c360_stream.connectors.clickhouse.answers import SUMMARY
from tests.simulation.fate import Fate

DSN = "clickhouse://memory/c360?compress=0"
PAGE = b"<!doctype html><title>Sign in</title><p>Welcome to the guest network.</p>\n"
_INSERT = re.compile(r"\s*INSERT INTO `?(?:c360`?\.`?)?(\w+)")
SOON = {"c360_stream.connectors.clickhouse.patience.PAUSE_FIRST_SECONDS": 0.005}


class MemoryTables:
    """Rows of every table in the order of their insertion, and the tokens that came with them.

    As replicated tables are, which settle a token and its rows together.
    """

    def __init__(self) -> None:
        self.blocks: list[tuple[str, pa.Table]] = []
        self.tokens: set[tuple[str, str]] = set()
        self.lock = threading.Lock()

    def insert(self, table: str, rows: pa.Table, token: str) -> int:
        """Insert a block, unless its token was seen; the number of rows. `lock` is held."""
        if not token or (table, token) not in self.tokens:
            self.blocks.append((table, rows))
        if token:
            self.tokens.add((table, token))
        return int(rows.num_rows)

    def rows(self, table: str) -> list[dict[str, object]]:
        """All rows of a table, repeated ones too."""
        return [row for name, block in self.blocks if name == table for row in block.to_pylist()]


@contextmanager
def serving(tables: MemoryTables, fate: Fate) -> Iterator[None]:
    """Give every client of ClickHouse that a life makes its tables and its fate."""
    with ExitStack() as patches:
        manager = "clickhouse_connect.driver.httpclient.default_pool_manager"
        for name, value in (SOON | {manager: lambda: MemoryServer(tables, fate)}).items():
            patches.enter_context(patch(name, value))
        yield


class MemoryServer:
    """What the client uses of urllib3's manager of connections."""

    def __init__(self, tables: MemoryTables, fate: Fate) -> None:
        self._tables = tables
        self._fate = fate

    def request(self, method: str, url: str, **options: Any) -> HTTPResponse:
        """Answer one request."""
        self._fate.live_on("ask ClickHouse")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        body = bytes(options["body"])
        sql = asked.get("query") or body.decode()
        if (insert := _INSERT.match(sql)) is not None:
            return self._insert(insert[1], body, asked.get("insert_deduplication_token", ""))
        if "version()" in sql:
            return _answer(b"26.3.1.1\tUTC\n")
        if "FROM system.tables" in sql:
            return _answer(_native(engine_full="ReplicatedReplacingMergeTree", sorting_key="as_of"))
        return _answer(b"")

    def _insert(self, table: str, body: bytes, token: str) -> HTTPResponse:
        if self._fate.is_answered_by_a_stranger(table):
            return HTTPResponse(PAGE, {"Content-Type": "text/html"}, 200, preload_content=False)
        if not self._fate.call(f"insert into {table}, before it"):
            raise ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))
        with pa.ipc.open_file(body) as file:
            block = file.read_all()
        with self._tables.lock:  # a thread of a dead life may be as far as this when the next one begins
            self._fate.live_on("insert")
            rows = self._tables.insert(table, block, token)
        if not self._fate.call(f"insert into {table}, after it"):
            raise ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))
        return _answer(b"", rows)

    def clear(self) -> None:
        """Nothing is held."""


def _answer(body: bytes, written_rows: int = 0) -> HTTPResponse:
    headers = {SUMMARY: f'{{"written_rows": "{written_rows}"}}', "Content-Length": str(len(body))}
    return HTTPResponse(BytesIO(body), headers, 200, preload_content=False)


def _native(**row: str) -> bytes:
    """A block of one row of strings in ClickHouse's format Native."""
    texts = (_text(name) + _text("String") + _text(value) for name, value in row.items())
    return bytes([len(row), 1]) + b"".join(texts)


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
