"""The pictures of a world, drawn from its figures alone: SVG to be set into a page, in the page's own colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup

Figures = dict[str, Any]

# Colours that people with any of the common colour blindnesses tell apart, on white and on black: Okabe and Ito,
# "Color Universal Design", 2008. Line styles differ as well.
_RUN_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#8C6D31")
_RUN_STYLES = ("-", (0, (6, 1.5)), (0, (3, 1, 1, 1)), (0, (1.5, 1)), (0, (8, 2, 2, 2)), (0, (4, 2)))
_PEER_LOOKS: dict[str, tuple[str, Any]] = {
    "lightgbm-28d": ("#E69F00", (0, (5, 1.5))),
    "floor": ("#808080", "-"),
    "oracle": ("#010203", (0, (1, 1.5))),
}
_PEER_NAMES = {"lightgbm-28d": "LightGBM, refitted", "floor": "best of these features", "oracle": "true risks"}
_INK, _LINE = "#010203", "#040506"
"""Stand for the page's text colour and for its lines: replaced in the SVG."""
_MARKERS = "osD^vP"
_SIZE, _WIDE = (5.0, 3.3), (5.0, 3.6)


@dataclass(frozen=True)
class Picture:
    """A drawn picture.

    Parameters
    ----------
    title
        What it shows.
    caption
        How to read it.
    svg
        An `<svg>` element.
    """

    title: str
    caption: str
    svg: Markup


def draw(world: Figures, salt: str, *, quality: bool) -> Iterator[Picture]:
    """The pictures of a world that show how good the scores are, or the others.

    Parameters
    ----------
    world
        An entry of `worlds` in the figures.
    salt
        Makes the ids inside the pictures differ from those of other worlds on the page.
    quality
        Which.
    """
    for number, (title, caption, size, paint) in enumerate(_PICTURES):
        if (paint in _OF_QUALITY) is quality:
            svg = _svg(world, size, paint, f"{salt}p{number}")
            yield Picture(title, caption, Markup(svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)))  # noqa: S704


def _svg(world: Figures, size: tuple[float, float], paint: Callable[[Figures, Any], None], salt: str) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _LINE,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "grid.color": _LINE,
        "grid.linewidth": 0.5,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "legend.handlelength": 2.6,
        "lines.linewidth": 1.6,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        paint(world, axes)
        written = io.StringIO()
        figure.savefig(written, format="svg")
    return _embedded(written.getvalue(), salt)


def _embedded(svg: str, salt: str) -> str:
    """The `<svg>` element alone, with ids of its own, no links and the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{salt}-', svg)
    svg = re.sub(r'href="#', f'href="#{salt}-', svg)
    svg = svg.replace("url(#", f"url(#{salt}-")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace(_INK, "currentColor").replace(_LINE, "var(--line)")


def _looks(world: Figures, peers: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every scorer that is to be drawn: its key, its name in the legend, and how its line looks."""
    for number, name in enumerate(world["runs"]):
        look = number % len(_RUN_COLOURS)
        yield name, name, {"color": _RUN_COLOURS[look], "linestyle": _RUN_STYLES[look]}
    for name in peers:
        if name in world["scorers"]:
            colour, style = _PEER_LOOKS[name]
            yield name, _PEER_NAMES[name], {"color": colour, "linestyle": style, "linewidth": 1.3}


def _percent(axes: Any, which: str) -> None:
    from matplotlib.ticker import FuncFormatter

    formatter = FuncFormatter(lambda value, _: f"{100 * value:g}%")
    for each in which:
        getattr(axes, f"{each}axis").set_major_formatter(formatter)


def _day(text: str) -> date:
    return date.fromisoformat(text[:10])


def _dates(world: Figures, axes: Any, *, alarms: bool = False) -> None:
    """A time axis, with the change and, if asked for, the first run's alarms of drift along its foot."""
    from matplotlib import dates

    marks: Any = dates  # its classes are without types
    locator = marks.AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(marks.ConciseDateFormatter(locator))
    axes.set_xlabel("as-of, UTC")
    if world["change"]:
        axes.axvline(_day(world["change"]), color=_INK, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.annotate(
            "change",
            (marks.date2num(_day(world["change"])), 1.0),
            (3, -2),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            fontsize=8,
            va="top",
        )
    if alarms:
        first = next(iter(world["runs"].values()))
        days = [_day(each["as_of"]) for each in first["alarms"]["list"]]
        if days:
            look = {"color": _RUN_COLOURS[1], "markersize": 6, "transform": axes.get_xaxis_transform()}
            axes.plot(days, [0.02] * len(days), "^", label="alarm", **look)


def _reliability(world: Figures, axes: Any) -> None:
    import numpy as np

    most = 0.05
    for number, (key, name, look) in enumerate(_looks(world, ("lightgbm-28d",))):
        rows = world["scorers"][key]["reliability"]
        x, y = [row["mean_risk"] for row in rows], [row["observed_rate"] for row in rows]
        most = max([most, *x, *y])
        axes.plot(x, y, marker=_MARKERS[number % len(_MARKERS)], markersize=4, label=name, **look)
    axes.plot([0, most], [0, most], color=_INK, linewidth=0.8)
    for each in ("x", "y"):
        getattr(axes, f"set_{each}scale")("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
        getattr(axes, f"set_{each}ticks")(
            [tick for tick in (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if tick <= most]
        )
    _percent(axes, "xy")
    axes.set_xlabel("mean risk of the tenth")
    axes.set_ylabel("share that cancelled")
    axes.legend(loc="upper left")


def _curves(world: Figures, axes: Any, points_of: Callable[[Figures], Sequence[Sequence[float]]]) -> None:
    """A line for every scorer, through the points that its figures have."""
    for key, name, look in _looks(world, ("lightgbm-28d", "floor", "oracle")):
        points = points_of(world["scorers"][key])
        axes.plot([x for x, _ in points], [y for _, y in points], label=name, **look)


def _gains(world: Figures, axes: Any) -> None:
    _curves(world, axes, lambda scorer: scorer["gains"])
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8)
    _percent(axes, "xy")
    axes.set_xlabel("share of accounts, riskiest first")
    axes.set_ylabel("share of cancellations among them")
    axes.legend(loc="lower right")


def _precision_recall(world: Figures, axes: Any) -> None:
    _curves(world, axes, lambda scorer: scorer["precision_recall"])
    rate = world["churners"] / world["examples"]
    axes.axhline(rate, color=_INK, linewidth=0.8)
    _percent(axes, "xy")
    axes.set_xlabel("recall: share of cancellations found")
    axes.set_ylabel("precision")
    axes.set_ylim(0, None)
    axes.legend(loc="upper right")


def _profit(world: Figures, axes: Any) -> None:
    _curves(world, axes, lambda scorer: [(share, cents / 100) for share, cents in scorer["profit"]["curve"]])
    axes.axhline(0, color=_INK, linewidth=0.8)
    curves = [scorer["profit"]["curve"] for scorer in world["scorers"].values() if "profit" in scorer]
    most = max(y / 100 for curve in curves for _, y in curve)
    axes.set_ylim(-most, 1.1 * most if most > 0 else None)
    _percent(axes, "x")
    axes.set_xlabel("share of accounts contacted, riskiest first")
    axes.set_ylabel("profit an account, currency units")
    axes.legend(loc="upper right")


def _quality(world: Figures, axes: Any) -> None:
    for key, name, look in _looks(world, ("lightgbm-28d", "floor", "oracle")):
        points = [point for point in world["scorers"][key]["moving"] if point["roc_auc"] is not None]
        axes.plot([_day(point["day"]) for point in points], [point["roc_auc"] for point in points], label=name, **look)
    axes.set_ylabel("ROC-AUC of 28 days")
    _dates(world, axes, alarms=True)
    axes.margins(y=0.12)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def _calibration(world: Figures, axes: Any) -> None:
    against = "calibration_ratio_true" if "oracle" in world["scorers"] else "calibration_ratio"
    axes.axhspan(0.93, 1.07, color="#808080", alpha=0.25, linewidth=0)
    axes.axhline(1.0, color=_INK, linewidth=0.8)
    for number, (key, name, look) in enumerate(_looks(world, ("lightgbm-28d",))):
        blocks = [block for block in world["scorers"][key]["blocks"] if block.get(against) is not None]
        days = [_day(block["first_day"]) + (_day(block["last_day"]) - _day(block["first_day"])) / 2 for block in blocks]
        values = [block[against] for block in blocks]
        axes.plot(days, values, marker=_MARKERS[number % len(_MARKERS)], markersize=4, label=name, **look)
    axes.set_ylabel("mean risk / " + ("mean true risk" if against.endswith("true") else "share cancelled"))
    _dates(world, axes)
    axes.legend(loc="best")


def _lead(world: Figures, axes: Any) -> None:
    for key, name, look in _looks(world, ()):
        days = world["runs"][key]["lead_time"]["days"]
        total = world["runs"][key]["lead_time"]["cancellations"]
        left = [sum(days[ahead:]) / total if total else 0.0 for ahead in range(len(days))]
        axes.step(range(len(days)), left, where="mid", label=name, **look)
    _percent(axes, "y")
    axes.set_ylim(0, 1)
    axes.set_xlim(0, world["horizon_days"])
    axes.set_xlabel("days before the cancellation")
    axes.set_ylabel("cancellations flagged by then")
    axes.legend(loc="upper right")


def _maturity(world: Figures, axes: Any) -> None:
    rows = world["labels"]["through_time"]
    days = [_day(row["day"]) for row in rows]
    axes.stackplot(
        days,
        [row["pending"] for row in rows],
        [row["provisional"] for row in rows],
        [row["corrected"] for row in rows],
        colors=("#56B4E9", "#D55E00", "#010203"),
        labels=("pending", "provisional: cancelled already", "corrected so far"),
    )
    axes.set_ylabel("scores without a final label")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(0, None)
    _dates(world, axes)
    axes.margins(x=0)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def _champions(world: Figures, axes: Any) -> None:
    lanes: list[str] = []
    several = len(world["runs"]) > 1
    for number, (run, one) in enumerate(world["runs"].items()):
        for term in one["champions"]:
            lane = f"{run}: {term['model']}" if several else term["model"]
            if lane not in lanes:
                lanes.append(lane)
            begin, end = _day(term["first_day"]), _day(term["last_day"]) + timedelta(days=1)
            colour = _RUN_COLOURS[number % len(_RUN_COLOURS)]
            axes.barh(lanes.index(lane), end - begin, left=begin, height=0.6, color=colour)
    axes.set_yticks(range(len(lanes)), lanes)
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.grid(False, axis="y")
    _dates(world, axes, alarms=False)


_PICTURES: tuple[tuple[str, str, tuple[float, float], Callable[[Figures, Any], None]], ...] = (
    (
        "Reliability: do the risks mean what they say?",
        "Each point is a tenth of the scores. On the thin diagonal, as many cancelled as the risk said; below it,"
        " fewer. The axes are stretched at the low end, where most accounts are.",
        _SIZE,
        _reliability,
    ),
    (
        "Lift: how many cancellations are among the riskiest accounts?",
        "At 10% on the lower axis stands the share of all cancellations that the riskiest tenth holds; over 10%, that"
        " is the lift. The thin diagonal is chance.",
        _SIZE,
        _gains,
    ),
    (
        "Precision and recall: how many of the accounts called do cancel?",
        "From left to right more accounts are called. The thin line is the share that cancels anyway: calling accounts"
        " by lot.",
        _SIZE,
        _precision_recall,
    ),
    (
        "Profit: what would contacting the riskiest earn?",
        "Each contact and each accepted offer costs what the settings say; three in ten of those about to cancel accept"
        " and stay for a year. Below the thin line a campaign loses money.",
        _SIZE,
        _profit,
    ),
    (
        "Quality through time",
        "ROC-AUC over the last 28 days of as-ofs, by outcomes known in the end. All lines are about the same accounts"
        " and outcomes, so they shake together. Triangles: alarms of the first run.",
        _WIDE,
        _quality,
    ),
    (
        "Calibration through time",
        "Mean risk over what it should have been, a point for each 60 days (fewer at the ends). The band is 0.93 to"
        " 1.07; above it the risks are too high.",
        _WIDE,
        _calibration,
    ),
    (
        "Lead time: how early was a cancellation seen?",
        "At 30 stands the share of cancellations whose account had been at high risk 30 days before or earlier, within"
        " the horizon.",
        _WIDE,
        _lead,
    ),
    (
        "Label maturity: how many scores wait for their outcome?",
        "A score's label is pending until its horizon has passed; if its account cancels before, it is provisional."
        " Corrected: turned by a cancellation that came late.",
        _WIDE,
        _maturity,
    ),
    (
        "Champion history: which model scored when?",
        "Each bar is a term of the model named beside it.",
        _WIDE,
        _champions,
    ),
)
_OF_QUALITY = (_reliability, _gains, _precision_recall, _quality, _calibration, _lead)
