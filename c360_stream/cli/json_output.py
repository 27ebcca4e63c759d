"""What `--json` prints: one JSON object on stdout, on one line, and nothing else there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime

import click


def print_json(value: Mapping[str, object]) -> None:
    r"""Print one object. Times become RFC 3339 in UTC; a number that is none (NaN, infinity) becomes null.

    Only ASCII is written, so that no identifier from outside can drive a terminal and any encoding of stdout will do.

    >>> print_json({"account_id": "株\x1b", "risk": math.nan, "as_of": datetime(2025, 6, 30, tzinfo=UTC)})
    {"account_id": "\u682a\u001b", "risk": null, "as_of": "2025-06-30T00:00:00.000Z"}
    """
    click.echo(json.dumps(_plain(value), allow_nan=False))


def _plain(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value
