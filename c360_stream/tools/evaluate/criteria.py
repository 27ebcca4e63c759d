"""The project's own limits, each with its value and whether it is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from c360_stream.learning.champion import GAIN_SHARE_MIN, T_MIN
from c360_stream.tools.evaluate.names import BATCH, FLOOR, LIGHTGBM

Figures = dict[str, Any]


def criteria(worlds: Sequence[Figures], run: str) -> list[Figures]:
    """The limits that these worlds can test, for one run, by scenario."""
    found: list[Figures] = []
    for scenario in dict.fromkeys(world["world"]["scenario"] for world in worlds):
        same = [world for world in worlds if world["world"]["scenario"] == scenario]
        rows = [*_ranking(same, run), *_calibration(same, run), *_alarms(same, run, scenario)]
        found += [{"scenario": scenario, "run": run} | row for row in rows if row["value"] is not None or row["needed"]]
    return found


def _row(
    name: str,
    what: str,
    value: float | None,
    limits: tuple[float | None, float | None],
    note: str = "",
    *,
    needed: bool = False,
) -> Figures:
    low, high = limits
    met = value is not None and (low is None or value >= low) and (high is None or value <= high)
    row: Figures = {"name": name, "what": what, "value": value, "at_least": low, "at_most": high}
    return row | {"met": met, "note": note, "needed": needed}


def _of_segment(worlds: Sequence[Figures], scorer: str, segment: str, metric: str) -> float | None:
    """Mean over the worlds; None if one of them has no such figure."""
    try:
        values = [world["scorers"][scorer]["segments"][segment][metric] for world in worlds]
    except KeyError:
        return None
    return None if any(math.isnan(value) for value in values) else fmean(values)


def _less(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _ranking(worlds: Sequence[Figures], run: str) -> list[Figures]:
    changed = any(world["change"] for world in worlds)
    stable = "before" if changed else "all"
    when = "before the change" if changed else "over all as-ofs"

    def of(scorer: str, segment: str = stable, metric: str = "roc_auc") -> float | None:
        return _of_segment(worlds, scorer, segment, metric)

    own, peer, best = of(run), of(LIGHTGBM), of(FLOOR)
    peers = [value for name in BATCH if (value := of(name)) is not None]
    losses = [value for name in BATCH if (value := of(name, metric="log_loss")) is not None]
    rows = [
        _row("roc_auc_against_lightgbm", f"mean ROC-AUC less LightGBM's, {when}", _less(own, peer), (0.0, None)),
        _row(
            "roc_auc_share_of_best_peer",
            f"mean ROC-AUC over that of the best batch model, {when}",
            own / max(peers) if own is not None and peers else None,
            (1.0, None),
        ),
        _row(
            "log_loss_against_best_peer",
            f"mean log loss less that of the best batch model, {when}",
            _less(of(run, metric="log_loss"), min(losses, default=None)),
            (None, 0.0),
        ),
        _row(
            "roc_auc_share_of_floor",
            f"mean ROC-AUC over that of the best these features allow, {when}",
            own / best if own is not None and best else None,
            (0.985, None),
        ),
    ]
    if changed:
        gain = _less(of(run, "after_60d"), of(LIGHTGBM, "after_60d"))
        rows.append(
            _row(
                "roc_auc_after_against_lightgbm",
                "mean ROC-AUC less LightGBM's, 60 days after the change",
                gain,
                (0.04, None),
            )
        )
        rows += [_recovered(worlds, run, prefix) for prefix in ("", "expected_")]
    return rows


def _recovered(worlds: Sequence[Figures], run: str, prefix: str) -> Figures:
    days = [world["runs"][run]["recovery"].get(f"{prefix}recovery_days", -1) for world in worlds]
    known = [day for day in days if day != -1]
    never = sum(day is None for day in known)
    value = fmean(known) if known and not never else None
    how = " as expected from the true risks" if prefix else ""
    return _row(
        f"{prefix}recovery_days",
        f"mean days from the change until the 28-day ROC-AUC{how} stays above 0.985 of the best",
        value,
        (None, 40.0),
        f"by world: {', '.join('never' if day is None else f'{day:.0f}' for day in known)}",
        needed=bool(known),
    )


def _calibration(worlds: Sequence[Figures], run: str) -> list[Figures]:
    rows = []
    for name, against, what in (
        ("calibration_ratio_true", "mean_true_risk", "the true risks"),
        ("calibration_ratio", "churners", "what happened"),
    ):
        ratios = _pooled_ratios(worlds, run, against)
        worst = max(ratios.values(), key=lambda ratio: abs(ratio - 1.0), default=None)
        note = "by block: " + ", ".join(f"{number}: {ratio:.3f}" for number, ratio in ratios.items())
        note += "; horizons of block -1 reach past a change that nobody could know of" if -1 in ratios else ""
        label = f"calibration ratio against {what} in the worst whole 60-day block but the first, worlds pooled"
        rows.append(_row(name, label, worst, (0.93, 1.07), note))
    worst_world = [world["scorers"][run]["segments"]["all"].get("ece") for world in worlds]
    known = [value for value in worst_world if value is not None]
    rows.append(_row("ece", "mean expected calibration error", fmean(known) if known else None, (None, 0.02)))
    return rows


def _pooled_ratios(worlds: Sequence[Figures], run: str, against: str) -> dict[int, float]:
    """Sum of risks over what there was, by block, over all worlds."""
    sums: dict[int, list[float]] = {}
    for world in worlds:
        blocks = world["scorers"][run]["blocks"]
        for place, block in enumerate(blocks[1:], 1):
            if not block["whole"] or against not in block or not block["examples"]:
                continue
            number = block["block"] if world["change"] else place
            examples = block["examples"]
            there = block["churners"] if against == "churners" else examples * block["mean_true_risk"]
            pooled = sums.setdefault(number, [0.0, 0.0])
            pooled[0] += examples * block["mean_risk"]
            pooled[1] += there
    return {number: predicted / there for number, (predicted, there) in sorted(sums.items()) if there}


def _alarms(worlds: Sequence[Figures], run: str, scenario: str) -> list[Figures]:
    runs = [world["runs"][run] for world in worlds]

    def few() -> list[Figures]:
        a_year = fmean(one["alarms"]["per_year"] for one in runs)
        return [_row("alarms_per_year", "mean alarms a year", a_year, (None, 2.0))]

    checks: dict[str, Callable[[], list[Figures]]] = {
        "steady": few,
        "monthly_rhythm": few,
        "price_increase": lambda: _change_alarms(worlds, runs),
        "outage": lambda: _outage(runs),
    }
    return checks[scenario]() if scenario in checks else []


def _change_alarms(worlds: Sequence[Figures], runs: Sequence[Figures]) -> list[Figures]:
    delays = [one["alarms"].get("concept_delay_days") for one in runs]
    known = [delay for delay in delays if delay is not None]
    note = "by world: " + ", ".join("none" if delay is None else str(delay) for delay in delays)
    late = max(known) if len(known) == len(delays) else None
    better = [_better_challenger(one, world["change"]) for one, world in zip(runs, worlds, strict=True)]
    missed = sum(wins and not one["alarms"]["promoted_after_change"] for wins, one in zip(better, runs, strict=True))
    outcome = (
        f"better in {sum(better)}, promoted in {sum(bool(one['alarms']['promoted_after_change']) for one in runs)}"
    )
    return [
        _row(
            "concept_delay_days",
            "latest first concept-drift alarm, days after the change",
            late,
            (None, 75),
            note,
            needed=True,
        ),
        _row(
            "better_challengers_not_promoted",
            "worlds in which a challenger proved better after the change and none was promoted",
            float(missed),
            (None, 0.0),
            f"of {len(runs)} worlds: a challenger {outcome}",
        ),
    ]


def _better_challenger(run: Figures, change: str) -> bool:
    """Whether some model that did not score stood certainly and materially better in some week after the change."""
    return any(
        row["day"] > change
        and row.get("gain_t", 0.0) > T_MIN
        and row.get("gain", 0.0) > GAIN_SHARE_MIN * row.get("log_loss", 1.0)
        for rows in run["contest"].values()
        for row in rows
    )


def _outage(runs: Sequence[Figures]) -> list[Figures]:
    rows = []
    for kind in ("freshness", "volume"):
        hours = [one["outage"][f"hours_to_{kind}"] for one in runs]
        latest = None if None in hours else max(hours)
        rows.append(
            _row(
                f"hours_to_{kind}", f"hours of event time to the {kind} alarm, latest", latest, (None, 1.0), needed=True
            )
        )
    for name, what in (
        ("tier_changed_share_beyond", "share of accounts that changed tier, beyond that without the outage, most"),
        (
            "tier_changed_share_because",
            "share of accounts that took a tier which they have not without the outage, most",
        ),
    ):
        shares = [one["outage"][name] for one in runs]
        rows.append(_row(name, what, None if None in shares else max(shares), (None, 0.02)))
    return rows
