"""The implementations of a table store, with all tables; and a server that can be told to fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.clickhouse.tables import TABLES
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.contracts.served import PASSWORD


@pytest.fixture(scope="module", params=["chdb", "clickhouse"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TableStore]:
    """Each implementation in turn, with all tables: the engine in this process, and behind HTTP."""
    directory = tmp_path_factory.mktemp("tables") / "c360"
    with ExitStack() as stack:
        if request.param == "chdb":
            dsn = f"chdb://{directory}"
        else:
            dsn = stack.enter_context(ClickHouseFront(directory)).dsn()
        opened = stack.enter_context(closing(connect(dsn)))
        opened.migrate()
        yield opened


@pytest.fixture
def store(database: TableStore) -> TableStore:
    """The implementation, its tables empty."""
    for table in TABLES:
        database.command(f"TRUNCATE TABLE {table}")
    return database


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseFront]:
    """A server that has all tables."""
    with ClickHouseFront(tmp_path_factory.mktemp("server") / "db", password=PASSWORD) as running:
        with closing(connect(running.dsn())) as store:
            store.migrate()
        yield running


@pytest.fixture
def front(server: ClickHouseFront) -> ClickHouseFront:
    """The server, in good health, its tables empty."""
    server.up()
    server.repair()
    server.profile()
    with closing(connect(server.dsn())) as store:
        for table in TABLES:
            store.command(f"TRUNCATE TABLE {table}")
    return server
