"""Panels of the dashboards as matplotlib draws them: one function a kind of panel."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.dates import ConciseDateFormatter
from matplotlib.ticker import Locator, MaxNLocator, MultipleLocator

from deploy.dashboards.panel import Field, Kind, Panel
from tests.integration.stack.answers import Answer, Rows, number
from tests.integration.stack.lines import UNIMPORTANT_LABELS, Line, bars_of, colour_of, is_numeric, legend, lines_of
from tests.integration.stack.units import NOTHING, written

INK, FAINT, RULE = "#333333", "#8A8A8A", "#DDDDDD"
TITLE_CHARACTERS, STAT_TITLE_CHARACTERS, CELL_CHARACTERS, NAME_CHARACTERS = 52, 23, 46, 34
LEGEND_LINES_MAX, LEGEND_CHARACTERS, TABLE_ROWS_MAX, STAT_ENTRIES_MAX = 3, 68, 7, 4
# Distances of ticks that people count time by.
ROUND_SECONDS = (
    *(10.0**power for power in range(-6, 1)),
    *(2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 10_800, 21_600),
    *(86_400 * days for days in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)
ROUND_BYTES = tuple(2**power for power in range(50))


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
        axes.set_axis_off()
        axes.text(0.5, 0.5, panel.no_value or "no data", ha="center", color=FAINT, transform=axes.transAxes)


def _time_series(panel: Panel, answers: Sequence[Answer], axes: Any) -> bool:
    lines = lines_of(panel, answers)
    if not lines:
        return False
    if panel.bars or panel.stacked:
        _stack(panel, lines, axes)
    else:
        for line in lines:
            style = "--" if line.dashed else "-"
            dots = "o" if len(line.times) < 3 else None
            axes.plot(line.times, line.values, style, marker=dots, ms=3, color=line.colour, lw=1.3, label=line.name)
    low, high = axes.get_ylim()
    for threshold in panel.thresholds:
        if low <= threshold.value <= high:
            axes.axhline(threshold.value, color=colour_of(threshold.colour), lw=0.8, ls=":")
    if panel.minimum is not None:
        axes.set_ylim(bottom=panel.minimum)
    if panel.maximum is not None:
        axes.set_ylim(top=panel.maximum)
    _scale(axes.yaxis, axes.get_ylim(), "percentunit" if panel.as_share else panel.unit)
    dates = ConciseDateFormatter(axes.xaxis.get_major_locator(), show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(dates)
    _finish(axes)
    return True


def _stack(panel: Panel, lines: list[Line], axes: Any) -> None:
    """Areas on each other, or bars."""
    times = sorted({time for line in lines for time in line.times})
    columns = [dict(zip(line.times, line.values, strict=True)) for line in lines]
    heights = [[_or_nothing(column.get(time, math.nan)) for time in times] for column in columns]
    if panel.as_share:
        sums = [sum(column) or 1.0 for column in zip(*heights, strict=True)]
        heights = [[value / whole for value, whole in zip(row, sums, strict=True)] for row in heights]
    colours, names = [line.colour for line in lines], [line.name for line in lines]
    if not panel.bars:
        axes.stackplot(times, heights, colors=colours, labels=names, alpha=0.75, lw=0)
        return
    steps = sorted(later - earlier for earlier, later in pairwise(times))
    width = steps[len(steps) // 2] * 0.85 if steps else 0.8  # days
    base = [0.0] * len(times)
    for row, colour, name in zip(heights, colours, names, strict=True):
        axes.bar(times, row, width=width, bottom=base if panel.stacked else 0, color=colour, label=name)
        base = [low + value for low, value in zip(base, row, strict=True)]


def _bars(panel: Panel, answers: Sequence[Answer], axes: Any) -> bool:
    rows = answers[0]
    if not isinstance(rows, Rows) or not rows.rows:
        return False
    names, lines = bars_of(panel, rows)
    thickness = 0.8 if panel.stacked else 0.8 / len(lines)
    base = [0.0] * len(names)
    for order, line in enumerate(lines):
        values = [_or_nothing(value) for value in line.values]
        shift = 0.0 if panel.stacked else (order - (len(lines) - 1) / 2) * thickness
        at = [place + shift for place in range(len(names))]
        # Grafana draws stacked bars of these dashboards along the lines of text.
        if panel.stacked:
            axes.barh(at, values, thickness, left=base, color=line.colour, label=line.name)
        else:
            axes.bar(at, values, thickness, color=line.colour, label=line.name)
        base = [low + value for low, value in zip(base, values, strict=True)]
    along, across = (axes.yaxis, axes.xaxis) if panel.stacked else (axes.xaxis, axes.yaxis)
    along.set_ticks(range(len(names)), [textwrap.shorten(name, NAME_CHARACTERS, placeholder="…") for name in names])
    along.grid(visible=False)
    if panel.stacked:
        axes.invert_yaxis()
    _scale(across, across.get_view_interval(), panel.unit)
    _finish(axes)
    return True


def _or_nothing(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _scale(axis: Any, bounds: Sequence[float], unit: str) -> None:
    """Ticks in a unit."""
    axis.set_major_locator(_ticks(abs(bounds[1] - bounds[0]), unit))
    axis.set_major_formatter(lambda value, _: written(value, unit))


def _ticks(span: float, unit: str) -> Locator:
    distances = {"s": ROUND_SECONDS, "bytes": ROUND_BYTES, "binBps": ROUND_BYTES}.get(unit, ())
    for distance in distances:
        if span / distance <= 6:
            return MultipleLocator(distance)
    return MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3)


def _finish(axes: Any) -> None:
    """Sizes of the ticks, and a legend below."""
    axes.tick_params(labelsize=8, colors=INK, length=2)
    handles, names = axes.get_legend_handles_labels()
    if not any(names):
        return
    columns = max(1, LEGEND_CHARACTERS // (max(len(name) for name in names) + 6))
    shown = names[: columns * LEGEND_LINES_MAX]
    if len(names) > len(shown):
        shown[-1] = f"and {len(names) - len(shown) + 1} more"
    axes.legend(
        handles[: len(shown)],
        shown,
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.13),
        ncols=min(columns, len(shown)),
        fontsize=7.5,
        handlelength=1.2,
        columnspacing=1.2,
        labelspacing=0.25,
        borderaxespad=0.0,
    )


def _stat(panel: Panel, answers: Sequence[Answer], axes: Any) -> bool:
    axes.set_axis_off()
    entries = _newest(panel, answers)
    alone = len(entries) == 1
    for place, (name, value) in enumerate(entries[:STAT_ENTRIES_MAX]):
        shown = str(value) if panel.text else written(number(value), panel.unit, panel.decimals)
        size = min(20.0, 190 / len(shown)) if alone else 12
        height = 0.25 if alone else 0.85 - place * 0.85 / min(len(entries), STAT_ENTRIES_MAX)
        style = {"va": "center", "transform": axes.transAxes}
        axes.text(0, height, shown, fontsize=size, fontweight="bold", color=_judged(panel, value), **style)
        if not alone:
            axes.text(1, height, name, fontsize=8, color=FAINT, ha="right", **style)
    return bool(entries)


def _newest(panel: Panel, answers: Sequence[Answer]) -> list[tuple[str, Any]]:
    """Name and newest value of what a stat shows."""
    found: list[tuple[str, Any]] = []
    for query, answer in zip(panel.queries, answers, strict=True):
        if isinstance(answer, Rows):
            found += list(zip(answer.columns, answer.rows[-1], strict=True)) if answer.rows else []
        else:
            found += [(legend(query, series.labels), series.values[-1]) for series in answer if series.values]
    return found


def _judged(panel: Panel, value: Any) -> str:
    name = panel.base_colour
    if not panel.text:
        for threshold in panel.thresholds:
            name = threshold.colour if number(value) >= threshold.value else name
    return colour_of(name)


def _table(panel: Panel, answers: Sequence[Answer], axes: Any) -> bool:
    axes.set_axis_off()
    rows = _rows(answers[0])
    if not rows.rows:
        return False
    fields = {each.name: each for each in panel.fields}
    styles = [fields.get(name, Field(name, name)) for name in rows.columns]
    cells = [
        [_cell(value, style, panel) for value, style in zip(row, styles, strict=True)]
        for row in rows.rows[:TABLE_ROWS_MAX]
    ]
    columns = list(zip([style.title for style in styles], *cells, strict=True))
    widths = [min(CELL_CHARACTERS, max(map(len, column))) + 2 for column in columns]
    top, height = 0.95, 0.95 / (len(cells) + 1)
    left = 0
    for place, (column, width) in enumerate(zip(columns, widths, strict=True)):
        right = is_numeric(rows, place)
        edge = (left + width - 2 if right else left) / sum(widths)
        for line, text in enumerate(column):
            style = {"fontsize": 8, "color": FAINT} if line == 0 else {"fontsize": 8.5, "color": INK}
            short = textwrap.shorten(text, CELL_CHARACTERS, placeholder="…")
            align = {"ha": "right" if right else "left", "va": "center"}
            axes.text(edge, top - line * height, short, transform=axes.transAxes, **style, **align)
        left += width
    for line in range(len(cells) + 1):
        axes.plot([0, 1], [top - (line + 0.5) * height] * 2, color=RULE, lw=0.6, transform=axes.transAxes)
    axes.set_ylim(0, 1)
    return True


def rows_shown(answers: Sequence[Answer]) -> int:
    """How many rows of a table are drawn."""
    return min(TABLE_ROWS_MAX, len(_rows(answers[0]).rows))


def _rows(answer: Answer) -> Rows:
    """A table; of series, with a column a label."""
    if isinstance(answer, Rows):
        return answer
    labels = sorted({name for series in answer for name in series.labels} - set(UNIMPORTANT_LABELS))
    rows = [[*(series.labels.get(name, "") for name in labels), *series.values[-1:]] for series in answer]
    return Rows([*labels, "Value"], rows)


def _cell(value: Any, style: Field, panel: Panel) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, int | float):
        decimals = style.decimals if style.decimals is not None else panel.decimals
        return written(value, style.unit or panel.unit, decimals)
    return re.sub(r"[ T]00:00:00(\.0+)?$", "", str(value))
