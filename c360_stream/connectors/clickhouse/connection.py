"""Opens the tables: a ClickHouse server, or chDB in this process, through one client."""

from __future__ import annotations

import fcntl
import logging
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import SplitResult, parse_qsl, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError

from c360_stream.connectors.clickhouse.answers import AnswersOfClickHouse
from c360_stream.connectors.clickhouse.refusals import refusal
from c360_stream.connectors.clickhouse.store import TableStore
from c360_stream.connectors.outages import Outages
from c360_stream.connectors.ports import Waiting, wait_patiently
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.logs.crash_output import restore_faulthandler
from c360_stream.settings.masking import mask_dsn
from c360_stream.state.private_files import DIRECTORY_MODE, keep_private

# They warn of every connection that fails, the latter with all parameters of the query: accounts are among them.
for chatty in ("clickhouse_connect", "urllib3.connectionpool"):
    logging.getLogger(chatty).setLevel(logging.ERROR)
DATABASE = "c360"
_FILE_OPTIONS = {"ca_cert", "client_cert", "client_cert_key"}
# What chDB makes. A directory with anything else in it is somebody's, who chooses its mode.
_EMBEDDED_ENTRY = re.compile(
    r"data|metadata(_dropped)?|store|tmp|status|uuid|flags|cores|access|disks|caches|filesystem_caches|workload"
    r"|user_(files|defined|scripts)|format_schemas|preprocessed_configs|dictionaries_lib|named_collections"
    r"|\..*|lost\+found"
)
_DSN_FORM = "clickhouse://user:password@host:8123/c360, clickhouses://... or chdb:///path/c360"


def connect(
    dsn: str,
    *,
    patience_seconds: float = 60.0,
    waiting: Waiting = wait_patiently,
    outages: Outages | None = None,
) -> TableStore:
    """Open the tables' database. `TableStore.schema_version` tells whether it has the tables.

    Parameters
    ----------
    dsn
        `clickhouse://user:password@host:8123/c360` (`clickhouses://` over TLS; options of the client may follow as
        a query), or `chdb:///path/c360`: a directory, made if absent, which one process at a time can open.
    patience_seconds
        How long to repeat a later call, from its first failure on, while the server is away, overloaded or
        full. Connecting is never repeated.
    waiting
        Called at least once a second between such attempts, with the reason in words and without the password; what
        it raises ends the call. An attempt itself may take as long as the client's `send_receive_timeout`, 60 s.
    outages
        Of all clients that log an outage as one. None: this one's alone.

    Raises
    ------
    ConfigurationError
        If the DSN is malformed.
    TransportError
        If the server or directory cannot be used.
    """
    parts = _split(dsn)
    embedded = parts.scheme == "chdb"
    if embedded:
        client, database = _open_embedded(dsn, Path(parts.path)), DATABASE
    else:
        client, database = _open_server(dsn, parts), parts.path.strip("/") or DATABASE
    return TableStore(
        client,
        mask_dsn(dsn),
        database,
        embedded=embedded,
        patience_seconds=patience_seconds,
        waiting=waiting,
        outages=outages,
    )


def _split(dsn: str) -> SplitResult:
    """Check a DSN. What is wrong with it is not quoted: parts of a password may stand anywhere in it."""
    try:
        parts = urlsplit(dsn)
        if parts.scheme == "chdb":
            well_formed = not parts.netloc and len(parts.path) > 1
        else:
            well_formed = (
                parts.scheme in {"clickhouse", "clickhouses"}
                and bool(parts.hostname)
                and parts.port != 0
                and "@" not in parts.path + parts.query + parts.fragment
                and re.fullmatch(r"/?|/[A-Za-z_][A-Za-z0-9_]{0,63}", parts.path) is not None
            )
    except ValueError:
        well_formed = False
    if not well_formed:
        raise ConfigurationError(
            "C360_CLICKHOUSE_DSN is malformed",
            f"write {_DSN_FORM}; / ? # @ : in a password are written %2F %3F %23 %40 %3A",
        )
    return parts


def _open_server(dsn: str, parts: SplitResult) -> Client:
    for option, value in parse_qsl(parts.query):
        # The driver's error would not name the file.
        if option in _FILE_OPTIONS and value != "certifi" and not os.access(value, os.R_OK):
            raise ConfigurationError(f"cannot read {value}, {option} in C360_CLICKHOUSE_DSN", "name another file")
    try:
        client: Any = clickhouse_connect.get_client(
            # Without its path: the driver cannot connect to a database that is still to be made.
            dsn=parts._replace(path="").geturl(),
            secure=parts.scheme == "clickhouses",
            client_name="c360-stream",
            connect_timeout=5,
            send_receive_timeout=60,
            tz_mode="aware",
            # A session would be locked by a request that timed out here but still runs there.
            autogenerate_session_id=False,
        )
        client.http = AnswersOfClickHouse(client.http)
        return cast(Client, client)
    except DriverError as error:
        raise refusal(mask_dsn(dsn), error) from error
    except (TypeError, ValueError) as error:
        options = "the client does not know an option, or its value, in the query of C360_CLICKHOUSE_DSN"
        raise ConfigurationError(options, "see the arguments of clickhouse_connect.get_client") from error


def _open_embedded(dsn: str, directory: Path) -> Client:
    if find_spec("chdb") is None:
        raise ConfigurationError(
            f"{dsn}: the embedded database is not installed (the container image leaves it out)",
            "set C360_CLICKHOUSE_DSN to a ClickHouse server's, or install chdb",
        )
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        if all(_EMBEDDED_ENTRY.fullmatch(entry.name) for entry in directory.iterdir()):
            keep_private(directory, "directory of the embedded database")
        if (holder := lock_holder(directory)) not in (None, os.getpid()):
            raise TransportError(
                f"process {holder} has {directory} open",
                "stop it (an embedded database serves one process at a time), or use a ClickHouse server",
            )
        client = clickhouse_connect.get_client(dsn=dsn, tz_mode="aware")
        restore_faulthandler()
        return client
    except OSError as error:
        raise TransportError(
            f"cannot use the directory {directory}: {error.strerror}", "name another in C360_CLICKHOUSE_DSN"
        ) from error
    except DriverError as error:
        if "already initialized with path" in str(error):
            raise TransportError(
                f"cannot open {directory}: this process has another embedded database open", "close that one first"
            ) from error
        raise refusal(str(directory), error) from error


def lock_holder(directory: Path) -> int | None:
    """Id of the process that has the embedded database open, from the lock that chDB keeps on its status file.

    Checked first, because chDB writes the reason why it cannot lock only to the process's standard error.
    """
    try:
        with (directory / "status").open("rb") as status:
            try:
                fcntl.flock(status, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                written = re.match(rb"PID: (\d+)", status.read())
                return int(written[1]) if written else 0
    except FileNotFoundError:
        pass
    return None
