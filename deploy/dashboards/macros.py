"""Queries as Grafana sends them: macros and variables replaced, to run them without Grafana."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

_TIME_FILTER = re.compile(r"\$__timeFilter\((\w+(?:\.\w+)?)\)")
_LEFT = re.compile(r"\$\{?\w+")


def expanded(
    text: str,
    start: datetime,
    end: datetime,
    variables: Mapping[str, str],
    *,
    interval: timedelta = timedelta(seconds=15),
    rate_interval: timedelta = timedelta(seconds=60),
) -> str:
    """A query with every macro and variable replaced.

    Parameters
    ----------
    start, end
        The time range, aware.
    variables
        Value of each variable, `Dashboard.defaults` for example.
    interval, rate_interval
        What `$__interval` and `$__rate_interval` stand for; Grafana takes them from the range and the scrape interval.

    Raises
    ------
    ValueError
        If anything is left that Grafana would have to replace.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2025, 3, 1, tzinfo=UTC)
    >>> expanded("WHERE $__timeFilter(as_of) AND tier = '$tier'", day, day, {"tier": "high"})
    "WHERE as_of >= toDateTime(1740787200) AND as_of <= toDateTime(1740787200) AND tier = 'high'"
    """
    since, until = (f"toDateTime({int(moment.timestamp())})" for moment in (start, end))
    text = _TIME_FILTER.sub(rf"\1 >= {since} AND \1 <= {until}", text)
    values = {
        "__fromTime": since,
        "__toTime": until,
        "__rate_interval": _seconds(rate_interval),
        "__range": _seconds(end - start),
        "__interval": _seconds(interval),
        **variables,
    }
    for name, value in values.items():
        text = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", lambda _, value=value: value, text)  # type: ignore[misc]
    if left := _LEFT.search(text):
        raise ValueError(f"{left[0]} stands for nothing in: {text}")
    return text


def _seconds(span: timedelta) -> str:
    return f"{max(1, int(span.total_seconds()))}s"
