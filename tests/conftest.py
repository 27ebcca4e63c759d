"""Fixtures that more than one directory of tests uses."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.logs.lines import take_down

LONGEST_FIRST = ("simulation", "integration", "deploy", "flows", "contracts")
"""Folders whose tests begin before all others, so that the processes that share the tests end together."""


def pytest_configure() -> None:
    """Ctrl-C interrupts the programs that tests start, also where a shell runs the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by folder; within one, they stay in the order in which they were found."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: min(ranks.get(parent, len(ranks)) for parent in item.path.parents))


# How long an example takes, or takes to draw, says something of the machine, not of the program.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _no_log_of_another_test() -> Iterator[None]:
    """Whatever a test calls may have set up the log of its process."""
    yield
    take_down()


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
