"""What of a setting may be shown to a person."""

from __future__ import annotations

import re


def mask_dsn(dsn: str) -> str:
    """Show a DSN without its password or query, even one whose password is not escaped.

    >>> mask_dsn("clickhouse://bob:hunter2@db:8123/c360?token=x")
    'clickhouse://bob:***@db:8123/c360'
    >>> mask_dsn("clickhouse://bob:hun/t@er?2@db/c360")
    'clickhouse://bob:***@db/c360'
    """
    scheme, _, rest = dsn.partition("://")
    credentials, at, place = rest.rpartition("@")
    user = credentials.partition(":")[0]
    return f"{scheme}://{f'{user}:***@' if at else ''}{re.split('[?#]', place)[0]}"
