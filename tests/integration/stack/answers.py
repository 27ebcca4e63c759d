"""What the panels of the dashboards show: their queries, asked as Grafana asks them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deploy.dashboards.macros import expanded
from deploy.dashboards.panel import Dashboard, Query, Source
from tests.integration.stack.web import ClickHouse, Prometheus, Series

_SINCE = re.compile(r"now-(\d+)([smhdwMy])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "M": 30 * 86_400, "y": 365 * 86_400}
# Grafana's `$__rate_interval` is at least four times the scrape interval.
RATE_SCRAPES = 4


@dataclass(frozen=True)
class Rows:
    """Result of an SQL query."""

    columns: list[str]
    rows: list[list[Any]]


Answer = list[Series] | Rows


@dataclass(frozen=True)
class Observer:
    """Asks what dashboards ask, at one moment.

    Parameters
    ----------
    prometheus, tables
        The data sources.
    scrape
        How often Prometheus scrapes.
    since, now
        The time that Prometheus has seen, whatever a dashboard's own range: aware.
    """

    prometheus: Prometheus
    tables: ClickHouse
    scrape: timedelta
    since: datetime
    now: datetime

    def ask(self, dashboard: Dashboard, query: Query) -> Answer:
        """The answer to a query, with the variables' defaults.

        Raises
        ------
        QueryError
            If the data source refuses it.
        ValueError
            If it has a macro or variable that Grafana would not replace.
        """
        live = query.source is Source.PROMETHEUS
        since = self.since if live else self.now - range_of(dashboard.since)
        rate = RATE_SCRAPES * self.scrape
        text = expanded(query.text, since, self.now, dashboard.defaults, interval=self.scrape, rate_interval=rate)
        if not live:
            return Rows(*self.tables.rows(text))
        end = self.now.timestamp()
        if query.instant:
            return self.prometheus.instant(text, end)
        return self.prometheus.over(text, since.timestamp(), end, self.scrape.total_seconds())


def has_data(answer: Answer) -> bool:
    """Whether there is anything to show: a number, or a row with anything but nothing in it."""
    if isinstance(answer, Rows):
        return any(value is not None for row in answer.rows for value in row[1:] or row)
    return any(series.values for series in answer)


def range_of(since: str) -> timedelta:
    """The length of Grafana's relative time range.

    >>> range_of("now-6h")
    datetime.timedelta(seconds=21600)
    """
    found = _SINCE.fullmatch(since)
    if found is None:
        raise ValueError(f"no time range: {since}")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
