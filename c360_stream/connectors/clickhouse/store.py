"""The tables: a ClickHouse server, or chDB in this process, through one client."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import SplitResult, parse_qsl, urlsplit

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error as DriverError
from clickhouse_connect.driver.exceptions import OperationalError, ProgrammingError

from c360_stream.connectors.clickhouse.answers import AnswersOfClickHouse
from c360_stream.connectors.clickhouse.migrations import Migration, applied_checksums, apply, load_migrations
from c360_stream.connectors.clickhouse.repeats import rows_not_stored
from c360_stream.connectors.clickhouse.tables import Column, arrow_table
from c360_stream.connectors.outages import outage_of
from c360_stream.connectors.ports import Waiting, wait_patiently
from c360_stream.errors import ConfigurationError, TransportError
from c360_stream.logs.crash_output import leave_stacks_again
from c360_stream.logs.events import ROWS_STORED_AGAIN
from c360_stream.settings import mask_dsn
from c360_stream.state.private_files import DIRECTORY_MODE, keep_private

# They warn of every connection that fails, the latter with all parameters of the query: accounts are among them.
for chatty in ("clickhouse_connect", "urllib3.connectionpool"):
    logging.getLogger(chatty).setLevel(logging.ERROR)

DATABASE = "c360"
RETRY_FIRST_SECONDS = 0.1
RETRY_MAX_SECONDS = 5.0
WAITING_SECONDS_MAX = 0.5

# Rows come in batches already, and a token must be settled when the insert returns. A back-fill of many years may
# touch more months at once than the server's default of 100 partitions.
_INSERT_SETTINGS = {"async_insert": 0, "max_partitions_per_insert_block": 0}

_ABSENT_CODES = {60, 81}  # UNKNOWN_TABLE, UNKNOWN_DATABASE
_FULL_CODES = {75, 243}  # CANNOT_WRITE_TO_FILE_DESCRIPTOR, NOT_ENOUGH_SPACE
_READ_ONLY_CODE = 164
# What passes, or an operator mends while we wait: timeouts, quotas, too many queries or connections, network trouble
# and names that do not resolve, a server that shuts down, tables read-only until Keeper is back, too many parts, no
# memory, replicas away, an insert whose fate is unknown, no disk space.
_TRANSIENT_CODES = {
    *(159, 173, 198, 201, 202, 203, 209, 210, 225, 236, 241, 242, 244, 252, 254, 279, 285, 286, 319, 394, 999),
    *_FULL_CODES,
}
_MENDS = {
    192: "check the user in C360_CLICKHOUSE_DSN",
    193: "check the password in C360_CLICKHOUSE_DSN",
    194: "put the password into C360_CLICKHOUSE_DSN",
    497: "grant the user of C360_CLICKHOUSE_DSN its database",
    516: "check user and password in C360_CLICKHOUSE_DSN",
    _READ_ONLY_CODE: "give the user of C360_CLICKHOUSE_DSN a profile that may write: readonly = 0",
    **dict.fromkeys(_ABSENT_CODES, "run `c360 setup`, which makes the tables"),
    **dict.fromkeys(_TRANSIENT_CODES, "the server is overloaded or recovering: see its log"),
    201: "raise the quota of the user of C360_CLICKHOUSE_DSN",
    **dict.fromkeys(_FULL_CODES, "free space on the disk of the database"),
}
_AWAY_MEND = "check that the server runs and that C360_CLICKHOUSE_DSN has its address"
_FILE_OPTIONS = {"ca_cert", "client_cert", "client_cert_key"}
_CERTIFICATE_MENDS = {  # by OpenSSL's verification result
    10: "renew it at the server",
    62: "write the host into C360_CLICKHOUSE_DSN as the certificate has it",
    64: "write the host into C360_CLICKHOUSE_DSN as the certificate has it",
}
# What chDB makes. A directory with anything else in it is somebody's, who chooses its mode.
_EMBEDDED_ENTRY = re.compile(
    r"data|metadata(_dropped)?|store|tmp|status|uuid|flags|cores|access|disks|caches|filesystem_caches|workload"
    r"|user_(files|defined|scripts)|format_schemas|preprocessed_configs|dictionaries_lib|named_collections"
    r"|\..*|lost\+found"
)
_DSN_FORM = "clickhouse://user:password@host:8123/c360, clickhouses://... or chdb:///path/c360"

T = TypeVar("T")


class TableStore:
    """The tables of `schemas/clickhouse`, in one database. Get one from `connect`.

    Parameters
    ----------
    client
        Connected; this closes it.
    place
        What messages call the database: its DSN without the password.
    database
        An identifier; it need not exist yet.
    embedded
        Whether this is chDB.
    patience_seconds
        For how long a call repeats itself, from its first failure on, while the server is away, overloaded or full.
    waiting
        Called while it does.
    """

    def __init__(
        self,
        client: Client,
        place: str,
        database: str,
        *,
        embedded: bool,
        patience_seconds: float,
        waiting: Waiting = wait_patiently,
    ) -> None:
        self._client = client
        self._client.database = database
        self._place = place
        self._database = database
        self._embedded = embedded
        self._patience_seconds = patience_seconds
        self._waiting = waiting
        self._outage = outage_of(place)

    def insert(self, table: str, columns: Mapping[str, Column], token: str | None = None) -> int:
        """Append rows, whole or not at all, and return how many.

        Parameters
        ----------
        table
            A name in `tables.TABLES`.
        columns
            Every column of the table, equally long. Times are integers of microseconds since the epoch, and are
            stored to the millisecond below; NaN and None are null; `reasons` has a list of (feature, value,
            contribution, text) a row, or is made by `nested`; `headers` a list of (name, bytes) a row.
        token
            Names the batch: a second insert of it changes nothing, however much time or how many crashes lie
            between, within the table's last 1,000 parts; an insert makes one for each month that its rows have.
            (On a replicated table the server's own window holds, which is also one of time.) The rows must be the
            same in the same order.

        Raises
        ------
        ValueError, TypeError
            If the columns do not fit the table.
        TransportError
            If the rows could not be stored within the store's patience.
        """
        return self.insert_rows(table, arrow_table(table, columns), token)

    def insert_rows(self, table: str, rows: pa.Table, token: str | None = None, *, repeated: bool = False) -> int:
        """Append rows in the form that `arrow_table` gives; token and errors as for `insert`.

        With `repeated`, whenever an attempt had failed, and if the server has written fewer rows than it was given,
        the rows are looked for afterwards: a database that was killed may know the token and not have the rows.
        """
        if not rows.num_rows:
            return 0
        # A token names the chunks of an insert: the server would not know rows again that are cut otherwise.
        rows = rows.combine_chunks()
        attempts, written = self._append(table, rows, token)
        if (token and (repeated or attempts > 1)) or written < rows.num_rows:
            lost = rows_not_stored(self.query, self._database, table, rows)
            if lost.num_rows:
                ROWS_STORED_AGAIN.log(place=self._place, table=table, rows=len(lost))
                _, written = self._append(table, lost.combine_chunks(), None)
                if written < lost.num_rows:
                    refused = f"{self._place} says that it has written {written} of {lost.num_rows} rows of {table}"
                    raise TransportError(
                        refused, "see the server's log; nothing is lost: start again once it is mended"
                    )
        return int(rows.num_rows)

    def _append(self, table: str, rows: pa.Table, token: str | None) -> tuple[int, int]:
        """Insert; return how many attempts that took, and how many rows the server says that it has written."""
        settings = _INSERT_SETTINGS | ({"insert_deduplication_token": token} if token else {})
        attempts = 0

        def attempt() -> int:
            nonlocal attempts
            attempts += 1
            summary = self._client.insert_arrow(table, rows, settings=settings)
            return rows.num_rows if self._embedded else summary.written_rows

        written = self._attempt(f"insert into {table}", attempt)
        return attempts, written

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a query as dictionaries; times are aware, in UTC.

        Parameters
        ----------
        sql
            With `{name:Type}` where a parameter belongs: the server binds it, nothing is pasted. Strings that are
            not UTF-8 come back as hexadecimal digits: ask for `hex(value)` to be sure of raw bytes.
        parameters
            Values by name.

        Raises
        ------
        TransportError
            If the database refused, or did not answer within the store's patience.
        """
        bound = dict(parameters) if parameters else None
        return self._attempt("query", lambda: list(self._client.query(sql, parameters=bound).named_results()))

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement that has no rows to show and is safe to repeat; parameters and errors as for `query`."""
        bound = dict(parameters) if parameters else None
        self._attempt(f"`{sql.strip().splitlines()[0]}`", lambda: self._client.command(sql, parameters=bound))

    def migrate(self, migrations: Sequence[Migration] | None = None) -> list[str]:
        """Bring the database to this code's schema and return the names of the migrations applied. Repeatable.

        Raises
        ------
        StateError
            If the database is newer than this code, or an applied migration was edited since.
        TransportError
            If the database refused.
        """
        self._create_database()
        applied = apply(self, load_migrations() if migrations is None else migrations)
        if self._embedded:
            self._alias_tables()
        return applied

    def schema_version(self) -> int:
        """Number of the newest migration that the database has; 0 if it has none."""
        try:
            return max(applied_checksums(self), default=0)
        except TransportError as error:
            if getattr(error.__cause__, "code", None) in _ABSENT_CODES:
                return 0
            raise

    def schema_expected(self) -> int:
        """Number of the newest migration that this code has."""
        return load_migrations()[-1].number

    def close(self) -> None:
        """Release the connection; another process may then open an embedded database."""
        self._client.close()

    def _create_database(self) -> None:
        # Looked for first, since a user who may not create databases can still own an existing one.
        self._client.database = None
        try:
            if not self.query("SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": self._database}):
                self.command(f"CREATE DATABASE IF NOT EXISTS {self._database}")
        finally:
            self._client.database = self._database

    def _alias_tables(self) -> None:
        """Let whoever opens the same DSN with the plain client, in database `default`, read the tables there."""
        tables = self.query("SELECT name FROM system.tables WHERE database = {name:String}", {"name": self._database})
        for table in sorted(row["name"] for row in tables):
            self.command(f"CREATE TABLE IF NOT EXISTS default.{table} ENGINE = Alias({self._database}, {table})")

    def _attempt(self, what: str, call: Callable[[], T]) -> T:
        """Call, and again while the trouble is one that passes: every call here is safe to repeat."""
        try:
            return self._attempts(what, call)
        finally:
            self._outage.given_up(self)

    def _attempts(self, what: str, call: Callable[[], T]) -> T:
        began: float | None = None
        pause_seconds = RETRY_FIRST_SECONDS
        while True:
            try:
                answer = call()
            except DriverError as error:
                refusal = _refusal(f"{what} at {self._place}", error)
                if not _is_transient(error):
                    raise refusal from error
                now = time.monotonic()
                if began is None:
                    if self._patience_seconds <= 0:
                        raise refusal from error
                    began = now
                self._outage.seen(self, f"{_refusal(what, error)}; trying again for up to {self._patience_seconds:g} s")
                left_seconds = began + self._patience_seconds - now
                if left_seconds <= 0:
                    tried = f"{refusal.what} (tried for {self._patience_seconds:g} s)"
                    raise TransportError(tried, refusal.mend) from error
                self._wait(error, min(pause_seconds, left_seconds))
                pause_seconds = min(2 * pause_seconds, RETRY_MAX_SECONDS)
            else:
                self._outage.over(self)
                return answer

    def _wait(self, error: DriverError, seconds: float) -> None:
        """Sleep in slices, saying at each why."""
        verb = "is away" if error.code is None else "refuses for now"
        reason = f"{self._place} {verb}: {_explained(error)[0]}"
        end = time.monotonic() + seconds
        while (left_seconds := end - time.monotonic()) > 0:
            self._waiting(reason)
            time.sleep(min(left_seconds, WAITING_SECONDS_MAX))


def connect(dsn: str, *, patience_seconds: float = 60.0, waiting: Waiting = wait_patiently) -> TableStore:
    """Open the tables' database. Whether it has the tables is for `TableStore.schema_version` to say.

    Parameters
    ----------
    dsn
        `clickhouse://user:password@host:8123/c360` (`clickhouses://` over TLS; options of the client may follow as
        a query), or `chdb:///path/c360`: a directory, made if absent, which one process at a time can open.
    patience_seconds
        For how long a later call repeats itself, from its first failure on, while the server is away, overloaded or
        full. Connecting never does.
    waiting
        Called at least once a second between such attempts, with the reason in words and without the password; what
        it raises ends the call. An attempt itself may take as long as the client's `send_receive_timeout`, 60 s.

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
        client, mask_dsn(dsn), database, embedded=embedded, patience_seconds=patience_seconds, waiting=waiting
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
        raise _refusal(mask_dsn(dsn), error) from error
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
        leave_stacks_again()
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
        raise _refusal(str(directory), error) from error


def lock_holder(directory: Path) -> int | None:
    """Id of the process that has the embedded database open, from the lock that chDB keeps on its status file.

    Looked at first, because chDB itself says why it cannot lock only on the process's standard error.
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


def _is_transient(error: DriverError) -> bool:
    if error.code is not None:
        return error.code in _TRANSIENT_CODES
    # Without a code it never was ClickHouse that answered: the network, or a proxy on the way.
    return isinstance(error, OperationalError) or "HTTP status 50" in str(error)


def _refusal(where: str, error: DriverError) -> TransportError:
    """Say in one line what the driver says in many."""
    reason, mend = _explained(error)
    return TransportError(f"{where}: {reason}", mend)


def _explained(error: DriverError) -> tuple[str, str]:
    """The reason, and how to mend it."""
    if error.code is None and isinstance(error, OperationalError):
        root: BaseException = error
        while root.__cause__ or root.__context__:
            root = root.__cause__ or root.__context__ or root
        if isinstance(root, ssl.SSLCertVerificationError):
            authority = "name the file of its authority in C360_CLICKHOUSE_DSN: ?ca_cert=/path/ca.pem"
            mend = _CERTIFICATE_MENDS.get(root.verify_code, authority)
            return f"the server's certificate is refused: {root.verify_message.rstrip('.')}", mend
        reason, mend = str(root), _AWAY_MEND
        if isinstance(root, ssl.SSLError):
            of_files = "check the files of certificates and keys in C360_CLICKHOUSE_DSN"
            mend = "check that the server speaks TLS at this port" if root.library == "SSL" else of_files
    else:
        reason = str(error).rpartition("DB::Exception: ")[2]
        # The driver itself refuses to send a setting that the user's profile has made read-only.
        refused_here = isinstance(error, ProgrammingError) and "readonly" in reason
        mend = _MENDS.get(_READ_ONLY_CODE if refused_here else error.code or 0, "")
    return re.split(r"\n| \(for url | \(version |, Stack trace", reason)[0].strip()[:300], mend
