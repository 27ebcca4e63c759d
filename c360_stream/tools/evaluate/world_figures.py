"""The figures of a world, from what the pass over its log left."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.errors import ConfigurationError
from c360_stream.features.definitions import INDEX
from c360_stream.logs.refusals import reason_records
from c360_stream.monitoring.monitor import MetricRow
from c360_stream.monitoring.profit import Campaign
from c360_stream.tools.evaluate.alarms import alarm_figures, concept_days
from c360_stream.tools.evaluate.contestant import Contestant
from c360_stream.tools.evaluate.detectors import detections, detector_row
from c360_stream.tools.evaluate.figures import Judged, recovery, scorer_figures
from c360_stream.tools.evaluate.floor import floor
from c360_stream.tools.evaluate.judgement import SILENCE, judgement
from c360_stream.tools.evaluate.lead import lead_time
from c360_stream.tools.evaluate.matured import Examples, day_of, iso
from c360_stream.tools.evaluate.peers import WarmUp, baselines, refitted_lightgbm
from c360_stream.tools.evaluate.tiers import tier_figures
from c360_stream.tools.evaluate.world import Replayed, World


def world_figures(world: World, replayed: Replayed) -> dict[str, Any]:
    """Figures as plain data; `c360_stream.tools.evaluate.command` describes them."""
    first_run = replayed.contestants[0]
    settings, examples, change = first_run.settings, replayed.examples, world.change_day
    scores = {each.name: examples.risk[each.name] for each in replayed.contestants}
    warm_up = WarmUp(settings.warmup_outcomes, settings.warmup_churned)
    lightgbm, fits = refitted_lightgbm(examples, replayed.first_day, settings.horizon_days, warm_up)
    scores |= {"lightgbm-28d": lightgbm} if fits else {}
    kinds: dict[str, str] = {}
    if examples.true_risk is not None:
        best, kinds = floor(examples, change)
        scores |= {"floor": best, "oracle": examples.true_risk}
    scores |= baselines(examples, settings.horizon_days, settings.prior_churn_rate)
    kept = np.all([~np.isnan(risk) for risk in scores.values()], axis=0)
    judged = _judged(examples, kept, change, settings.horizon_days)
    if world.change is not None and not judged.first_day <= day_of(world.change) <= judged.last_day:
        judged_days = f"{iso(judged.first_day)} to {iso(judged.last_day)}"
        raise ConfigurationError(
            f"--change {world.change}: the as-ofs that can be judged are {judged_days}", "name a day among them"
        )
    campaign = Campaign(settings.contact_cost_cents, settings.offer_cost_cents, settings.margin_share)
    labels = replayed.labels.figures()
    runs = {each.name: _run_figures(each, replayed, judged, kept, scores) for each in replayed.contestants}
    _, account = np.unique(np.array(examples.ids, object)[kept], return_inverse=True)
    kept_scores = {name: risk[kept] for name, risk in scores.items()}
    orders = kept_scores | {SILENCE: examples.features[kept, INDEX["days_since_last_activity"]]}
    for each in replayed.contestants:
        thresholds = (each.settings.tier_medium, each.settings.tier_high, each.settings.tier_critical)
        runs[each.name]["judgement"] = judgement(judged, account, orders, each.name, thresholds)
    return {
        "world": world.shown(),
        "change": None if change is None else iso(change),
        "first_tick": iso(replayed.first_day),
        "last_tick": iso(replayed.last_day),
        "judged_from": iso(judged.first_day),
        "judged_to": iso(judged.last_day),
        "events": replayed.events,
        "refused": replayed.refusals.total(),
        "refusals": reason_records(replayed.refusals),
        "examples": len(judged.churned),
        "churners": int(judged.churned.sum()),
        "horizon_days": settings.horizon_days,
        "tier_high": settings.tier_high,
        "lightgbm_fits": [iso(day) for day in fits],
        "floor_kinds": kinds,
        "scorers": {name: scorer_figures(judged, risk, campaign) for name, risk in kept_scores.items()},
        "runs": runs,
        "detectors": _detector_table(replayed, kept, judged),
        "labels": labels,
    }


def _judged(examples: Examples, kept: NDArray[np.bool_], change: int | None, horizon_days: int) -> Judged:
    """The examples that every scorer has scored. Before LightGBM's first fit, or the first score, there are none."""
    rows = np.flatnonzero(kept)
    if not len(rows):
        raise ConfigurationError("no example was scored by every scorer", "evaluate a longer log")
    days = examples.as_of_day[rows]
    truth = None if examples.true_risk is None else examples.true_risk[rows]
    mrr_cents = examples.features[rows, INDEX["mrr_cents"]]
    return Judged(
        as_of_day=days,
        churned=examples.churned[rows],
        true_risk=truth,
        mrr_cents=mrr_cents,
        first_day=int(days[0]),
        last_day=int(days[-1]),
        change=change,
        horizon_days=horizon_days,
    )


def _run_figures(
    contestant: Contestant, replayed: Replayed, judged: Judged, kept: NDArray[np.bool_], scores: dict[str, Any]
) -> dict[str, Any]:
    history = contestant.history
    matrices = contestant.ledger.matrices()
    ends = [day for day, _ in history.terms[1:]] + [replayed.last_day + 1]
    best = scores.get("floor")
    risk = scores[contestant.name]
    return {
        "alarms": alarm_figures(history.alarms, replayed.first_day, replayed.last_day, judged.change),
        "recovery": {} if best is None else recovery(judged, risk[kept], best[kept]),
        "lead_time": lead_time(matrices, judged.first_day, judged.horizon_days),
        "calls": contestant.calls.figures(judged.first_day, judged.horizon_days),
        "tiers": tier_figures(matrices, judged.first_day, judged.horizon_days),
        "champions": [
            {"model": name, "first_day": iso(day), "last_day": iso(end - 1)}
            for (day, name), end in zip(history.terms, ends, strict=True)
        ],
        "contest": _contest(history.metrics),
        "reasons": contestant.reasons.figures(replayed.examples.features),
    }


def _contest(metrics: list[MetricRow]) -> dict[str, list[dict[str, Any]]]:
    """How every model stood in the contest, week by week: model -> rows."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in metrics:
        if row.segment == "contest":
            day = iso(row.as_of_us // US_PER_DAY)
            found.setdefault(row.model_name, {}).setdefault(day, {"day": day})[row.metric] = row.value
    return {name: list(days.values()) for name, days in sorted(found.items())}


def _detector_table(replayed: Replayed, kept: NDArray[np.bool_], judged: Judged) -> dict[str, Any]:
    """River's detectors on the first run's loss, and every run's own concept-drift alarms."""
    first_run = replayed.contestants[0]
    begin = judged.first_day + judged.horizon_days
    found = detections(replayed.examples, replayed.examples.risk[first_run.name], kept, judged.horizon_days)
    rows = {each.name: concept_days(each.history.alarms) for each in replayed.contestants}
    return {
        "fed_with": first_run.name,
        "runs": {name: detector_row(days, begin, replayed.last_day, judged.change) for name, days in rows.items()},
        "river": {name: detector_row(days, begin, replayed.last_day, judged.change) for name, days in found.items()},
    }
