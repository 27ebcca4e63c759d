"""For how long the table `dead_letters` keeps its rows."""

from __future__ import annotations

import re

from c360_stream.connectors.clickhouse.migrations import Database

_ENGINE = "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'dead_letters'"
# `c360 verify` has to know which events the flow refused for their time.
_WHERE = "WHERE exception_message NOT LIKE 'occurred_at: %'"
_OURS = re.compile(r" TTL toDateTime\(stored_at\) \+ toIntervalDay\((\d+)\) " + re.escape(_WHERE) + "(?= SETTINGS|$)")


def letter_retention_days(database: Database) -> int | None:
    """Days after which rows are deleted; 0: never.

    None if somebody has made it another kind of table, or given it a rule of another form.

    Raises
    ------
    TransportError
        As `TableStore.query`.
    """
    engine = "".join(row["engine_full"] for row in database.query(_ENGINE))
    if ours := _OURS.search(engine):
        return int(ours[1])
    return 0 if "MergeTree" in engine and " TTL " not in engine else None


def set_letter_retention(database: Database, days: int) -> bool:
    """Have rows deleted so many days after they were stored, 0: never; return whether that was a change.

    A rule of another form is left as it is. Rows that are older go with the next merges, within hours.

    Raises
    ------
    TransportError
        As `TableStore.query`.
    """
    if letter_retention_days(database) in (days, None):
        return False
    change = f"MODIFY TTL toDateTime(stored_at) + INTERVAL {days:d} DAY DELETE {_WHERE}" if days else "REMOVE TTL"
    database.command(f"ALTER TABLE dead_letters {change}")
    return True
