"""The pictures of docs/performance.md, from a file of results of `c360 bench --json` and `python -m bench.windows`.

`python -m bench.pictures [RESULTS [FOLDER]]` draws those for which there are results. Where a result is there twice,
with the same name and accounts, the last one counts: new results are appended.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "performance.jsonl"
FOLDER = ROOT / "docs" / "performance"
# Told apart by people with any of the common colour blindnesses: Okabe and Ito, "Color Universal Design", 2008.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#999999"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "c360",  # the same results give the same bytes
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
Found = dict[str, Any]


def read(path: Path) -> list[Found]:
    """The last result of each name and number of accounts, in the order of the file."""
    found: dict[tuple[str, int | None], Found] = {}
    for line in path.read_text().splitlines():
        result = json.loads(line)
        key = (result["name"], result["parameters"].get("accounts"))
        found.pop(key, None)
        found[key] = result
    return list(found.values())


def _named(results: list[Found], start: str) -> list[Found]:
    return [result for result in results if result["name"].startswith(start)]


def throughput(results: list[Found], axes: Any) -> bool:
    """Events a second of each item, its floor, and the ratio of the two."""
    shown = [result for result in results if result["unit"].startswith("events per")][::-1]
    for row, result in enumerate(shown):
        axes.barh(row + 0.2, result["value"], 0.4, color=BLUE, label=None if row else "c360-stream")
        axes.barh(row - 0.2, result["floor"], 0.4, color=GREY, label=None if row else "floor (windows: the peer)")
        axes.text(max(result["value"], result["floor"]) * 1.1, row, f"{result['ratio_to_floor']:.3g}", va="center")
    axes.set_yticks(range(len(shown)), [result["name"] for result in shown])
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("events a second (of CPU time where the name or the unit says so); their ratio behind")
    if shown:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=2)
    return bool(shown)


def scaling(results: list[Found], axes: Any) -> bool:
    """Throughput over processes, beside what the machine gives processes that do not talk."""
    shown = [result for result in _named(results, "scaling_") if not result["name"].endswith("_cpu")]
    shown = sorted(shown, key=lambda result: int(result["parameters"]["processes"]))
    processes = [1, *(result["parameters"]["processes"] for result in shown)]
    axes.plot(processes, processes, color=GREY, linestyle=":", label="ideal")
    floors = [1, *(result["floor"] for result in shown)]
    axes.plot(processes, floors, "s--", color=ORANGE, label="floor: processes that do not talk")
    axes.plot(processes, [1, *(r["value"] for r in shown)], "o-", color=BLUE, label="c360-stream")
    axes.set_xticks(processes)
    axes.set_xlabel("processes")
    axes.set_ylabel("times the throughput of one")
    axes.legend()
    return bool(shown)


def memory(results: list[Found], axes: Any) -> bool:
    """Memory of the state against the number of accounts."""
    shown = [result for result in results if result["name"] == "memory"]
    shown.sort(key=lambda result: int(result["parameters"]["accounts"]))
    accounts = [result["parameters"]["accounts"] for result in shown]
    for field, style, colour, label in (("value", "o-", BLUE, "c360-stream"), ("floor", "s--", GREY, "floor")):
        total = [result[field] * result["parameters"]["accounts"] / 2**30 for result in shown]
        axes.plot(accounts, total, style, color=colour, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("accounts")
    axes.set_ylabel("GiB")
    axes.legend()
    return bool(shown)


def snapshots(results: list[Found], axes: Any) -> bool:
    """Seconds of snapshots and of a resume against the number of accounts."""
    shown = [*_named(results, "snapshot_"), *_named(results, "resume_")]
    looks = zip((BLUE, GREEN, PURPLE, ORANGE, GREY, "#56B4E9"), "osD^vP", strict=True)
    for name, (colour, marker) in zip(dict.fromkeys(result["name"] for result in shown), looks, strict=False):
        points = sorted((r["parameters"]["accounts"], r["value"]) for r in shown if r["name"] == name)
        axes.plot(*zip(*points, strict=True), f"{marker}-", color=colour, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("accounts")
    axes.set_ylabel("seconds")
    if shown:
        axes.legend()
    return bool(shown)


def latency(results: list[Found], axes: Any) -> bool:
    """Percentiles of the time from an event's produce to its score, and of an event to a consumer."""
    shown = [result for result in _named(results, "latency_p") if result["name"][9:].isdecimal()]
    shares = [f"p{result['name'][9:]}" for result in shown]
    axes.plot([result["value"] for result in shown], shares, "o-", color=BLUE, label="score")
    axes.plot([result["floor"] for result in shown], shares, "s--", color=GREY, label="floor: the event itself")
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds from produce to readable")
    axes.set_ylabel("share of the events")
    axes.legend()
    return bool(shown)


PICTURES: dict[str, tuple[Callable[[list[Found], Any], bool], tuple[float, float]]] = {
    "throughput": (throughput, (7.0, 5.0)),
    "scaling": (scaling, (5.0, 3.3)),
    "memory": (memory, (5.0, 3.3)),
    "snapshots": (snapshots, (5.0, 3.3)),
    "latency": (latency, (5.0, 3.3)),
}


def draw(results: list[Found], folder: Path) -> list[Path]:
    """Write an SVG for each picture that has results; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (paint, size) in PICTURES.items():
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=size, layout="constrained")
            if paint(results, figure.subplots()):
                path = folder / f"{name}.svg"
                figure.savefig(path, metadata={"Date": None})
                written.append(path)
    return written


def main(arguments: list[str]) -> None:
    results = Path(arguments[0]) if arguments else RESULTS
    folder = Path(arguments[1]) if len(arguments) > 1 else FOLDER
    for path in draw(read(results), folder):
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
