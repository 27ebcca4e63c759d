"""Numbered SQL files that bring a database to the schema this code expects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from c360_stream.errors import StateError

# Beside the package in a source checkout and in an installed one alike.
DIRECTORY = Path(__file__).parents[3] / "schemas" / "clickhouse"

_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)

_RECORD_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version    UInt32,
    name       String,
    checksum   String COMMENT 'SHA-256 of the file that was applied',
    applied_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY version
"""
_RECORD = "INSERT INTO schema_migrations SELECT {version:UInt32}, {name:String}, {checksum:String}, now64(3)"


class Database(Protocol):
    """What migrations need of a database: `connectors.clickhouse.TableStore` is one."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a query."""

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: statements that can be repeated, since a crash may come between them and their record."""

    number: int
    name: str
    checksum: str
    statements: tuple[str, ...]

    @classmethod
    def parse(cls, name: str, text: str) -> Migration:
        r"""Split a file into its statements, each of which ends in a semicolon at the end of a line.

        >>> Migration.parse("0007_more.sql", "-- why; and how;\nSELECT ';' AS a;\nSELECT 2;\n").statements
        ("SELECT ';' AS a", 'SELECT 2')
        """
        bare = _COMMENT.sub("", text)
        statements = (statement.strip() for statement in _STATEMENT_END.split(bare))
        return cls(
            number=int(name[:4]),
            name=name,
            checksum=hashlib.sha256(text.encode()).hexdigest(),
            statements=tuple(statement for statement in statements if statement),
        )


def load_migrations(directory: Path = DIRECTORY) -> tuple[Migration, ...]:
    """Read the migrations of a directory, ascending.

    Raises
    ------
    StateError
        If there are none, or their numbers are not 1, 2, 3, ...
    """
    files = sorted(path for path in directory.glob("*.sql") if _FILE_NAME.fullmatch(path.name))
    # Text mode: a checkout with other line ends has the same checksums.
    migrations = tuple(Migration.parse(path.name, path.read_text("utf-8")) for path in files)
    if not migrations or [m.number for m in migrations] != list(range(1, len(migrations) + 1)):
        raise StateError(
            f"{directory} does not hold migrations 0001, 0002, ... without a gap", "install the package again"
        )
    return migrations


def pending(migrations: Sequence[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """The migrations to apply, in order, to a database that has `applied` (number -> checksum).

    Raises
    ------
    StateError
        If the database is newer than `migrations`, or one that it has applied was edited since.
    """
    known = {migration.number: migration for migration in migrations}
    if newer := set(applied) - set(known):
        raise StateError(
            f"the database's schema is version {max(newer)}, this code's is {max(known)}",
            "upgrade c360-stream, or use the database of this version",
        )
    for number, checksum in sorted(applied.items()):
        if checksum != known[number].checksum:
            raise StateError(
                f"{known[number].name} is not the file that was applied to the database",
                "restore it, and put the change into a new migration",
            )
    return [migration for migration in migrations if migration.number not in applied]


def applied_checksums(database: Database) -> dict[int, str]:
    """The migrations that a database lists as applied: number -> checksum."""
    rows = database.query("SELECT version, checksum FROM schema_migrations FINAL")
    return {row["version"]: row["checksum"] for row in rows}


def apply(database: Database, migrations: Sequence[Migration]) -> list[str]:
    """Apply what is pending, recording each file once its statements ran; return their names. Raises as `pending`."""
    database.command(_RECORD_TABLE)
    todo = pending(migrations, applied_checksums(database))
    for migration in todo:
        for statement in migration.statements:
            database.command(statement)
        database.command(_RECORD, {"version": migration.number, "name": migration.name, "checksum": migration.checksum})
    return [migration.name for migration in todo]
