"""Panels by what they draw: queries, and the fields of what they give. What else they take is as in `Panel`."""

from __future__ import annotations

from typing import Any

from deploy.dashboards.panel import Field, Kind, Panel, Query, Shape, promql, sql

_STAT_SIZE = {"width": 4, "height": 5}


def promql_stat(title: str, description: str, unit: str, query: str, **more: Any) -> Panel:
    """One number of Prometheus, of a size for the first row of a dashboard."""
    return _panel(Kind.STAT, title, description, unit, promql(query), **{**_STAT_SIZE, **more})


def sql_stat(title: str, description: str, unit: str, query: str, **more: Any) -> Panel:
    """One number or word of ClickHouse, of a size for the first row of a dashboard."""
    return _panel(Kind.STAT, title, description, unit, sql(query), **{**_STAT_SIZE, "base_colour": "blue", **more})


def lines(title: str, description: str, unit: str, *content: Query | Field, **more: Any) -> Panel:
    """Time series."""
    return _panel(Kind.TIME_SERIES, title, description, unit, *content, **more)


def table(title: str, description: str, unit: str, *content: Query | Field, **more: Any) -> Panel:
    """Rows of a query, with a field a column."""
    return _panel(Kind.TABLE, title, description, unit, *content, **more)


def bars(title: str, description: str, unit: str, *content: Query | Field, **more: Any) -> Panel:
    """Bars along the first field, one for each of the others."""
    return _panel(Kind.BARS, title, description, unit, *content, **more)


def wide(text: str) -> Query:
    """A query to ClickHouse that gives the time first, then one column per series."""
    return sql(text, Shape.WIDE)


def long(text: str) -> Query:
    """A query to ClickHouse that gives the time, the name of a series, and a number."""
    return sql(text, Shape.LONG)


def _panel(kind: Kind, title: str, description: str, unit: str, *content: Query | Field, **more: Any) -> Panel:
    queries = tuple(each for each in content if isinstance(each, Query))
    fields = tuple(each for each in content if isinstance(each, Field))
    return Panel(title, description, unit, kind, queries, fields, **more)
