"""Panels of the kinds that there are most of; what else they take is as in `Panel`."""

from __future__ import annotations

from typing import Any

from deploy.dashboards.panel import Field, Kind, Panel, Query, Shape, promql, sql

_STAT_SIZE = {"width": 4, "height": 5}


def promql_stat(title: str, description: str, unit: str, query: str, **more: Any) -> Panel:
    """One number of Prometheus, of a size for the first row of a dashboard."""
    return Panel(title, description, unit, Kind.STAT, (promql(query),), **{**_STAT_SIZE, **more})


def sql_stat(title: str, description: str, unit: str, query: str, **more: Any) -> Panel:
    """One number or word of ClickHouse, of a size for the first row of a dashboard."""
    return Panel(title, description, unit, Kind.STAT, (sql(query),), **{**_STAT_SIZE, "base_colour": "blue", **more})


def promql_lines(title: str, description: str, unit: str, *queries: Query, **more: Any) -> Panel:
    """Time series of Prometheus."""
    return Panel(title, description, unit, Kind.TIME_SERIES, queries, **more)


def sql_lines(title: str, description: str, unit: str, query: str, fields: tuple[Field, ...], **more: Any) -> Panel:
    """Time series of ClickHouse, a column each."""
    return Panel(title, description, unit, Kind.TIME_SERIES, (sql(query, Shape.WIDE),), fields, **more)
