"""Fixtures that more than one directory of tests uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from c360_stream.connectors.clickhouse import TableStore, connect

# How long an example takes says something of the machine, not of the program.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture
def chdb_store(tmp_path: Path) -> Iterator[TableStore]:
    """An embedded database with all tables, empty.

    One process can have one embedded database open: a test with this fixture opens no other one itself, and the
    database is closed after the test so that the next can open its own.
    """
    store = connect(f"chdb://{tmp_path}/tables")
    try:
        store.migrate()
        yield store
    finally:
        store.close()
