"""The tables: inserts and queries, repeated while their failure may pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from c360_stream.connectors.clickhouse.migrations import Migration, applied_checksums, apply, load_migrations
from c360_stream.connectors.clickhouse.patience import TablePatience
from c360_stream.connectors.clickhouse.refusals import ABSENT_CODES
from c360_stream.connectors.clickhouse.repeats import rows_not_stored
from c360_stream.connectors.clickhouse.tables import Column, arrow_table
from c360_stream.connectors.outages import Outages
from c360_stream.connectors.ports import Waiting, wait_patiently
from c360_stream.errors import TransportError
from c360_stream.logs.events import ROWS_STORED_AGAIN

# Rows come in batches already, and a token must be settled when the insert returns. A back-fill of many years may
# touch more months at once than the server's default of 100 partitions.
_INSERT_SETTINGS = {"async_insert": 0, "max_partitions_per_insert_block": 0}

Answer = TypeVar("Answer")


class TableStore:
    """The tables of `schemas/clickhouse`, in one database. Get one from `connection.connect`.

    Parameters
    ----------
    client
        Connected; this closes it.
    place
        The database in messages: its DSN without the password.
    database
        An identifier; it need not exist yet.
    embedded
        Whether this is chDB.
    patience_seconds
        How long to repeat a call, from its first failure on, while the server is away, overloaded or full.
    waiting
        Called meanwhile.
    outages
        Of all clients that log an outage as one. None: this one's alone.
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
        outages: Outages | None = None,
    ) -> None:
        self._client = client
        self._client.database = database
        self._place = place
        self._database = database
        self._embedded = embedded
        self._patience_seconds = patience_seconds
        self._waiting = waiting
        self._outage = (outages or Outages()).of(place)

    def insert(self, table: str, columns: Mapping[str, Column], token: str | None = None) -> int:
        """Append rows, whole or not at all, and return how many.

        Parameters
        ----------
        table
            A name in `tables.TABLES`.
        columns
            Every column of the table, equally long. Times are integers of microseconds since the epoch, and are
            stored to the millisecond below; NaN and None are null; `reasons` has a list of (feature, value,
            contribution, text) per row, or is made by `nested`; `headers` a list of (name, bytes) per row.
        token
            Names the batch: a second insert of it changes nothing, even after a long time or a crash. This holds within
            the table's last 1,000 parts; an insert makes one for each month that its rows have. (On a replicated table
            the server's own window holds, which is also one of time.) The rows must be the same in the same order.

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
                    refused = f"{self._place} reports that it has written {written} of {lost.num_rows} rows of {table}"
                    raise TransportError(refused, "see the server's log; nothing is lost: start again once it is fixed")
        return int(rows.num_rows)

    def _append(self, table: str, rows: pa.Table, token: str | None) -> tuple[int, int]:
        """Insert; return how many attempts that took, and how many rows the server reports as written."""
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
            With `{name:Type}` where a parameter belongs: the server binds it. Strings that are
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
        """Run a statement that returns no rows and is safe to repeat; parameters and errors as for `query`."""
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
            if getattr(error.__cause__, "code", None) in ABSENT_CODES:
                return 0
            raise

    def schema_expected(self) -> int:
        """Number of the newest migration that this code has."""
        return load_migrations()[-1].number

    def close(self) -> None:
        """Release the connection; another process may then open an embedded database."""
        self._client.close()

    def _create_database(self) -> None:
        # Checked first, since a user without the right to create databases can still own an existing one.
        self._client.database = None
        try:
            if not self.query("SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": self._database}):
                self.command(f"CREATE DATABASE IF NOT EXISTS {self._database}")
        finally:
            self._client.database = self._database

    def _alias_tables(self) -> None:
        """Show the tables in database `default`, too, where the plain client looks for them."""
        tables = self.query("SELECT name FROM system.tables WHERE database = {name:String}", {"name": self._database})
        for table in sorted(row["name"] for row in tables):
            self.command(f"CREATE TABLE IF NOT EXISTS default.{table} ENGINE = Alias({self._database}, {table})")

    def _attempt(self, what: str, call: Callable[[], Answer]) -> Answer:
        """Call, and repeat the call while its failure may pass: every call here is safe to repeat."""
        place, seconds_max = self._place, self._patience_seconds
        patience = TablePatience(what, place, self._outage, self, seconds_max=seconds_max, waiting=self._waiting)
        try:
            answer = patience.run(call, patience.refusal)
            self._outage.over(self)
            return answer
        finally:
            self._outage.given_up(self)
