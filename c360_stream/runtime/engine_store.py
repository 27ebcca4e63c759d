"""The files that the engine keeps its snapshots in: SQLite databases, a part each."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from c360_stream.errors import StateError
from c360_stream.state.chunk_store import RESTORE


def forget_incomplete_epoch(directory: Path) -> int | None:
    """Delete the snapshots that a run which was killed had stored of an epoch that others had not come to the end of.

    The engine goes on from the epoch before, but leaves them; of a key that gets nothing in the epoch's second attempt
    it would restore one the next time, as if what is in it had not been read again since.

    Returns
    -------
    The epoch that the engine goes on with; None if there has been none.
    """
    executions: list[tuple[int, int, int]] = []
    reached: dict[tuple[int, int], int] = {}
    parts = sorted(directory.glob("part-*.sqlite3"))
    for part in parts:
        executions += _query(part, "SELECT ex_num, worker_count, resume_epoch FROM exs")
        for execution, worker, epoch in _query(part, "SELECT ex_num, worker_index, worker_frontier FROM fronts"):
            reached[execution, worker] = max(epoch, reached.get((execution, worker), epoch))
    if not executions:
        return None
    newest, workers, began = max(executions)
    resumes_at = min(max(reached.get((newest, worker), began), began) for worker in range(workers))
    for part in parts:
        _query(part, "DELETE FROM snaps WHERE snap_epoch >= ?", resumes_at)
    return resumes_at if any(_query(part, "SELECT 1 FROM snaps LIMIT 1") for part in parts) else None


def is_in_use(part: Path) -> bool:
    """Whether a run has kept anything in a part, as far as it can be read."""
    try:
        with closing(_open(part)) as database:
            return database.execute("SELECT 1 FROM snaps LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return False


def unreadable_reason(part: Path, *, thoroughly: bool) -> str:
    """Why SQLite cannot read a part; empty if it can."""
    look = "PRAGMA quick_check(1)" if thoroughly else "PRAGMA schema_version"
    try:
        with closing(_open(part)) as database:
            (found,) = database.execute(look).fetchone()
        return str(found) if thoroughly and found != "ok" else ""
    except sqlite3.Error as error:
        return str(error)


def _query(part: Path, text: str, *values: int) -> list[Any]:
    try:
        with closing(_open(part)) as database, database:
            return database.execute(text, values).fetchall()
    except sqlite3.Error as error:
        raise StateError(f"recovery directory {part.parent}: {part.name} cannot be read: {error}", RESTORE) from None


def _open(part: Path) -> sqlite3.Connection:
    # Not read-only: what a crash left in the journal has to be brought in first.
    return sqlite3.connect(f"{part.resolve().as_uri()}?mode=rw", uri=True)
