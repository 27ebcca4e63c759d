"""Pictures of the dashboards' main panels, from what the data sources of a running stack answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from deploy.dashboards import DASHBOARDS
from deploy.dashboards.panel import Dashboard, Kind, Panel
from tests.integration.stack.answers import Answer, Observer
from tests.integration.stack.drawing import FAINT, INK, draw, rows_shown

WIDTH_INCHES, STAT_INCHES, CHART_INCHES, TABLE_INCHES, ROW_INCHES = 10.4, 1.05, 2.6, 0.75, 0.23
FOOTNOTE = (
    "Drawn by matplotlib, not by Grafana, from a run of the real processes without containers:"
    " the same queries, asked of the real Prometheus and of chDB behind HTTP."
)
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "c360",
    "font.family": "sans-serif",
    # Matplotlib's own, then one as wide: the text stays text.
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#BBBBBB",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
# A picture has room for some of the panels: those that say most at a glance.
SHOWN: dict[str, tuple[str, ...]] = {
    "c360-operations": (
        "Are scores fresh?",
        "Do all processes answer?",
        "Do alerts fire?",
        "Does it keep up?",
        "Is input refused?",
        "How many accounts are active?",
        "Which partition or sink is behind?",
        "How long does the whole way take?",
        "Is the watermark moving?",
        "Which topic is behind?",
        "How much is read?",
        "Does memory grow?",
    ),
    "c360-model": (
        "Which model scores?",
        "How well did it rank, by known outcomes?",
        "How well does it rank now, by estimate?",
        "Did as many leave as expected?",
        "How long ago were the newest scores that can be judged?",
        "How many alarms were there in a week?",
        "How well did the risks rank, by known outcomes?",
        "How well do the risks rank now, by estimate?",
        "Did as many leave as the risks said?",
        "Does a risk of 30% mean 30%?",
        "How are the risks spread?",
        "Which features drift?",
    ),
    "c360-business": (
        "How fresh is this page?",
        "How many accounts are there?",
        "How many are at risk?",
        "How much MRR is there?",
        "How much MRR is likely to go?",
        "What are the accounts worth?",
        "Does the MRR that is likely to go grow?",
        "How do the tiers develop?",
        "Who should be called first?",
        "What drives the risk of those at risk?",
        "How does the mix of customers shift?",
        "How many of those flagged left?",
    ),
}


def shown(dashboard: Dashboard) -> list[Panel]:
    """The panels that a picture has room for, in the dashboard's order.

    Raises
    ------
    ValueError
        If there is no panel of a title that is wanted.
    """
    wanted = SHOWN[dashboard.uid]
    found = [panel for panel in dashboard.panels if panel.title in wanted]
    if missing := set(wanted) - {panel.title for panel in found}:
        raise ValueError(f"{dashboard.uid} has no panel {', '.join(sorted(missing))}")
    return found


def draw_all(observer: Observer, folder: Path, form: str = "svg") -> list[Path]:
    """Draw a picture of each dashboard; give the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for dashboard in DASHBOARDS:
        panels = shown(dashboard)
        answers = [[observer.ask(dashboard, query) for query in panel.queries] for panel in panels]
        path = folder / f"{dashboard.name}.{form}"
        draw_dashboard(dashboard, panels, answers, path)
        paths.append(path)
    return paths


def draw_dashboard(
    dashboard: Dashboard, panels: Sequence[Panel], answers: Sequence[Sequence[Answer]], path: Path
) -> None:
    """Draw panels and their answers into one file."""
    lines = _laid_out(panels)
    of_panel = dict(zip(map(id, panels), answers, strict=True))
    heights = [_height(line, of_panel[id(line[0])]) for line in lines]
    total = sum(heights) + 0.8
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, total), facecolor="white")
        figure.text(0.02, 1 - 0.25 / total, dashboard.title, fontsize=13, fontweight="bold", color=INK, va="center")
        figure.text(0.02, 0.12 / total, FOOTNOTE, fontsize=7.5, color=FAINT, va="center")
        top = 1 - 0.5 / total
        for line, height in zip(lines, heights, strict=True):
            for order, panel in enumerate(line):
                axes = figure.add_axes(_box(order, len(line), top, height / total, panel, total))
                draw(panel, of_panel[id(panel)], axes)
            top -= height / total
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=100)
    if path.suffix == ".svg":
        path.write_text(_rounded(path.read_text()))


def _rounded(svg: str) -> str:
    """Without what nobody sees, which is half of the file: digits of places beyond tenths of a point, and indentation.

    >>> _rounded('<g>\\n  <text x="417.5432">0.025</text>\\n</g>')
    '<g>\\n<text x="417.5">0.025</text>\\n</g>'
    """
    tags_rounded = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(?<=\d\.\d)\d{2,}", "", tag[0]), svg)
    return re.sub(r" *\n *", "\n", tags_rounded)


def _laid_out(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Stats side by side, then two panels a line; a table has a line of its own."""
    stats = [panel for panel in panels if panel.kind is Kind.STAT]
    lines = [stats[place : place + 6] for place in range(0, len(stats), 6)]
    pair: list[Panel] = []
    for panel in (panel for panel in panels if panel.kind is not Kind.STAT):
        if panel.kind is Kind.TABLE:
            lines += [[panel]] if not pair else [pair, [panel]]
            pair = []
            continue
        pair.append(panel)
        if len(pair) == 2:
            lines.append(pair)
            pair = []
    return lines + ([pair] if pair else [])


def _height(line: Sequence[Panel], answers: Sequence[Answer]) -> float:
    """Inches that a line of panels takes, of which the first gives these answers."""
    if line[0].kind is Kind.TABLE:
        return TABLE_INCHES + rows_shown(answers) * ROW_INCHES
    return STAT_INCHES if line[0].kind is Kind.STAT else CHART_INCHES


def _box(
    order: int, number: int, top: float, height: float, panel: Panel, total: float
) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of a panel's axes, in shares of the figure."""
    width = 0.98 / number
    left = 0.01 + order * width
    above = 0.38 / total
    if panel.kind is Kind.STAT:
        return (left + 0.01, top - height + 0.15 / total, width - 0.02, height - 0.25 / total)
    if panel.kind is Kind.TABLE:
        return (left + 0.01, top - height + 0.1 / total, width - 0.02, height - above - 0.15 / total)
    below = 0.72 / total
    return (left + 0.065, top - height + below, width - 0.09, height - above - below)
