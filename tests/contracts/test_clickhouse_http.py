"""What a ClickHouse server does to its client: it goes away, answers late or not at all, refuses, wants TLS."""

from __future__ import annotations

import logging
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import Error as DriverError
from pydantic import SecretStr

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.clickhouse.tables import TABLES, arrow_table
from c360_stream.connectors.ports import Waiting, wait_patiently
from c360_stream.errors import ConfigurationError, StateError, TransportError
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.sink import open_tables
from c360_stream.settings import Settings
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.contracts.test_table_store import DAY_US, T0_US, columns

pytestmark = pytest.mark.slow
PASSWORD = "s3cret"
PATIENCE_SECONDS = 120.0  # never reached, except where a test gives less
MONTHS = 7
# Shorter than the late answers of these tests, and longer than any other.
IMPATIENT = "?send_receive_timeout=3"


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


@contextmanager
def store_of(
    front: ClickHouseFront,
    query: str = "",
    patience_seconds: float = PATIENCE_SECONDS,
    waiting: Waiting = wait_patiently,
) -> Iterator[TableStore]:
    dsn = front.dsn(query=query)
    with closing(connect(dsn, patience_seconds=patience_seconds, waiting=waiting)) as store:
        yield store


def must_not_wait(reason: str) -> None:
    raise AssertionError(f"waited: {reason}")


def block(name: str, rows: int = 30) -> dict[str, list[Any]]:
    """Feature rows of several months: as many parts of the table."""
    return columns(
        "account_features",
        *[
            {"account_id": f"{name}-{row}", "as_of": T0_US + 31 * DAY_US * month}
            for row in range(rows)
            for month in range(MONTHS)
        ],
    )


def stored(store: TableStore, table: str = "account_features") -> int:
    """Rows that are there, repeated ones counted: no FINAL."""
    (row,) = store.query(f"SELECT count() AS rows FROM {table}")
    return int(row["rows"])


@pytest.mark.parametrize("kind", ["drop-before", "drop-after"])
@pytest.mark.parametrize("times", [1, 4])
def test_a_dropped_connection_stores_each_row_once(front: ClickHouseFront, kind: str, times: int) -> None:
    before = front.state()
    front.fault(kind, times=times)
    with store_of(front) as store:
        assert store.insert("account_features", block("a"), token="1:0:1") == 30 * MONTHS
        assert stored(store) == 30 * MONTHS
    after = front.state()
    assert after["inserts_received"] - before["inserts_received"] == times + 1
    assert after["inserts_executed"] - before["inserts_executed"] == (1 if kind == "drop-before" else times + 1)
    # A token is not settled when an asynchronous insert returns, which newer servers do by default.
    assert after["inserted_with"]["insert_deduplication_token"] == "1:0:1"
    assert after["inserted_with"]["async_insert"] == "0"


def test_an_answer_that_comes_too_late_stores_each_row_once(front: ClickHouseFront) -> None:
    front.fault("late", seconds=2 * 3)
    with store_of(front, IMPATIENT) as store:
        store.insert("account_features", block("a"), token="1:0:1")
        assert stored(store) == 30 * MONTHS


def test_a_slow_answer_is_waited_for(front: ClickHouseFront) -> None:
    before = front.state()["inserts_received"]
    front.fault("late", seconds=1)
    with store_of(front, waiting=must_not_wait) as store:
        store.insert("account_features", block("a"), token="1:0:1")
        assert stored(store) == 30 * MONTHS
    assert front.state()["inserts_received"] == before + 1


def test_an_answer_that_breaks_off_is_asked_for_again(front: ClickHouseFront) -> None:
    front.fault("cut", times=2, queries=r"\s*SELECT number")
    with store_of(front) as store:
        rows = store.query("SELECT number FROM numbers(100000)")
    assert [row["number"] for row in rows] == list(range(100_000))


@pytest.mark.parametrize("statement", ["INSERT", "SELECT", "TRUNCATE"])
def test_what_a_stranger_answers_is_no_answer(
    front: ClickHouseFront, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    with store_of(front) as store:
        front.fault("stranger", times=2, queries=rf"\s*{statement}\b")
        store.command("TRUNCATE TABLE account_features")
        store.insert("account_features", block("a"), token="1:0:1")
        assert stored(store) == 30 * MONTHS
    assert "no ClickHouse server that answered" in caplog.text
    assert "guest network" not in caplog.text


def test_a_stranger_that_stays_is_named(front: ClickHouseFront) -> None:
    with store_of(front, patience_seconds=1.0) as store:
        front.fault("stranger", times=100)
        with pytest.raises(TransportError, match=r"no ClickHouse server that answered.*C360_CLICKHOUSE_DSN"):
            store.insert("account_features", block("a"), token="1:0:1")


def test_rows_that_were_not_written_are_inserted_again(front: ClickHouseFront) -> None:
    front.fault("unwritten")
    with store_of(front) as store:
        store.insert("account_features", block("a"), token="1:0:1")
        assert stored(store) == 30 * MONTHS
        front.fault("unwritten", times=2)
        with pytest.raises(TransportError, match="written 0 of 210 rows"):
            store.insert("account_features", block("b"), token="1:0:2")


class Crashes:
    """Kills a server while its client is at work, and starts it again once the client waits for it."""

    def __init__(self, front: ClickHouseFront) -> None:
        self._front = front
        self._timer: threading.Timer | None = None

    def after(self, seconds: float) -> None:
        """Kill so much later, in the background."""
        self._timer = threading.Timer(seconds, self._front.kill)
        self._timer.start()

    def over(self, reason: str = "") -> None:
        """Wait for the crash, and end it."""
        if self._timer is not None:
            self._timer.join()
        if not self._front.running:
            self._front.start()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_killed_at_any_moment_has_each_row_once(tmp_path: Path, seed: int) -> None:
    moment = random.Random(seed)
    with ClickHouseFront(tmp_path / "db") as front:
        crashes = Crashes(front)
        with store_of(front, waiting=crashes.over) as store:
            store.migrate()
            for number in range(4):
                crashes.after(moment.uniform(0, 0.15))
                store.insert("account_features", block(str(number)), token=f"1:0:{number}")
                crashes.over()
            for number in range(4):  # a resumed run repeats what it is not sure of
                store.insert("account_features", block(str(number)), token=f"1:0:{number}")
            assert stored(store) == 4 * 30 * MONTHS


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_fails_in_a_long_run_each_row_is_stored_once(front: ClickHouseFront, seed: int) -> None:
    chance = random.Random(seed)
    faults: list[dict[str, Any]] = [
        {"kind": "drop-before"},
        {"kind": "drop-after"},
        {"kind": "refuse", "code": 202, "message": "Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)"},
        {"kind": "refuse", "code": 252, "message": "Too many parts. (TOO_MANY_PARTS)"},
    ]
    with store_of(front, waiting=lambda _: front.up()) as store:
        for number in range(10):
            for fault in chance.sample(faults, chance.randrange(3)):
                front.fault(**fault, times=chance.choice([1, 2]))
            if chance.random() < 0.2:
                front.down()
            # Equal tokens, and rows that are equal but for their names: neither mixes tables or batches up.
            for table, rows in (("account_features", block(str(number))), ("outcomes", outcomes(str(number)))):
                for _ in range(chance.choice([1, 1, 2])):
                    store.insert(table, rows, token=f"1:0:{number}")
        front.repair()
        assert stored(store) == 10 * 30 * MONTHS
        assert stored(store, "outcomes") == 10 * MONTHS
        for table in ("account_features", "outcomes"):
            (row,) = store.query(f"SELECT uniqExact(account_id, as_of) AS rows FROM {table}")
            assert row["rows"] == stored(store, table)


def outcomes(name: str) -> dict[str, list[Any]]:
    """Outcomes of one account in several months."""
    rows = [{"account_id": name, "as_of": T0_US + 31 * DAY_US * month} for month in range(MONTHS)]
    return columns("outcomes", *rows)


def test_a_token_counts_whatever_the_chunks(front: ClickHouseFront) -> None:
    rows = arrow_table("account_features", block("a", rows=1000))
    chunked = pa.concat_tables([rows.slice(start, 100) for start in range(0, rows.num_rows, 100)])
    with store_of(front) as store:
        for repeated in (rows, chunked, rows):
            store.insert_rows("account_features", repeated, token="1:0:1")
        assert stored(store) == rows.num_rows


def test_an_outage_is_ridden_out_and_spoken_of(front: ClickHouseFront, caplog: pytest.LogCaptureFixture) -> None:
    reasons: list[str] = []

    def waiting(reason: str) -> None:
        reasons.append(reason)
        if len(reasons) == 4:
            front.up()

    with store_of(front, waiting=waiting) as store, caplog.at_level(logging.WARNING, "c360_stream"):
        front.down()
        store.insert("account_features", block("a"), token="1:0:1")
        assert stored(store) == 30 * MONTHS
    place = f"clickhouse://c360:***@127.0.0.1:{front.port}/c360"
    assert set(reasons) == {f"{place} is away: [Errno 111] Connection refused"}
    began, ended = caplog.messages
    what = "insert into account_features: [Errno 111] Connection refused; check that "
    assert began.startswith(f"{place}: waiting for it: {what}")
    assert began.endswith("trying again for up to 120 s")
    assert ended.startswith(f"{place} answers again, after ")
    assert PASSWORD not in caplog.text


def test_an_outage_past_the_patience_is_named(front: ClickHouseFront) -> None:
    with store_of(front, patience_seconds=0.5) as store:
        front.down()
        with pytest.raises(TransportError) as refused:
            store.insert("account_features", block("a"), token="1:0:1")
        place = f"clickhouse://c360:***@127.0.0.1:{front.port}/c360"
        assert refused.value.what == (
            f"insert into account_features at {place}: [Errno 111] Connection refused (tried for 0.5 s)"
        )
        assert "check that the server runs" in refused.value.hint
        front.up()
        assert stored(store) == 0


class Stopped(Exception):  # noqa: N818
    """What a run that is asked to stop raises."""


def test_a_stop_ends_the_wait(front: ClickHouseFront) -> None:
    def stop(reason: str) -> None:
        raise Stopped(reason)

    with store_of(front, waiting=stop) as store:
        front.down()
        with pytest.raises(Stopped, match=r"is away: .*Connection refused"):
            store.insert("account_features", block("a"), token="1:0:1")


def test_a_server_that_is_away_at_the_start_is_not_waited_for(front: ClickHouseFront) -> None:
    front.down()
    with pytest.raises(TransportError, match=rf"^clickhouse://c360:\*\*\*@127.0.0.1:{front.port}/c360: .* refused"):
        connect(front.dsn(), patience_seconds=PATIENCE_SECONDS, waiting=must_not_wait)


@pytest.mark.parametrize("readonly", ["1", "2"])
def test_a_read_only_user_is_named_at_once(front: ClickHouseFront, readonly: str) -> None:
    with store_of(front, waiting=must_not_wait) as store:
        front.profile(readonly=readonly)
        with pytest.raises(TransportError, match=r"insert into account_features at .* in readonly mode") as refused:
            store.insert("account_features", block("a"))
        assert refused.value.hint == "give the user of C360_CLICKHOUSE_DSN a profile that may write: readonly = 0"
    with (
        store_of(front, waiting=must_not_wait) as read_only_from_the_start,
        pytest.raises(TransportError, match=r"insert into account_features at .* readonly") as refused,
    ):
        read_only_from_the_start.insert("account_features", block("a"))
    assert refused.value.hint == "give the user of C360_CLICKHOUSE_DSN a profile that may write: readonly = 0"


def test_a_full_disk_is_waited_for_and_then_named(front: ClickHouseFront) -> None:
    """The engine itself says so, of a limit that nothing meets."""
    full = "ALTER TABLE account_features MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000"
    fixed = "ALTER TABLE account_features RESET SETTING min_free_disk_bytes_to_perform_insert"

    with store_of(front) as operator:

        def repair(reason: str) -> None:
            assert "refuses for now: Could not perform insert. None of the disks" in reason
            operator.command(fixed)

        operator.command(full)
        try:
            with (
                store_of(front, patience_seconds=0.3) as store,
                pytest.raises(TransportError, match="enough free space") as refused,
            ):
                store.insert("account_features", block("a"), token="1:0:1")
            assert refused.value.hint == "free space on the disk of the database"
            assert isinstance(refused.value.__cause__, DriverError)
            assert refused.value.__cause__.code == 243
            with store_of(front, waiting=repair) as store:
                store.insert("account_features", block("a"), token="1:0:1")
                assert stored(store) == 30 * MONTHS
        finally:
            operator.command(fixed)


def test_a_schema_of_another_version_is_refused(front: ClickHouseFront) -> None:
    def settings(dsn: str) -> Settings:
        return Settings(clickhouse_dsn=SecretStr(dsn))

    with closing(open_tables(settings(front.dsn()), RunContext())) as store:
        assert store.schema_version() == store.schema_expected()
    empty = front.dsn().removesuffix("c360") + "empty"
    newest = store.schema_expected()
    with pytest.raises(StateError, match=f"ClickHouse has schema version 0, this release needs {newest}; .*c360 setup"):
        open_tables(settings(empty), RunContext())
    with store_of(front) as store:
        record = "INSERT INTO schema_migrations SELECT 99, '0099_later.sql', '', now64(3)"
        store.command(record)
        try:
            with pytest.raises(StateError, match=f"has schema version 99, this release needs {newest}"):
                open_tables(settings(front.dsn()), RunContext())
        finally:
            store.command("DELETE FROM schema_migrations WHERE version = 99")


@pytest.mark.parametrize("credentials", ["c360:wr0ng", "c360", "eve:wr0ng"])
def test_a_wrong_password_is_named_and_not_shown(front: ClickHouseFront, credentials: str) -> None:
    with pytest.raises(TransportError, match="Authentication failed") as refused:
        connect(front.dsn(credentials))
    assert refused.value.hint == "check user and password in C360_CLICKHOUSE_DSN"
    assert "wr0ng" not in str(refused.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of localhost, with its key beside it."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl is not installed")
    made = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", str(made.with_suffix(".key")), "-out", str(made)]
    subprocess.run([openssl, "req", "-x509", *key, *names, *files], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def tls_front(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseFront]:
    """A server that speaks TLS only."""
    directory = tmp_path_factory.mktemp("tls") / "db"
    with ClickHouseFront(directory, certificate=certificate, key=certificate.with_suffix(".key")) as running:
        yield running


def test_a_certificate_nobody_vouches_for_is_refused(tls_front: ClickHouseFront) -> None:
    with pytest.raises(TransportError) as refused:
        connect(tls_front.dsn(host="localhost"))
    place = f"clickhouses://c360:***@localhost:{tls_front.port}/c360"
    assert refused.value.what == f"{place}: the server's certificate is refused: self-signed certificate"
    assert refused.value.hint == "name the file of its authority in C360_CLICKHOUSE_DSN: ?ca_cert=/path/ca.pem"


def test_a_certificate_of_another_host_is_refused(tls_front: ClickHouseFront, certificate: Path) -> None:
    with pytest.raises(TransportError, match="certificate is refused: IP address mismatch") as refused:
        connect(tls_front.dsn(query=f"?ca_cert={certificate}"))
    assert refused.value.hint == "write the host into C360_CLICKHOUSE_DSN as the certificate has it"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_tls_options_reach_the_client(tls_front: ClickHouseFront, certificate: Path) -> None:
    trusted = [("localhost", f"?ca_cert={certificate}"), ("127.0.0.1", "?verify=false")]
    trusted.append(("127.0.0.1", f"?ca_cert={certificate}&server_host_name=localhost"))
    for host, query in trusted:
        with closing(connect(tls_front.dsn(host=host, query=query))) as store:
            store.migrate()
            store.command("TRUNCATE TABLE outcomes")
            tls_front.fault("drop-after")
            store.insert("outcomes", outcomes("a"), token=f"1:0:{query}")
            assert stored(store, "outcomes") == MONTHS


def test_a_certificate_file_that_is_none_is_named(tls_front: ClickHouseFront, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.pem"
    with pytest.raises(ConfigurationError, match=f"cannot read {nowhere}, ca_cert in C360_CLICKHOUSE_DSN"):
        connect(tls_front.dsn(query=f"?ca_cert={nowhere}"))
    nowhere.write_text("nothing of the kind")
    with pytest.raises(TransportError, match="check the files of certificates and keys in C360_CLICKHOUSE_DSN"):
        connect(tls_front.dsn(query=f"?ca_cert={nowhere}"))


def test_tls_and_plain_http_are_told_apart(front: ClickHouseFront, tls_front: ClickHouseFront) -> None:
    with pytest.raises(TransportError, match="check that the server speaks TLS at this port"):
        connect(front.dsn().replace("clickhouse://", "clickhouses://"))
    with pytest.raises(TransportError, match="check that the server runs"):
        connect(tls_front.dsn().replace("clickhouses://", "clickhouse://"))
