"""Connecting, refusing and trying again, where that needs no tables; and the migrations' files."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from clickhouse_connect.driver.summary import QuerySummary

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.migrations import Migration, load_migrations, pending
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.clickhouse.tables import TABLES, Column
from c360_stream.connectors.ports import Waiting, wait_patiently
from c360_stream.errors import ConfigurationError, StateError, TransportError

SECRET = "hunter2"


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "c360",
        f"postgres://bob:{SECRET}@db/c360",
        "clickhouse://",
        f"clickhouse://bob:{SECRET}@db:port/c360",
        f"clickhouse://bob:{SECRET}@db:99999/c360",
        f"clickhouse://bob:{SECRET}@[db/c360",
        f"clickhouse://bob:{SECRET}@db/c360; DROP TABLE x",
        f"clickhouse://bob:{SECRET}@db/c360/more",
        f"clickhouse://bob:{SECRET}/x@db/c360",
        f"clickhouse://bob:{SECRET}#x@db/c360",
        f"clickhouse://bob:8123?{SECRET}@db/c360",
        "chdb://",
        "chdb:///",
        "chdb://relative/c360",
    ],
)
def test_a_malformed_dsn_is_refused_without_its_password(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="C360_CLICKHOUSE_DSN") as refused:
        connect(dsn)
    assert SECRET not in str(refused.value)


def test_an_option_that_the_client_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="does not know an option"):
        connect("clickhouse://db/c360?no_such_option=1")


@pytest.mark.parametrize("scheme", ["clickhouse", "clickhouses"])
def test_a_closed_port_is_named_without_the_password(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: nobody else can take it meanwhile
        place = f"127.0.0.1:{unused.getsockname()[1]}/c360"
        with pytest.raises(TransportError) as refused:
            connect(f"{scheme}://bob:{SECRET}@{place}")
    assert refused.value.what == f"{scheme}://bob:***@{place}: [Errno 111] Connection refused"
    assert "C360_CLICKHOUSE_DSN" in refused.value.hint
    assert SECRET not in str(refused.value)


@contextmanager
def server_that_says(status: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    """An HTTP server with one answer to everything; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_wrong_password_is_said_to_be_one() -> None:
    body = (
        b"Code: 516. DB::Exception: bob: Authentication failed: password is incorrect, or there is no user with such "
        b"name. (AUTHENTICATION_FAILED) (version 26.3.1.1 (official build))"
    )
    with (
        server_that_says(403, {"X-ClickHouse-Exception-Code": "516"}, body) as address,
        pytest.raises(TransportError) as refused,
    ):
        connect(f"clickhouse://bob:{SECRET}@{address}/c360")
    assert refused.value.what == (
        f"clickhouse://bob:***@{address}/c360: bob: Authentication failed: password is incorrect, or there is no user "
        "with such name. (AUTHENTICATION_FAILED)"
    )
    assert refused.value.hint == "check user and password in C360_CLICKHOUSE_DSN"


def test_a_server_of_another_kind_is_refused_in_one_line() -> None:
    with (
        server_that_says(404, {}, b"<html>\nnothing here\n</html>") as address,
        pytest.raises(TransportError, match="404") as refused,
    ):
        connect(f"clickhouse://{address}/c360")
    assert "\n" not in str(refused.value)


class UnsteadyClient:
    """A client whose calls fail as told, in order, and then succeed."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0
        self.database: str | None = None

    def insert_arrow(self, table: str, rows: Any, settings: dict[str, Any]) -> QuerySummary:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return QuerySummary({"written_rows": str(rows.num_rows)})


def store_on(client: UnsteadyClient, patience_seconds: float, waiting: Waiting = wait_patiently) -> TableStore:
    return TableStore(
        client,  # type: ignore[arg-type]
        "clickhouse://db/c360",
        "c360",
        embedded=False,
        patience_seconds=patience_seconds,
        waiting=waiting,
    )


VERSION: dict[str, Column] = {
    "model_name": ["m"],
    "model_version": ["1"],
    "as_of": [0],
    "feature_version": [1],
    "parameters": ["{}"],
}


def away() -> OperationalError:
    error = OperationalError("Error executing HTTP request")
    error.__cause__ = ConnectionResetError(104, "Connection reset by peer")
    return error


@pytest.mark.parametrize(
    "failure",
    [away(), DatabaseError("Too many parts", code=252), DatabaseError("HTTP driver received HTTP status 502")],
)
def test_trouble_that_passes_is_outlasted(failure: Exception) -> None:
    client = UnsteadyClient(failure)
    assert store_on(client, patience_seconds=60).insert("model_versions", VERSION) == 1
    assert client.calls == 2


def test_trouble_that_does_not_pass_is_named() -> None:
    client = UnsteadyClient(*(away() for _ in range(100)))
    with pytest.raises(TransportError) as refused:
        store_on(client, patience_seconds=0.2).insert("model_versions", VERSION)
    assert refused.value.what == (
        "insert into model_versions at clickhouse://db/c360: [Errno 104] Connection reset by peer (tried for 0.2 s)"
    )
    assert 1 < client.calls < 5


def test_without_patience_the_first_failure_is_the_last() -> None:
    client = UnsteadyClient(away())
    with pytest.raises(TransportError, match=r"Connection reset by peer; check"):
        store_on(client, patience_seconds=0).insert("model_versions", VERSION)
    assert client.calls == 1


def test_a_wait_says_often_enough_why(caplog: pytest.LogCaptureFixture) -> None:
    reasons: list[str] = []
    client = UnsteadyClient(away(), away(), away(), away())  # 0.1, 0.2, 0.4 and 0.8 s
    store = store_on(client, patience_seconds=60, waiting=reasons.append)
    store.insert("model_versions", VERSION)
    # Five slices of at most half a second; four, if a sleep took much longer than it was asked to.
    assert len(reasons) in {4, 5}
    assert set(reasons) == {"clickhouse://db/c360 is away: [Errno 104] Connection reset by peer"}
    began, ended = caplog.messages
    assert began.endswith("trying again for up to 60 s")
    assert ended.startswith("clickhouse://db/c360 answers again")


def test_what_a_wait_raises_ends_it() -> None:
    def stop(reason: str) -> None:
        raise InterruptedError(reason)

    client = UnsteadyClient(DatabaseError("Code: 243. DB::Exception: Not enough space.", code=243))
    with pytest.raises(InterruptedError, match=r"clickhouse://db/c360 refuses for now: Not enough space\."):
        store_on(client, patience_seconds=60, waiting=stop).insert("model_versions", VERSION)
    assert client.calls == 1


def test_a_refusal_is_not_repeated() -> None:
    client = UnsteadyClient(DatabaseError("Code: 497. DB::Exception: Not enough privileges.", code=497))
    with pytest.raises(TransportError, match="Not enough privileges"):
        store_on(client, patience_seconds=60).insert("model_versions", VERSION)
    assert client.calls == 1


def test_an_embedded_database_is_of_one_process_at_a_time(tmp_path: Path) -> None:
    dsn = f"chdb://{tmp_path}/c360"
    imports = "from c360_stream.connectors.clickhouse.connection import connect"
    program = f"{imports}; s = connect({dsn!r}); print('open'); input()"
    with subprocess.Popen([sys.executable, "-uc", program], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(TransportError, match=f"process {other.pid} has {tmp_path}/c360 open; stop it"):
            connect(dsn)
        other.send_signal(signal.SIGKILL)
    # The lock dies with its process, and a closed database can be opened again.
    for _ in range(2):
        with closing(connect(dsn)) as store:
            assert store.schema_version() == 0


def test_a_process_has_one_embedded_database_open_at_a_time(tmp_path: Path) -> None:
    with (
        closing(connect(f"chdb://{tmp_path}/one")),
        closing(connect(f"chdb://{tmp_path}/one")),
        pytest.raises(TransportError, match="another embedded database open; close that one first"),
    ):
        connect(f"chdb://{tmp_path}/two")
    with closing(connect(f"chdb://{tmp_path}/two")) as store:
        assert store.schema_version() == 0


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TransportError, match=r"cannot use the directory .*/file/c360: Not a directory"):
        connect(f"chdb://{tmp_path}/file/c360")


def test_the_plain_client_finds_the_tables_at_the_same_dsn(chdb_store: TableStore, tmp_path: Path) -> None:
    chdb_store.insert("model_versions", VERSION)
    with closing(clickhouse_connect.get_client(dsn=f"chdb://{tmp_path}/tables")) as plain:
        for table in [*TABLES, "risk_latest", "risk_active"]:
            rows = plain.query(f"SELECT * FROM {table} FINAL").result_rows
            assert rows == plain.query(f"SELECT * FROM c360.{table} FINAL").result_rows
            assert len(rows) == (table == "model_versions")


def test_shipped_migrations_can_be_repeated_in_any_database() -> None:
    for migration in load_migrations():
        assert migration.statements
        for statement in migration.statements:
            # What is inserted into `departures` twice counts once: the whole row is its key.
            once = ("IF NOT EXISTS", "OR REPLACE", "COMMENT COLUMN", "INSERT INTO departures\n")
            repeatable = (*once, "MATERIALIZE COLUMN", "MODIFY TTL")
            assert any(words in statement for words in repeatable)
            assert "c360." not in statement


def test_migrations_have_no_gap(tmp_path: Path) -> None:
    for name in ("0001_one.sql", "0003_three.sql"):
        (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(StateError, match="without a gap"):
        load_migrations(tmp_path)
    (tmp_path / "0002_two.sql").write_text("SELECT 1;\n")
    assert [migration.number for migration in load_migrations(tmp_path)] == [1, 2, 3]


def test_pending_is_what_the_database_lacks() -> None:
    one, two, three = (Migration.parse(f"000{number}_x.sql", f"SELECT {number};\n") for number in (1, 2, 3))
    assert pending([one, two, three], {}) == [one, two, three]
    assert pending([one, two, three], {1: one.checksum, 3: three.checksum}) == [two]
    with pytest.raises(StateError, match="upgrade c360-stream"):
        pending([one, two], {3: three.checksum})
    with pytest.raises(StateError, match="new migration"):
        pending([one, two], {1: two.checksum})


def test_a_migration_interrupted_before_its_record_is_repeated(chdb_store: TableStore) -> None:
    chdb_store.insert("model_versions", VERSION)
    chdb_store.command("TRUNCATE TABLE schema_migrations")
    assert chdb_store.schema_version() == 0
    assert chdb_store.migrate() == [migration.name for migration in load_migrations()]
    assert chdb_store.query("SELECT count() AS rows FROM model_versions") == [{"rows": 1}]


def test_a_later_migration_is_applied_alone(chdb_store: TableStore) -> None:
    number = chdb_store.schema_expected() + 1
    sql = "ALTER TABLE outcomes ADD COLUMN IF NOT EXISTS note String;\nCREATE VIEW IF NOT EXISTS n AS SELECT 1 AS x;\n"
    later = Migration.parse(f"{number:04d}_note.sql", sql)
    assert chdb_store.migrate([*load_migrations(), later]) == [later.name]
    assert chdb_store.query("SELECT note FROM outcomes") == []
    assert chdb_store.schema_version() == number
    with pytest.raises(StateError, match=f"version {number}, this code's is {number - 1}; upgrade"):
        chdb_store.migrate()


def test_an_edited_migration_is_refused(chdb_store: TableStore) -> None:
    first, *rest = load_migrations()
    edited = Migration(first.number, first.name, "another checksum", first.statements)
    with pytest.raises(StateError, match=rf"{first.name} is not the file that was applied"):
        chdb_store.migrate([edited, *rest])


def test_an_embedded_database_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chdb", None)
    with pytest.raises(ConfigurationError, match="the embedded database is not installed") as found:
        connect(f"chdb://{tmp_path}/tables")
    assert "set C360_CLICKHOUSE_DSN" in str(found.value)
    assert not list(tmp_path.iterdir())
