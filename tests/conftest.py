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


@pytest.hookimpl(tryfirst=True)  # pytest-xdist's own hook reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests on one worker, which shares its fixtures; and all that share a Kafka broker.

    A file may name a group of its own.
    """
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        group = "kafka" if "kafka_brokers" in getattr(item, "fixturenames", ()) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


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
