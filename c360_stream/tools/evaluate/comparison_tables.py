"""Tables of the report that put scorers, contenders and features side by side, from the figures alone."""

from __future__ import annotations

import math
from typing import Any

from c360_stream.tools.evaluate.cells import DASH, Table, number, percent
from c360_stream.tools.evaluate.names import BATCH, named

Figures = dict[str, Any]

THIRDS = ("lowest third", "middle", "highest")


def ranged(figure: Figures | None, form: str = ".3f") -> str:
    """A figure with its interval, for reading.

    >>> ranged({"value": 0.8123, "low": 0.79, "high": 0.83})
    '0.812 (0.790 to 0.830)'
    """
    if figure is None:
        return DASH
    if figure["low"] is None or figure["low"] == figure["high"]:
        return number(figure["value"], form)
    return f"{number(figure['value'], form)} ({number(figure['low'], form)} to {number(figure['high'], form)})"


def best(found: Figures) -> str:
    """Which batch model is the best, in words."""
    peers = found["best_peer"]
    if not peers:
        return "No batch model could be fitted: too few outcomes were known."
    if peers["log_loss"] == peers["roc_auc"]:
        return f"Best peer by ROC-AUC and by log loss: {named(peers['roc_auc'])}."
    return f"Best peer by ROC-AUC: {named(peers['roc_auc'])}; by log loss: {named(peers['log_loss'])}."


def side_by_side(found: Figures) -> Table:
    """Every scorer of a comparison with its intervals, and how much the first run is above it."""
    [run, *_] = found["differences"]
    rows = []
    for name, one in found["scorers"].items():
        against = found["differences"][run].get(name, {})
        cells = [ranged(one.get("roc_auc")), ranged(one.get("pr_auc")), ranged(one.get("log_loss"), ".4f")]
        cells += [ranged(against.get("roc_auc"), "+.3f"), ranged(against.get("log_loss"), "+.4f")]
        rows.append((named(name), *cells))
    above = (f"#{named(run)} less this: ROC-AUC", "#log loss")
    return Table(("scorer", "#ROC-AUC", "#PR-AUC", "#log loss", *above), rows)


def thirds(found: Figures) -> Table:
    """Mean risk over the share that left, overall and in each third of a scorer's own risks."""
    rows = []
    for name, one in found["scorers"].items():
        if "thirds" not in one:
            continue
        cells = [ranged(one["calibration_ratio"], ".2f")]
        for third in one["thirds"]:
            ratio = {
                "value": third["calibration_ratio"],
                "low": third["calibration_ratio_low"],
                "high": third["calibration_ratio_high"],
            }
            shares = f"{percent(third['mean_risk'])} / {percent(third['observed_rate'])}"
            cells += [shares, DASH if ratio["value"] is None else ranged(ratio, ".2f")]
        rows.append((named(name), *cells))
    columns = [column for third in THIRDS for column in (f"#{third}: given / left", "#ratio")]
    return Table(("scorer", "#all: ratio", *columns), rows)


def contenders(world: Figures, run: str, latency: Figures) -> Table:
    """Every model of a run's contest beside what the run stored and the batch models, least log loss first."""
    found = world["runs"][run]["contenders"]
    rows = []
    for name, one in sorted(found["scorers"].items(), key=_log_loss):
        contends = name in found["models"]
        costs = latency["runs"][run].get(name, {}) if contends else latency["batch"].get(name, {})
        kind = "contender" if contends else "batch" if name in BATCH else ""
        against = found["differences"]["stored"].get(name, {})
        cells = [ranged(one.get("roc_auc")), ranged(one.get("pr_auc")), ranged(one.get("log_loss"), ".4f")]
        cells += [ranged(against.get("log_loss"), "+.4f")]
        times = [number(costs.get(f"microseconds_a{each}"), ".2f") for each in ("_row", "n_example")]
        rows.append((name if contends else named(name), kind, *cells, *times))
    for name, examples in found["left_out"].items():
        costs = latency["runs"][run].get(name, {})
        times = [number(costs.get(f"microseconds_a{each}"), ".2f") for each in ("_row", "n_example")]
        rows.append((f"{name}: predicted {examples:,} only", "contender", *[DASH] * 4, *times))
    columns = ("#ROC-AUC", "#PR-AUC", "#log loss", "#the flow's log loss less this")
    return Table(("model", "", *columns, "#\N{MICRO SIGN}s a scored row", "#\N{MICRO SIGN}s a learnt example"), rows)


def _log_loss(scorer: tuple[str, Figures]) -> float:
    figure = scorer[1].get("log_loss")
    return math.inf if figure is None else float(figure["value"])


def worth(world: Figures) -> Table:
    """What each group of features is worth: shuffled, left out, and in the flow's own scores."""
    runs, removed = world["runs"], world["ablation"]
    rows = []
    for group, shuffled in world["importance"].items():
        cells = [ranged(shuffled["roc_auc"], "+.4f"), ranged(shuffled["log_loss"], "+.4f")]
        if removed:
            without = removed["groups"][group]
            cells += [ranged(without["roc_auc"], "+.4f"), ranged(without["log_loss"], "+.4f")]
        cells += [number(one["contributions"]["groups"][group]) for one in runs.values()]
        rows.append((group, *cells))
    columns = ["#LightGBM, shuffled: ROC-AUC", "#log loss"]
    columns += ["#LightGBM without it: ROC-AUC", "#log loss"] if removed else []
    columns += [f"#{run}: mean absolute log-odds" for run in runs]
    return Table(("group of features", *columns), rows)


def worth_of_features(world: Figures) -> Table:
    """What LightGBM loses without each single feature."""
    rows = [
        (name, ranged(one["roc_auc"], "+.4f"), ranged(one["log_loss"], "+.4f"))
        for name, one in world["ablation"]["features"].items()
    ]
    return Table(("feature", "#without it: ROC-AUC", "#log loss"), rows)
