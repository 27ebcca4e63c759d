"""The database behind the interface: chDB, in the one thread that may call it."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import chdb

from tests.contracts.clickhouse_front.statements import Answer, Refusal, Statement

_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
_NAME = re.compile(r"\w+")


class Engine:
    """chDB, called from the one thread that runs `serve`: it crashes when called from some threads."""

    def __init__(self, directory: Path, users: Path | None = None) -> None:
        # It heeds `config.xml` of the working directory, if that is named here, too.
        self._directory = f"{directory}?users_config={users}" if users else str(directory)
        self._jobs: SimpleQueue[tuple[Statement, Future[Answer]] | None] = SimpleQueue()
        self.version = ""

    def serve(self, ready: Callable[[], None]) -> None:
        """Execute what is asked for until `stop`."""
        with contextlib.closing(self._open()) as keeps_it_open:
            self.version = keeps_it_open.query("SELECT version()", "TabSeparated").bytes().decode().strip()
            ready()
            while (job := self._jobs.get()) is not None:
                statement, answer = job
                try:
                    answer.set_result(self._execute(statement))
                except Exception as error:
                    answer.set_exception(error)

    def stop(self) -> None:
        """Let `serve` return once what was asked for before is executed."""
        self._jobs.put(None)

    def execute(self, statement: Statement) -> Answer:
        """Execute a statement; raises what chDB raises."""
        answer: Future[Answer] = Future()
        self._jobs.put((statement, answer))
        return answer.result()

    def _open(self) -> Any:
        return chdb.connect(self._directory)  # type: ignore[no-untyped-call]

    def _execute(self, statement: Statement) -> Answer:
        # A handle of its own for each request: settings and the database last no longer, as without a session.
        with contextlib.closing(self._open()) as handle:
            if statement.database:
                handle.query(f"USE `{statement.database.replace('`', '')}`", "TabSeparated")
            for name, value in statement.settings.items():
                if not _NAME.fullmatch(name):
                    raise Refusal(115, f"Unknown setting '{name}'. (UNKNOWN_SETTING)")
                handle.query(f"SET {name} = {quoted(value)}", "TabSeparated")
            if statement.data_format:
                return self._insert(handle, statement)
            given = _FORMAT.search(statement.sql)
            # With names, what has a result shows itself even if it has no rows.
            result = handle.query(
                statement.sql, "TabSeparated" if given else "TabSeparatedWithNames", params=statement.parameters
            )
            body = result.bytes() or b""
            result_format = given[1].decode() if given else "TabSeparated" if body else ""
            summary = {"read_rows": str(result.rows_read()), "read_bytes": str(result.bytes_read())}
            return Answer(body if given else body.partition(b"\n")[2], result_format, summary)

    def _insert(self, handle: Any, statement: Statement) -> Answer:
        with tempfile.NamedTemporaryFile() as file:
            file.write(statement.data)
            file.flush()
            source = f" FROM INFILE {quoted(file.name)} FORMAT {statement.data_format}"
            result = handle.query(statement.sql + source.encode(), "TabSeparated", params=statement.parameters)
        return Answer(b"", "", {"written_rows": str(result.rows_read()), "written_bytes": str(result.bytes_read())})


def quoted(text: str) -> str:
    """A string in SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
