"""What a panel draws: named and coloured series, from the answers to its queries."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl

from deploy.dashboards.panel import Field, Panel, Query, Shape
from tests.integration.stack.answers import Answer, Rows, moment, number
from tests.integration.stack.web import Series

# Told apart by people with any of the common colour blindnesses: Okabe and Ito, "Color Universal Design", 2008.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A800")
# Grafana's names.
NAMED = {
    "green": "#2E9E5B",
    "red": "#D0393E",
    "yellow": "#D9A400",
    "orange": "#E8792B",
    "blue": "#3274C8",
    "purple": "#8F5BC2",
    "gray": "#8A8A8A",
}
SHADES = {"dark": 0.75, "light": 1.15}
UNIMPORTANT_LABELS = ("__name__", "job")


@dataclass(frozen=True)
class Line:
    """A series: values at times, or at places on an axis of names if it has no times."""

    name: str
    values: list[float]
    times: list[datetime]
    colour: str = ""
    dashed: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is no number in it."""
        return all(math.isnan(value) for value in self.values)


def lines_of(panel: Panel, answers: Sequence[Answer]) -> list[Line]:
    """Every series of a panel in which there is a number, named and coloured as its fields say."""
    found: list[Line] = []
    for query, answer in zip(panel.queries, answers, strict=True):
        found += _of_rows(query, answer) if isinstance(answer, Rows) else _of_series(query, answer)
    return _styled(panel, [line for line in found if not line.is_empty])


def bars_of(panel: Panel, rows: Rows) -> tuple[list[str], list[Line]]:
    """Names along the axis, and a series for each column with numbers."""
    places = [place for place in range(1, len(rows.columns)) if is_numeric(rows, place)]
    lines = [Line(rows.columns[place], [number(row[place]) for row in rows.rows], []) for place in places]
    return [str(row[0]) for row in rows.rows], _styled(panel, lines)


def is_numeric(rows: Rows, place: int) -> bool:
    """Whether a column holds numbers, or nothing."""
    return all(row[place] is None or isinstance(row[place], int | float) for row in rows.rows)


def colour_of(name: str) -> str:
    """A colour that Grafana has a name for, in a shade that goes with the others.

    >>> colour_of("blue"), colour_of("dark-blue"), colour_of("#123456")
    ('#3274C8', '#265796', '#123456')
    """
    if name in NAMED or name.startswith("#"):
        return NAMED.get(name, name)
    shade, _, plain = name.rpartition("-")
    red, green, blue = (min(1.0, part * SHADES[shade]) for part in mpl.colors.to_rgb(NAMED[plain]))
    return str(mpl.colors.to_hex((red, green, blue)))


def legend(query: Query, labels: dict[str, str]) -> str:
    """Name of a series of Prometheus's."""
    if query.legend:
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), query.legend)
    return ", ".join(value for name, value in labels.items() if name not in UNIMPORTANT_LABELS)


def _styled(panel: Panel, lines: Sequence[Line]) -> list[Line]:
    fields = {each.name: each for each in panel.fields}
    found = []
    for place, line in enumerate(lines):
        style = fields.get(line.name, Field(line.name, line.name))
        colour = colour_of(style.colour) if style.colour else PALETTE[place % len(PALETTE)]
        found.append(replace(line, name=style.title, colour=colour, dashed=style.dashed))
    return found


def _of_series(query: Query, answer: Sequence[Series]) -> list[Line]:
    return [
        Line(legend(query, series.labels), series.values, [datetime.fromtimestamp(time, UTC) for time in series.times])
        for series in answer
    ]


def _of_rows(query: Query, answer: Rows) -> list[Line]:
    if query.shape is Shape.LONG:
        return _of_long_rows(answer.rows)
    times = [moment(row[0]) for row in answer.rows]
    return [
        Line(name, [number(row[place]) for row in answer.rows], times)
        for place, name in enumerate(answer.columns[1:], 1)
    ]


def _of_long_rows(rows: Sequence[list[Any]]) -> list[Line]:
    lines: dict[str, Line] = {}
    for time, *pair in rows:
        name, value = pair if isinstance(pair[0], str) else reversed(pair)
        line = lines.setdefault(name, Line(name, [], []))
        line.times.append(moment(time))
        line.values.append(number(value))
    return list(lines.values())
