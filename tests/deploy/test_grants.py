"""Who may do what with the tables: no more than the docs name, and enough, tried on the real engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.dead_letter_retention import letter_retention_days, set_letter_retention
from c360_stream.connectors.clickhouse.migrations import load_migrations
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.clickhouse.tables import TABLES, arrow_table
from c360_stream.errors import TransportError
from deploy.dashboards import DASHBOARDS
from deploy.dashboards.__main__ import DIRECTORY
from deploy.dashboards.macros import expanded
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.contracts.rows import columns
from tests.deploy.compose import ROOT
from tests.deploy.grants import grants_of, write_users

END = datetime(2025, 6, 1, tzinfo=UTC)
_TABLE = re.compile(r"TABLE id: (\d+),.*? table_name: c360\.(\w+)")
_COLUMN = re.compile(r"COLUMN id: \d+, column_name: (\w+), .*?source_id: (\d+)")
DENIED = "Not enough privileges"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as the user of `c360 setup` makes it, with its grants alone; every migration is repeated, too."""
    directory = tmp_path_factory.mktemp("tables") / "c360"
    with opened_as("c360_setup", directory) as tables:
        assert tables.migrate() == [migration.name for migration in load_migrations()]
        for migration in load_migrations():
            for statement in migration.statements:
                tables.command(statement)
        for days in (7, 0, 30):
            assert set_letter_retention(tables, days)
        refuses(tables, "TRUNCATE TABLE dead_letters", "DROP TABLE dead_letters", "DROP DATABASE c360")
    return directory


@contextmanager
def opened_as(user: str, database: Path) -> Iterator[TableStore]:
    with TemporaryDirectory() as folder:
        users = write_users(user, Path(folder))
        with ClickHouseFront(database, users=users) as front, closing(connect(front.dsn())) as tables:
            yield tables


def refuses(tables: TableStore, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(TransportError, match=DENIED):
            tables.command(statement)


def dashboard_queries() -> list[str]:
    """Every query that a provisioned file sends to ClickHouse: of panels, annotations and variables."""

    def found(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from [node["rawSql"]] if "rawSql" in node else []
            # A variable's query is a list of values, unless it is of the kind that asks a data source.
            assert node.get("type") != "query", "a variable asks a data source: read its query here, too"
            node = list(node.values())
        if isinstance(node, list):
            for each in node:
                yield from found(each)

    defaults = {dashboard.name: dashboard.defaults for dashboard in DASHBOARDS}
    return [
        expanded(text, END - timedelta(days=180), END, defaults[path.stem])
        for path in sorted(DIRECTORY.glob("*.json"))
        for text in found(json.loads(path.read_text(encoding="utf-8")))
    ]


def asked_for(tables: TableStore, query: str) -> Iterator[tuple[str, str]]:
    """Table and column of everything that a query reads, as the engine resolves it."""
    tree = "\n".join(row["explain"] for row in tables.query(f"EXPLAIN QUERY TREE {query}"))
    names = dict(_TABLE.findall(tree))
    return ((names[source], column) for column, source in _COLUMN.findall(tree) if source in names)


def test_workers_insert_and_read_and_no_more(database: Path) -> None:
    with opened_as("c360", database) as tables:
        assert tables.schema_version() == tables.schema_expected()
        for table in TABLES:
            rows = arrow_table(table, columns(table, {"account_id": "a"}))
            assert tables.insert_rows(table, rows, token="store:0:1") == 1
            assert tables.insert_rows(table, rows, token="store:0:1", repeated=True) == 1, "and looks for it"
        assert tables.query("SELECT * FROM risk_latest")
        tables.query("SELECT * FROM risk_active")
        assert letter_retention_days(tables) == 30
        refuses(tables, "TRUNCATE TABLE dead_letters", "DROP TABLE dead_letters", "DROP VIEW risk_latest")
        refuses(tables, "ALTER TABLE outcomes DELETE WHERE 1", "ALTER TABLE outcomes ADD COLUMN note String")
        refuses(tables, "CREATE TABLE more (x Int8) ENGINE = MergeTree ORDER BY x", "CREATE DATABASE more")


def test_grafana_reads_what_its_dashboards_ask_for_and_nothing_else(database: Path) -> None:
    queries = dashboard_queries()
    assert len(queries) > 50
    with opened_as("c360", database) as tables:
        asked = {found for query in queries for found in asked_for(tables, query)}
    needed: dict[str, set[str]] = {}
    for table, column in asked:
        needed.setdefault(table, set()).add(f"SELECT({column})")
    assert grants_of("grafana") == needed, "deploy/clickhouse/users.d/c360.xml: grant what is needed, and only that"
    assert "dead_letters" not in needed


def test_these_grants_are_enough_for_every_panel_and_open_nothing_else(database: Path) -> None:
    with opened_as("grafana", database) as tables:
        for query in dashboard_queries():
            tables.query(query)
        refuses(tables, "SELECT value FROM dead_letters", "SELECT count() FROM dead_letters")
        refuses(tables, "SELECT account_id FROM risk_active", "SELECT * FROM risk_latest")
        refuses(tables, "SELECT parameters FROM model_versions", "SELECT nps_score FROM account_features")
        refuses(tables, "SELECT * FROM system.users", "INSERT INTO departures VALUES ('a', 0)")


def test_grants_are_those_that_the_docs_name() -> None:
    rows = re.findall(r"(?m)^\| (.+?) \| (.+?) \|$", (ROOT / "docs" / "operations.md").read_text())
    named = {who: set(re.findall(r"`([A-Z ]+)`", needs)) for who, needs in rows}
    assert grants_of("c360") == {"*": named["ClickHouse user of `c360 run`"]}
    assert grants_of("c360_setup") == {"*": named["ClickHouse user of `c360 setup`"]}
