"""One world: simulated if it has to be, replayed once for all runs, and worked out to plain figures."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.errors import ConfigurationError
from c360_stream.features.definitions import INDEX
from c360_stream.logs.refusals import Refusals, reason_lines, reason_records
from c360_stream.monitoring.monitor import MetricRow
from c360_stream.monitoring.profit import Campaign
from c360_stream.tools.evaluate.alarms import alarm_figures, concept_days, outage_figures
from c360_stream.tools.evaluate.contestant import Contestant, WorkedTick
from c360_stream.tools.evaluate.detectors import detections, detector_row
from c360_stream.tools.evaluate.figures import Judged, recovery, scorer_figures
from c360_stream.tools.evaluate.judgement import SILENCE, judgement
from c360_stream.tools.evaluate.lead import lead_time
from c360_stream.tools.evaluate.ledger import Matrices
from c360_stream.tools.evaluate.log_replay import LogReplay
from c360_stream.tools.evaluate.matured import TRUTH_HORIZON_DAYS, ExampleLog, Examples, day_of, iso, read_truth
from c360_stream.tools.evaluate.maturity import LabelCounts
from c360_stream.tools.evaluate.peers import WarmUp, baselines, floor, refitted_lightgbm
from c360_stream.tools.evaluate.sweep import Sweep
from c360_stream.tools.evaluate.tiers import tier_figures
from c360_stream.tools.machine import peak_resident_bytes
from c360_stream.tools.simulate import LogDirectorySink, SimulationSpec, simulate

TRUTH = "truth.jsonl"
ReportProgress = Callable[[str, int, int], None]
"""What is being done, and how many of how many days of it are; 0 days where nobody knows."""


@dataclass(frozen=True)
class World:
    """Which log.

    Parameters
    ----------
    scenario, seed, accounts, days, events_per_account_day
        Of a simulated world; not looked at if there is a log directory.
    log_dir
        A log that exists.
    truth
        Its true risks, if there are any.
    change
        Day of a known change, if the scenario does not name one.
    """

    scenario: str = "steady"
    seed: int = 7
    accounts: int = 600
    days: int = 540
    events_per_account_day: float = 8.0
    log_dir: Path | None = None
    truth: Path | None = None
    change: date | None = None

    @property
    def title(self) -> str:
        """What it is called in progress and report."""
        return f"{self.scenario}, seed {self.seed}" if self.log_dir is None else str(self.log_dir)

    def spec(self, topic_prefix: str = "c360") -> SimulationSpec:
        """Of a simulated world."""
        return SimulationSpec(
            self.accounts,
            self.days,
            self.seed,
            scenario=self.scenario,
            events_per_account_day=self.events_per_account_day,
            topic_prefix=topic_prefix,
        )

    def shown(self) -> dict[str, Any]:
        """What the figures call it."""
        if self.log_dir is not None:
            return {"title": self.title, "scenario": "log", "log_dir": str(self.log_dir)}
        names = ("scenario", "seed", "accounts", "days", "events_per_account_day")
        return {"title": self.title, **{name: getattr(self, name) for name in names}}

    @property
    def change_day(self) -> int | None:
        """Day of the change, since the epoch."""
        spec = self.spec() if self.log_dir is None else None
        if spec is not None and spec.price_day is not None:
            return day_of(spec.start) + spec.price_day
        return None if self.change is None else day_of(self.change)


@dataclass
class Replayed:
    """All that a pass over a log left."""

    first_day: int
    last_day: int
    events: int
    refusals: Refusals
    examples: Examples
    labels: LabelCounts
    contestants: list[Contestant]


def evaluate_world(world: World, sweep: Sweep, scratch: Path, report: ReportProgress) -> dict[str, Any]:
    """Evaluate every run of a sweep on one world.

    Parameters
    ----------
    world, sweep
        What to do.
    scratch
        Directory for simulated logs; what is put there is removed again.
    report
        Called with the progress: step, days done, days in total.

    Returns
    -------
    Figures as plain data; `c360_stream.tools.evaluate.command` describes them.

    Raises
    ------
    ConfigurationError
        If the log cannot be evaluated: nothing in it, no outcome known, or a truth that is not its own.
    """
    began = time.perf_counter()
    with _log(world, sweep, scratch, report) as (log_dir, truth):
        replayed = _replay(sweep, log_dir, world, report)
        if not len(replayed.examples):
            horizon = replayed.contestants[0].settings.horizon_days
            days = replayed.last_day - replayed.first_day + 1
            raise ConfigurationError(
                f"{world.title}: no outcome is known: the log has {days} ticks, and an outcome takes {horizon} days",
                "evaluate a longer log",
            )
        report("reading the truth", 0, 0)
        truth_note = _take_truth(replayed, truth, world)
    report("fitting the peers", 0, 0)
    figures = _figures(world, replayed) | {"truth_note": truth_note}
    window = world.spec().outage_window if world.log_dir is None else None
    if window is not None:
        twins = _twin(world, sweep, scratch, window, report)
        for contestant, twin in zip(replayed.contestants, twins, strict=True):
            run = figures["runs"][contestant.name]
            run["outage"] = outage_figures(contestant.history.alarms, window, contestant.ledger.matrices(), twin)
    peak = peak_resident_bytes() / 2**20
    return figures | {"cost": {"seconds": time.perf_counter() - began, "peak_mebibytes": peak}}


@contextlib.contextmanager
def _log(world: World, sweep: Sweep, scratch: Path, report: ReportProgress) -> Iterator[tuple[Path, Path | None]]:
    """The log directory and the truth; what had to be simulated is gone afterwards."""
    if world.log_dir is not None:
        beside = world.log_dir / TRUTH
        yield world.log_dir, world.truth or (beside if beside.is_file() else None)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="world-") as home:
        spec = world.spec(sweep.settings_of(sweep.runs[0], Path(home)).topic_prefix)
        sink = LogDirectorySink(Path(home), spec.topic_prefix, spec.partitions)
        simulate(spec, sink, Path(home) / TRUTH, lambda day, _: report("simulating", day, spec.days))
        yield Path(home), Path(home) / TRUTH


def _replay(sweep: Sweep, log_dir: Path, world: World, report: ReportProgress, until: int | None = None) -> Replayed:
    """One pass: every run works on each tick. It ends after the tick `until`, if that is given."""
    contestants = [Contestant(run.name, sweep.settings_of(run, log_dir)) for run in sweep.runs]
    settings = contestants[0].settings
    replay = LogReplay(settings)
    log, labels = ExampleLog(tuple(each.name for each in contestants)), LabelCounts(settings.horizon_days)
    first = last = -1
    for tick in replay.ticks():
        first, last = (tick.day if first < 0 else first), tick.day
        worked: dict[str, WorkedTick] = {each.name: each.work(tick) for each in contestants}
        log.take(tick, {name: each.scored for name, each in worked.items()})
        labels.take(tick)
        report("replaying", last - first + 1, world.days if world.log_dir is None else 0)
        if until is not None and tick.day >= until:
            break
    if first < 0:
        raise ConfigurationError(
            f"{world.title}: nothing to evaluate: {replay.events:,} events, {replay.refusals.total():,} refused, and no"
            f" midnight among them{_why(replay.refusals)}",
            "evaluate a log of some months",
        )
    return Replayed(
        first_day=first,
        last_day=last,
        events=replay.events,
        refusals=replay.refusals,
        examples=log.examples(),
        labels=labels,
        contestants=contestants,
    )


def _why(refusals: Refusals) -> str:
    return f" ({'; '.join(reason_lines(refusals))})" if refusals else ""


def _take_truth(replayed: Replayed, truth: Path | None, world: World) -> str:
    """Put the true risks beside the examples, if they are known; else raise the reason."""
    if truth is None:
        return "there is no truth beside this log"
    horizon = replayed.contestants[0].settings.horizon_days
    if horizon != TRUTH_HORIZON_DAYS:
        return f"the truth is of {TRUTH_HORIZON_DAYS} days ahead, the horizon here is {horizon}: it is left out"
    risk = read_truth(truth, replayed.examples)
    missing = int(np.isnan(risk).sum())
    if missing:
        raise ConfigurationError(
            f"{world.title}: {truth} lacks {missing:,} of {len(risk):,} examples",
            "give the truth of this very log, or remove it",
        )
    replayed.examples.true_risk = risk
    return ""


def _twin(
    world: World, sweep: Sweep, scratch: Path, window: tuple[datetime, datetime], report: ReportProgress
) -> list[Matrices]:
    """Every run's ledger of the same world without its outage, up to the first tick after the outage's end."""
    twin = replace(world, scenario="steady")

    def report_twin(step: str, done: int, total: int) -> None:
        report(f"{step} without the outage", done, total)

    with _log(twin, sweep, scratch, report_twin) as (log_dir, _):
        until = day_of((window[1] + timedelta(days=1)).astimezone(UTC).date())
        return [each.ledger.matrices() for each in _replay(sweep, log_dir, twin, report_twin, until).contestants]


def _figures(world: World, replayed: Replayed) -> dict[str, Any]:
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
