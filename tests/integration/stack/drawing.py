"""Panels of the dashboards as matplotlib draws them: one function a kind of panel."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from deploy.dashboards.panel import Field, Kind, Panel, Query, Shape
from tests.integration.stack.answers import Answer, Rows, moment, number
from tests.integration.stack.units import written
from tests.integration.stack.web import Series

# Told apart by people with any of the common colour blindnesses: Okabe and Ito, "Color Universal Design", 2008.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A800")
NAMED = {
    "green": "#2E9E5B",
    "red": "#D0393E",
    "yellow": "#D9A400",
    "orange": "#E8792B",
    "blue": "#3274C8",
    "purple": "#8F5BC2",
    "text": "#444444",
    "gray": "#8A8A8A",
    "grey": "#8A8A8A",
}
SHADES = {"dark": 0.75, "semi-dark": 0.88, "light": 1.15, "super-light": 1.3}
INK, FAINT = "#333333", "#8A8A8A"
LEGEND_LINES_MAX, LEGEND_CHARACTERS, TABLE_ROWS_MAX, STAT_ENTRIES_MAX = 3, 68, 7, 4
TITLE_CHARACTERS, STAT_TITLE_CHARACTERS = 52, 23
# Distances of ticks that people count time by, in seconds.
ROUND_SECONDS = (*(round(1 * 10**power, 9) for power in range(-6, 1)), 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass
class Line:
    """A series to draw: times, values, and how it looks."""

    name: str
    times: list[datetime]
    values: list[float]
    colour: str = ""
    dashed: bool = False
    unit: str = ""
    styled: bool = field(default=False)


def draw(panel: Panel, answers: Sequence[Answer], axes: Any) -> None:
    """Draw a panel's answers, one a query, with its question as the title."""
    stat = panel.kind is Kind.STAT
    title = "\n".join(textwrap.wrap(panel.title, STAT_TITLE_CHARACTERS if stat else TITLE_CHARACTERS))
    style = {"fontsize": 8.5, "y": 1.0, "va": "top"} if stat else {"fontsize": 10, "fontweight": "bold"}
    axes.set_title(title, loc="left", color=INK, **style)
    drawn: dict[Kind, Callable[[Panel, Sequence[Answer], Any], bool]] = {
        Kind.STAT: _stat,
        Kind.TIME_SERIES: _time_series,
        Kind.TABLE: _table,
        Kind.BARS: _bars,
    }
    if not drawn[panel.kind](panel, answers, axes):
        _blank(axes)
        axes.text(0.5, 0.5, panel.no_value or "no data", ha="center", va="center", color=FAINT, transform=axes.transAxes)


def colour(name: str, otherwise: str) -> str:
    """Grafana's colour, in a shade that goes with the others."""
    if name.startswith("#"):
        return name
    shade, _, plain = name.rpartition("-")
    rgb = mpl.colors.to_rgb(NAMED.get(plain, otherwise))
    factor = SHADES.get(shade, 1.0)
    return str(mpl.colors.to_hex([min(1.0, part * factor) for part in rgb]))


def lines_of(panel: Panel, answers: Sequence[Answer]) -> list[Line]:
    """Every series of a panel, named and coloured as its fields say."""
    found: list[Line] = []
    for query, answer in zip(panel.queries, answers, strict=True):
        found += _of_rows(query, answer) if isinstance(answer, Rows) else _of_series(query, answer)
    fields = {each.name: each for each in panel.fields}
    for place, line in enumerate(found):
        style = fields.get(line.name, Field(line.name, line.name))
        line.colour = colour(style.colour, PALETTE[place % len(PALETTE)]) if style.colour else PALETTE[place % len(PALETTE)]
        line.name, line.dashed, line.unit = style.title, style.dashed, style.unit or panel.unit
    return found


def _of_series(query: Query, answer: Sequence[Series]) -> list[Line]:
    named = [(_legend(query.legend, series.labels), series) for series in answer if series.values]
    times = [[datetime.fromtimestamp(time, UTC) for time in series.times] for _, series in named]
    return [Line(name, when, series.values) for (name, series), when in zip(named, times, strict=True)]


def _legend(template: str, labels: dict[str, str]) -> str:
    if not template:
        return ", ".join(value for name, value in labels.items() if name not in ("__name__", "job")) or "value"
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), template)


def _of_rows(query: Query, answer: Rows) -> list[Line]:
    if query.shape is Shape.LONG:
        label, value = (
            place for place in (1, 2)
        ) if answer.rows and isinstance(answer.rows[0][1], str) and not _is_number(answer.rows[0][1]) else (2, 1)
        lines: dict[str, Line] = {}
        for row in answer.rows:
            line = lines.setdefault(str(row[label]), Line(str(row[label]), [], []))
            line.times.append(moment(row[0]))
            line.values.append(number(row[value]))
        return list(lines.values())
    times = [moment(row[0]) for row in answer.rows]
    return [
        Line(name, times, [number(row[place]) for row in answer.rows])
        for place, name in enumerate(answer.columns)
        if place
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _time_series(panel: Panel, answers: Sequence[Answer], axes: Any) -> bool:
    lines = [line for line in lines_of(panel, answers) if any(not math.isnan(value) for value in line.values)]
    if not lines:
        return False
    if panel.bars or panel.stacked:
        _stack(panel, lines, axes)
    else:
        for line in lines:
            style = "--" if line.dashed else "-"
            dots = "o" if len(line.times) < 3 else None
            axes.plot(line.times, line.values, style, marker=dots, ms=3, color=line.colour, lw=1.3, label=line.name)
    for threshold in panel.thresholds:
        low, high = axes.get_ylim()
        if low <= threshold.value <= high:
            axes.axhline(threshold.value, color=colour(threshold.colour, INK), lw=0.8, ls=":")
    _scale(panel, axes)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator(), show_offset=False))
    _legend_below(axes, lines)
    return True


def _stack(panel: Panel, lines: list[Line], axes: Any) -> None:
    times = sorted({time for line in lines for time in line.times})
    columns = [dict(zip(line.times, line.values, strict=True)) for line in lines]
    heights = [[_or_zero(column.get(time)) for time in times] for column in columns]
    if panel.as_share:
        sums = [sum(column) or 1.0 for column in zip(*heights, strict=True)]
        heights = [[value / total for value, total in zip(row, sums, strict=True)] for row in heights]
    if not panel.bars:
        axes.stackplot(times, heights, colors=[line.colour for line in lines], labels=[line.name for line in lines], alpha=0.75)
        return
    steps = sorted(later - earlier for earlier, later in zip(times, times[1:], strict=False))
    width = (steps[len(steps) // 2] if steps else None) or 0.8
    base = [0.0] * len(times)
    for line, row in zip(lines, heights, strict=True):
        axes.bar(times, row, width=width * 0.85, bottom=base if panel.stacked else None, color=line.colour, label=line.name)
        base = [low + value for low, value in zip(base, row, strict=True)]


def _or_zero(value: float | None) -> float:
    return 0.0 if value is None or math.isnan(value) else value


def _scale(panel: Panel, axes: Any) -> None:
    """Units on the value axis, and its bounds."""
    if panel.minimum is not None:
        axes.set_ylim(bottom=panel.minimum)
    if panel.maximum is not None:
        axes.set_ylim(top=panel.maximum)
    unit = "percentunit" if panel.as_share else panel.unit
    axes.yaxis.set_major_locator(_ticks(axes.get_ylim(), unit))
    axes.yaxis.set_major_formatter(lambda value, _: written(value, unit))
    axes.tick_params(labelsize=8, colors=INK, length=2)


def _ticks(bounds: tuple[float, float], unit: str) -> Any:
    span = bounds[1] - bounds[0]
    if unit == "s" and span / 6 < ROUND_SECONDS[-1]:
        return mpl.ticker.MultipleLocator(next(step for step in ROUND_SECONDS if span / step <= 6))
    return mpl.ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])


def _legend_below(axes: Any, lines: Sequence[Line]) -> None:
    handles, names = axes.get_legend_handles_labels()
    if not names or (len(names) == 1 and names[0] == "value"):
        return
    columns = max(1, LEGEND_CHARACTERS // (max(len(name) for name in names) + 6))
    shown = names[: columns * LEGEND_LINES_MAX]
    if len(names) > len(shown):
        shown[-1] = f"and {len(names) - len(shown) + 1} more"
    axes.legend(
        handles[: len(shown)], shown, loc="upper left", bbox_to_anchor=(-0.02, -0.13), ncols=min(columns, len(shown)),
        fontsize=7.5, handlelength=1.2, columnspacing=1.2, labelspacing=0.25, borderaxespad=0.0,
    )


def _stat(panel: Panel, answers: Sequence[Answer], axes: Any) -> bool:
    _blank(axes)
    entries = [(name, value if panel.text else number(value)) for name, value in _values(panel, answers)]
    for place, (name, value) in enumerate(entries[:STAT_ENTRIES_MAX]):
        shown = value if panel.text else written(value, panel.unit, panel.decimals)
        alone = len(entries) == 1
        size = min(20.0, 190 / len(shown)) if alone else 12
        height = 0.25 if alone else 0.85 - place * 0.85 / min(len(entries), STAT_ENTRIES_MAX)
        style = {"va": "center", "transform": axes.transAxes}
        axes.text(0, height, shown, fontsize=size, fontweight="bold", color=_judged(panel, value), **style)
        if not alone:
            axes.text(1, height, name, fontsize=8, color=FAINT, ha="right", **style)
    return bool(entries)


def _values(panel: Panel, answers: Sequence[Answer]) -> list[tuple[str, Any]]:
    """Name and newest value of what a stat shows."""
    found: list[tuple[str, Any]] = []
    for query, answer in zip(panel.queries, answers, strict=True):
        if isinstance(answer, Rows):
            found += list(zip(answer.columns, answer.rows[-1], strict=True)) if answer.rows else []
        else:
            found += [(_legend(query.legend, series.labels), series.values[-1]) for series in answer if series.values]
    return found


def _judged(panel: Panel, value: Any) -> str:
    name = panel.base_colour
    if not isinstance(value, str):
        for threshold in panel.thresholds:
            name = threshold.colour if value >= threshold.value else name
    return colour(name, INK)


def _bars(panel: Panel, answers: Sequence[Answer], axes: Any) -> bool:
    rows = next((answer for answer in answers if isinstance(answer, Rows) and answer.rows), None)
    if rows is None:
        return False
    fields = {each.name: each for each in panel.fields}
    labels = [str(row[0]) for row in rows.rows]
    numbers = [place for place in range(1, len(rows.columns)) if any(_is_plain(row[place]) for row in rows.rows)]
    lines = []
    horizontal = panel.stacked or max(len(label) for label in labels) > 12
    thickness = 0.8 if panel.stacked else 0.8 / len(numbers)
    base = [0.0] * len(labels)
    for order, place in enumerate(numbers):
        style = fields.get(rows.columns[place], Field(rows.columns[place], rows.columns[place]))
        line = Line(style.title, [], [_or_zero(number(row[place])) for row in rows.rows])
        line.colour = colour(style.colour, PALETTE[order % len(PALETTE)]) if style.colour else PALETTE[order % len(PALETTE)]
        lines.append(line)
        shift = 0.0 if panel.stacked else (order - (len(numbers) - 1) / 2) * thickness
        at = [place + shift for place in range(len(labels))]
        kept = base if panel.stacked else [0.0] * len(labels)
        if horizontal:
            axes.barh(at, line.values, thickness, left=kept, color=line.colour, label=line.name)
        else:
            axes.bar(at, line.values, thickness, bottom=kept, color=line.colour, label=line.name)
        base = [low + value for low, value in zip(base, line.values, strict=True)]
    axis, other = (axes.yaxis, axes.xaxis) if horizontal else (axes.xaxis, axes.yaxis)
    axis.set_ticks(range(len(labels)), [textwrap.shorten(label, 34, placeholder="…") for label in labels])
    other.set_major_locator(mpl.ticker.MaxNLocator(5))
    other.set_major_formatter(lambda value, _: written(value, panel.unit))
    axes.tick_params(labelsize=8, colors=INK, length=2)
    if horizontal:
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
    else:
        axes.grid(axis="x", visible=False)
    _legend_below(axes, lines)
    return True


def _is_plain(value: Any) -> bool:
    return value is not None and (not isinstance(value, str) or _is_number(value))


def _table(panel: Panel, answers: Sequence[Answer], axes: Any) -> bool:
    _blank(axes)
    table = _cells(panel, answers)
    if table is None:
        return False
    titles, rows, right = table
    widths = [min(46, max(len(line) for cell in column for line in [cell])) + 2 for column in zip(titles, *rows, strict=True)]
    total = sum(widths)
    top, height = 0.95, 0.95 / (len(rows) + 1)
    left = 0.0
    for place, width in enumerate(widths):
        edge = (left + width - 1.5) / total if right[place] else left / total
        align = "right" if right[place] else "left"
        axes.text(edge, top, titles[place], fontsize=8, color=FAINT, ha=align, va="center", transform=axes.transAxes)
        for order, row in enumerate(rows, 1):
            text = textwrap.shorten(row[place], 46, placeholder="…")
            axes.text(edge, top - order * height, text, fontsize=8.5, color=INK, ha=align, va="center", transform=axes.transAxes)
        left += width
    for order in range(len(rows) + 1):
        height_of_line = top - (order + 0.5) * height
        axes.plot([0, 1], [height_of_line] * 2, color="#DDDDDD", lw=0.6, transform=axes.transAxes, clip_on=False)
    return True


def _cells(panel: Panel, answers: Sequence[Answer]) -> tuple[list[str], list[list[str]], list[bool]] | None:
    """Titles, the first rows as text, and which columns hold numbers."""
    columns, rows = _flat(answers)
    if not rows:
        return None
    fields = {each.name: each for each in panel.fields}
    styles = [fields.get(name, Field(name, name)) for name in columns]
    right = [all(_is_plain(row[place]) or row[place] is None for row in rows) for place in range(len(columns))]
    shown = [
        [_cell(value, style, panel, is_number=right[place]) for place, (value, style) in enumerate(zip(row, styles, strict=True))]
        for row in rows[:TABLE_ROWS_MAX]
    ]
    return [style.title for style in styles], shown, right


def _flat(answers: Sequence[Answer]) -> tuple[list[str], list[list[Any]]]:
    for answer in answers:
        if isinstance(answer, Rows):
            return answer.columns, answer.rows
        labels = sorted({name for series in answer for name in series.labels if name not in ("__name__", "job")})
        if answer:
            return [*labels, "Value"], [[*(s.labels.get(name, "") for name in labels), *s.values[-1:]] for s in answer]
    return [], []


def _cell(value: Any, style: Field, panel: Panel, *, is_number: bool) -> str:
    if value is None:
        return "–"
    if is_number:
        return written(number(value), style.unit or panel.unit, style.decimals if style.decimals is not None else panel.decimals)
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"^(\d{4}-\d\d-\d\d)[ T]00:00:00(\.0+)?$", r"\1", text)


def _blank(axes: Any) -> None:
    axes.set_axis_off()
    # The title stays.
    axes.title.set_visible(True)
