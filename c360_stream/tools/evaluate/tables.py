"""The tables of the report, from the figures alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from c360_stream.tools.evaluate.cells import DASH, PLUS_MINUS, Cell, Table, number, percent
from c360_stream.tools.evaluate.names import BASE_RATE, LIGHTGBM, SILENCE, named

Figures = dict[str, Any]

SEGMENT_NAMES = {
    "all": "all",
    "before": "before the change",
    "after_60d": "60 days after it",
    "late": "later",
}
_MEASURES = (
    ("roc_auc", "#ROC-AUC", ".3f"),
    ("expected_roc_auc", "#expected", ".3f"),
    ("pr_auc", "#PR-AUC", ".3f"),
    ("precision_at_recall_80", "#precision at 80% recall", ".3f"),
    ("lift_top_decile", "#lift, top tenth", ".2f"),
    ("log_loss", "#log loss", ".4f"),
    ("brier", "#Brier", ".4f"),
    ("calibration_ratio", "#ratio, happened", ".3f"),
    ("calibration_ratio_true", "#ratio, true", ".3f"),
    ("ece", "#ECE", ".4f"),
)


def verdicts(figures: Figures) -> Table:
    """The verdicts on all runs, one below the other."""
    rows = [(one["scenario"], one["run"], Cell(one["headline"], "text")) for one in figures["verdicts"]]
    return Table(("scenario", "run", "verdict"), rows)


def bands(verdict: Figures) -> Table:
    """Mean risks and outcomes, by bands of risk."""
    rows = []
    true = any(band["mean_true_risk"] is not None for band in verdict["bands"])
    for band in verdict["bands"]:
        interval = DASH
        if band["left_low"] is not None:
            interval = f"{percent(band['left_low'])} to {percent(band['left_high'])}"
        cells = [band["given"], percent(band["mean_risk"]), percent(band["left"]), interval]
        cells += [percent(band["mean_true_risk"])] if true else []
        rows.append((*cells, f"{band['examples']:,}", f"{band['accounts']:,}"))
    truth = ("#true",) if true else ()
    return Table(("risk given", "#on average", "#left", "#95% interval", *truth, "#scores", "#accounts"), rows)


def limits(figures: Figures) -> Table:
    """The project's own limits, and whether they are kept."""
    several = len(figures["runs"]) > 1
    rows = []
    for row in figures["criteria"]:
        limits = [f"at least {row['at_least']:g}"] if row["at_least"] is not None else []
        limits += [f"at most {row['at_most']:g}"] if row["at_most"] is not None else []
        verdict = Cell("kept", "met") if row["met"] else Cell("missed", "missed")
        where = f"{row['scenario']}, {row['run']}" if several else row["scenario"]
        value = "none" if row["value"] is None else number(row["value"], ".4g")
        rows.append((verdict, where, Cell(row["what"], "text"), value, ", ".join(limits), Cell(row["note"], "text")))
    return Table(("", "where", "what", "#value", "limit", "note"), rows)


def summary(figures: Figures) -> Table:
    """Means over the worlds, and their spread."""
    rows = []
    for row in figures["summary"]:
        cells = [_mean(row.get(metric), form) for metric, _, form in _MEASURES]
        rows.append((row["scenario"], named(row["scorer"]), SEGMENT_NAMES[row["segment"]], *cells))
    return Table(("scenario", "scorer", "as-ofs", *(name for _, name, _ in _MEASURES)), rows)


def _mean(value: Figures | None, form: str) -> str:
    if value is None:
        return DASH
    show: Callable[[Any], str] = percent if form == "share" else partial(number, form=form)
    return show(value["mean"]) + (f" {PLUS_MINUS} {show(value['sd'])}" if value["sd"] is not None else "")


def segments(world: Figures) -> Table:
    """Every scorer in every segment of a world."""
    rows = []
    for scorer, one in world["scorers"].items():
        for name, segment in one["segments"].items():
            cells = [number(segment.get(metric), form) for metric, _, form in _MEASURES]
            compared = world["comparison"].get(name, {"scorers": {}})["scorers"].get(scorer, {})
            auc = compared.get("roc_auc") or {"low": None}
            interval = f"{number(auc['low'])} to {number(auc['high'])}" if auc["low"] is not None else DASH
            counts = (f"{segment['examples']:,}", f"{segment['churners']:,}")
            rows.append((named(scorer), SEGMENT_NAMES[name], *counts, cells[0], interval, *cells[1:]))
    measures = [name for _, name, _ in _MEASURES]
    return Table(("scorer", "as-ofs", "#examples", "#churned", measures[0], "#95% interval", *measures[1:]), rows)


def blocks(world: Figures) -> Table:
    """Every run, LightGBM, silence and the base rate by blocks of 60 days."""
    rows = []
    for scorer in (*world["runs"], LIGHTGBM, SILENCE, BASE_RATE):
        for block in world["scorers"].get(scorer, {"blocks": []})["blocks"]:
            days = f"{block['first_day']} to {block['last_day']}" + ("" if block["whole"] else ", in part")
            interval = DASH
            if block.get("calibration_ratio_low") is not None:
                interval = f"{number(block['calibration_ratio_low'])} to {number(block['calibration_ratio_high'])}"
            counts = (f"{block['examples']:,}", f"{block['churners']:,}")
            ratios = (number(block.get("calibration_ratio")), interval, number(block.get("calibration_ratio_true")))
            rest = (number(block.get("ece"), ".4f"), number(block.get("log_loss"), ".4f"))
            rows.append(
                (
                    named(scorer),
                    number(block["block"], "d"),
                    days,
                    *counts,
                    number(block.get("roc_auc")),
                    number(block.get("pr_auc")),
                    *ratios,
                    *rest,
                )
            )
    columns = ("scorer", "#block", "as-ofs", "#examples", "#churned", "#ROC-AUC", "#PR-AUC", "#ratio, happened")
    return Table((*columns, "#95% interval", "#ratio, true", "#ECE", "#log loss"), rows)


_RUN_MEASURES = (
    ("alarms_per_year", "#alarms a year", ".2f"),
    ("recovery_days", "#recovered, days", ".0f"),
    ("expected_recovery_days", "#as expected", ".0f"),
    ("share_flagged_7d", "#flagged 7 days ahead", "share"),
    ("share_flagged_30d", "#30 days", "share"),
    ("share_flagged_60d", "#60 days", "share"),
    ("mrr_share_flagged_30d", "#of MRR, 30 days", "share"),
    ("false_alarms_per_account_month", "#false alarms an account-month", ".3f"),
)


def run_summary(figures: Figures) -> Table:
    """Alarms, recovery and lead time by scenario and run: means over the worlds that have them."""
    rows = []
    for row in figures["run_summary"]:
        cells = {name: _mean(row.get(name), form) for name, _, form in _RUN_MEASURES}
        for prefix in ("", "expected_"):
            if f"{prefix}recovered" in row:
                cells[f"{prefix}recovery_days"] += f" ({row[f'{prefix}recovered']} of {row['worlds']})"
        rows.append((row["scenario"], row["run"], *cells.values()))
    return Table(("scenario", "run", *(name for _, name, _ in _RUN_MEASURES)), rows)


def detector_summary(figures: Figures) -> Table:
    """The flow's alarm beside River's detectors, by scenario."""
    changed = {world["world"]["scenario"] for world in figures["worlds"] if world["change"]}
    rows = []
    for row in figures["detector_summary"]:
        name = f"River's {row['detector']}, defaults" if row["river"] else f"concept_drift of {row['detector']}"
        found = f"{row['detected']} of {row['worlds']}" if row["scenario"] in changed else DASH
        rows.append(
            (row["scenario"], name, _mean(row.get("false_per_year"), ".1f"), found, _mean(row.get("delay_days"), ".0f"))
        )
    columns = ("scenario", "detector", "#false a year", "#found the change", "#days from the change")
    return Table(columns, rows)


def lead(world: Figures) -> Table:
    """What lead time is made of."""
    rows = []
    for name, one in world["runs"].items():
        counts = [one["lead_time"][each] for each in ("cancellations", "flagged", "entries", "false_alarms")]
        months = number(one["lead_time"]["account_months"], ",.0f")
        median = number(one["lead_time"]["median_days"], ".0f")
        rows.append(
            (name, *(f"{count:,}" for count in counts[:2]), median, *(f"{count:,}" for count in counts[2:]), months)
        )
    columns = (
        "run",
        "#cancellations",
        "#flagged",
        "#median lead, days",
        "#entries into high",
        "#false",
        "#account-months",
    )
    return Table(columns, rows)


def alarms(world: Figures) -> Table:
    """All alarms of all runs."""
    rows = [
        (
            name,
            each["as_of"][:16].replace("T", " "),
            each["kind"],
            each["subject"],
            each["method"],
            Cell(each["detail"], "text"),
        )
        for name, one in world["runs"].items()
        for each in one["alarms"]["list"]
    ]
    return Table(("run", "as-of, UTC", "kind", "subject", "method", "detail"), rows)


def labels(world: Figures) -> Table:
    """How soon scores have a label."""
    after = world["labels"]["after"]
    row = [percent(after[days]) for days in after]
    return Table([f"#labelled after {days} days" for days in after], [row])


def outages(world: Figures) -> Table:
    """What an outage did to every run."""
    rows = []
    for name, one in world["runs"].items():
        outage = one["outage"]
        hours = [_hours(outage[f"hours_to_{kind}"]) for kind in ("freshness", "volume")]
        shares = [percent(outage[f"tier_changed_share{which}"], 2) for which in ("", "_without", "_beyond", "_because")]
        rows.append((name, *hours, *shares, percent(outage["tier_differs_share"], 2)))
    columns = ("run", "#hours to the freshness alarm", "#to the volume alarm", "#tier changed", "#without the outage")
    return Table((*columns, "#beyond", "#because of it", "#tier differs between both"), rows)


def _hours(value: float | None) -> str:
    return "none" if value is None else number(value, ".2f")


def standings(world: Figures) -> Table:
    """How the models stood in each run's contest at the end."""
    rows = []
    for run, one in world["runs"].items():
        for model, weeks in one["contest"].items():
            last = weeks[-1]
            gain = (number(last.get("gain"), ".4f"), number(last.get("gain_t"), ".1f"))
            rows.append((run, model, last["day"], number(last.get("log_loss"), ".4f"), *gain))
    return Table(("run", "model", "day", "#log loss", "#gain over the champion", "#standard errors"), rows)


def champions(world: Figures) -> Table:
    """Who scored when."""
    rows = [
        (run, term["model"], term["first_day"], term["last_day"])
        for run, one in world["runs"].items()
        for term in one["champions"]
    ]
    return Table(("run", "model", "from", "to"), rows)


def settings(figures: Figures) -> Iterator[Table]:
    """Every setting, and for more than one run those that differ first."""
    runs = figures["runs"]
    names = list(next(iter(runs.values())))
    differ = [name for name in names if len({repr(one[name]) for one in runs.values()}) > 1]
    for group in (differ, [name for name in names if name not in differ]):
        if group:
            shown = [(name, *(Cell(str(one[name]), "text") for one in runs.values())) for name in group]
            yield Table(("setting", *runs), shown)
