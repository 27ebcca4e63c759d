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
from c360_stream.tools.evaluate.ablation import ablation, importance
from c360_stream.tools.evaluate.alarms import alarm_figures, concept_days
from c360_stream.tools.evaluate.comparison import comparison, contest_comparison, segment_comparisons
from c360_stream.tools.evaluate.contestant import Contestant
from c360_stream.tools.evaluate.detectors import detections, detector_row
from c360_stream.tools.evaluate.figures import Judged, recovery, scorer_figures
from c360_stream.tools.evaluate.judgement import judgement
from c360_stream.tools.evaluate.latency import contender_latency, peer_latency
from c360_stream.tools.evaluate.lead import lead_time
from c360_stream.tools.evaluate.matured import Examples, day_of, iso
from c360_stream.tools.evaluate.names import BATCH, FLOOR, LIGHTGBM, SILENCE
from c360_stream.tools.evaluate.resamples import Resamples
from c360_stream.tools.evaluate.scorers import Scorers, scorers_of
from c360_stream.tools.evaluate.tiers import tier_figures
from c360_stream.tools.evaluate.world import Replayed, World

SECOND_MONTH_DAYS = 30

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def world_figures(world: World, replayed: Replayed, *, ablated: bool = False) -> dict[str, Any]:
    """Figures as plain data; `c360_stream.tools.evaluate.command` describes them.

    Parameters
    ----------
    world, replayed
        What was replayed.
    ablated
        Whether LightGBM is refitted without each feature and group of features.
    """
    settings, examples = replayed.contestants[0].settings, replayed.examples
    scorers = scorers_of(world, replayed)
    scores = scorers.scores
    kept = _kept(replayed, scorers)
    judged = _judged(world, replayed, kept)
    kept_scores = {name: risk[kept] for name, risk in scores.items()}
    campaign = Campaign(settings.contact_cost_cents, settings.offer_cost_cents, settings.margin_share)
    runs = {each.name: _run_figures(each, replayed, judged, kept, scores) for each in replayed.contestants}
    figures: dict[str, Any] = {
        "world": world.shown(),
        "change": None if world.change_day is None else iso(world.change_day),
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
        "lightgbm_fits": [iso(refit.day) for refit in scorers.refits],
        "lightgbm_rounds": scorers.lightgbm_rounds,
        "floor_kinds": scorers.floor_kinds,
        "scorers": {
            name: scorer_figures(judged, risk, campaign, order=name == SILENCE) for name, risk in kept_scores.items()
        },
        "comparison": segment_comparisons(judged, kept_scores, list(runs)),
        "runs": runs,
        "detectors": _detector_table(replayed, kept, judged),
        "labels": replayed.labels.figures(),
    }
    for each in replayed.contestants:
        own = {name: risk for name, risk in kept_scores.items() if name == each.name or name not in runs}
        runs[each.name] |= {
            "judgement": _judgement(each, judged, kept_scores),
            "contenders": contest_comparison(judged, own, each.name, _of_rows(examples.contenders[each.name], kept)),
            "contributions": each.contributions.figures(),
        }
    figures["second_month"] = _second_month(world, replayed, scores, runs)
    return figures | _worth(examples, scorers, kept, judged, ablated) | {"latency": _latency(replayed, scorers)}


def _kept(replayed: Replayed, scorers: Scorers) -> Flags:
    """The examples that every scorer has scored; if there is no batch model to wait for, from the second month on."""
    kept = np.all([~np.isnan(risk) for risk in scorers.scores.values()], axis=0)
    later = kept & (replayed.examples.as_of_day >= replayed.first_day + SECOND_MONTH_DAYS)
    return np.asarray(later if not scorers.refits and later.any() else kept)


def _judged(world: World, replayed: Replayed, kept: Flags) -> Judged:
    """What is judged: before LightGBM's first fit, or the first score, nothing."""
    if not kept.any():
        raise ConfigurationError("no example was scored by every scorer", "evaluate a longer log")
    judged = _all_examples(world, replayed).of(np.flatnonzero(kept))
    if world.change is not None and not judged.first_day <= day_of(world.change) <= judged.last_day:
        judged_days = f"{iso(judged.first_day)} to {iso(judged.last_day)}"
        raise ConfigurationError(
            f"--change {world.change}: the as-ofs that can be judged are {judged_days}", "name a day among them"
        )
    return judged


def _all_examples(world: World, replayed: Replayed) -> Judged:
    examples = replayed.examples
    _, account = np.unique(np.array(examples.ids, object), return_inverse=True)
    return Judged(
        as_of_day=examples.as_of_day,
        churned=examples.churned,
        true_risk=examples.true_risk,
        mrr_cents=examples.features[:, INDEX["mrr_cents"]],
        account=account,
        first_day=int(examples.as_of_day[0]),
        last_day=int(examples.as_of_day[-1]),
        change=world.change_day,
        horizon_days=replayed.contestants[0].settings.horizon_days,
    )


def _of_rows(scores: dict[str, Floats], rows: Flags) -> dict[str, Floats]:
    return {name: risk[rows] for name, risk in scores.items()}


def _judgement(contestant: Contestant, judged: Judged, scores: dict[str, Floats]) -> dict[str, Any]:
    settings = contestant.settings
    thresholds = (settings.tier_medium, settings.tier_high, settings.tier_critical)
    return judgement(judged, scores, contestant.name, thresholds)


def _second_month(
    world: World, replayed: Replayed, scores: dict[str, Floats], runs: dict[str, Any]
) -> dict[str, Any] | None:
    """What can be judged from the second month on, whether or not a batch model could be fitted; None if nothing.

    Each run gets a `second_month` of its own: `judgement` and `calls`.
    """
    from_day = replayed.first_day + SECOND_MONTH_DAYS
    names = [name for name in scores if name not in (*BATCH, FLOOR)]
    early = replayed.examples.as_of_day < from_day
    kept = ~early & np.all([~np.isnan(scores[name]) for name in names], axis=0)
    judged = _all_examples(world, replayed).of(np.flatnonzero(kept)) if kept.any() else None
    own = _of_rows({name: scores[name] for name in names}, kept)
    for each in replayed.contestants:
        runs[each.name]["second_month"] = (
            None
            if judged is None
            else {
                "judgement": _judgement(each, judged, own),
                "calls": each.calls.figures(judged.first_day, judged.horizon_days),
            }
        )
    return None if judged is None else comparison(judged, own, list(runs))


def _worth(examples: Examples, scorers: Scorers, kept: Flags, judged: Judged, ablated: bool) -> dict[str, Any]:
    """What features are worth to LightGBM."""
    if LIGHTGBM not in scorers.batch:
        return {"importance": None, "ablation": None}
    resamples = Resamples(judged.account, judged.churned)
    given = (examples.features, scorers.refits, scorers.batch[LIGHTGBM], np.flatnonzero(kept), resamples)
    return {"importance": importance(*given), "ablation": ablation(*given) if ablated else None}


def _latency(replayed: Replayed, scorers: Scorers) -> dict[str, Any]:
    """By run its contenders', and of the batch models."""
    examples = replayed.examples
    return {
        "batch": {name: peer_latency(peer, examples) for name, peer in scorers.batch.items()},
        "runs": {each.name: contender_latency(each.contenders, examples) for each in replayed.contestants},
    }


def _run_figures(
    contestant: Contestant, replayed: Replayed, judged: Judged, kept: NDArray[np.bool_], scores: dict[str, Any]
) -> dict[str, Any]:
    history = contestant.history
    matrices = contestant.ledger.matrices()
    ends = [day for day, _ in history.terms[1:]] + [replayed.last_day + 1]
    best = scores.get(FLOOR)
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
