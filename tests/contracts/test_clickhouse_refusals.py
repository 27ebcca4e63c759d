"""What a ClickHouse server refuses its client, and how that is told: rights, space, schema, password, certificates."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import Error as DriverError
from pydantic import SecretStr

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.errors import ConfigurationError, StateError, TransportError
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.sink import open_tables
from c360_stream.settings import Settings
from tests.contracts.clickhouse_front import ClickHouseFront
from tests.contracts.served import MONTHS, block, must_not_wait, outcomes, store_of, stored

pytestmark = pytest.mark.slow


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
        record = f"INSERT INTO schema_migrations SELECT {newest + 1}, 'later.sql', '', now64(3)"
        store.command(record)
        try:
            with pytest.raises(StateError, match=f"has schema version {newest + 1}, this release needs {newest}"):
                open_tables(settings(front.dsn()), RunContext())
        finally:
            store.command(f"DELETE FROM schema_migrations WHERE version = {newest + 1}")


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
