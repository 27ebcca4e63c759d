"""Who scores: promotion, demotion and fall-back, and when a fresh model is begun."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import DriftAlarm
from c360_stream.learning.contest import Contest, Standing
from c360_stream.models.catalogue import BASELINES
from c360_stream.monitoring.alarms import CRITICAL, WARNING, drift_alarm

# Standard errors by which another model has to be better. It is asked every day, and days depend on each other:
# at 3 a model that is no better is promoted about once in several decades.
T_MIN = 3.0
# And by at least this share of the champion's loss: certain, but immaterial, is no reason to change who scores.
GAIN_SHARE_MIN = 0.002
# Outcomes that a judgement rests on, counted as the contest counts them.
EXAMPLES_MIN = 1_000.0


@dataclass(slots=True)
class ChampionTerm:
    """Who scores, and since which tick."""

    champion: str
    since_day: int


class Change(NamedTuple):
    """A change of champion."""

    old: str
    new: str
    standing: Standing


def challenge(
    term: ChampionTerm, contest: Contest, contenders: Collection[str], day: int, term_days: int
) -> Change | None:
    """Whether another model is to score from this tick on.

    Parameters
    ----------
    contenders
        Names of the models that may.
    term_days
        For so long a new champion is left alone: before that, none of its predictions as champion has an outcome.
    """
    if day - term.since_day < term_days:
        return None
    loss = contest.loss(term.champion)
    found: list[tuple[float, str, Standing]] = []
    for name in contest.names:
        if name == term.champion or name not in contenders:
            continue
        standing = contest.standing(name, term.champion)
        enough = standing.examples >= EXAMPLES_MIN and standing.t > T_MIN
        if enough and standing.gain > GAIN_SHARE_MIN * loss:
            found.append((standing.gain, name, standing))
    if not found:
        return None
    _, name, standing = max(found, key=lambda each: (each[0], each[1]))
    return Change(term.champion, name, standing)


def change_alarm(change: Change, day: int) -> DriftAlarm:
    """The alarm that another model scores now."""
    fallen_back = change.new in BASELINES
    did = "fell back to" if fallen_back else "promoted"
    return drift_alarm(
        day * US_PER_DAY,
        "performance",
        change.new,
        "paired_log_loss",
        statistic=change.standing.t,
        threshold=T_MIN,
        level=CRITICAL if fallen_back else WARNING,
        action=f"{did} {change.new}; {change.old} goes on in shadow",
        detail=f"{change.new} would have saved {change.standing.gain:.4f} of log loss an example against {change.old}, "
        f"{change.standing.t:.1f} standard errors, on {change.standing.examples:.0f} outcomes.",
    )


def fresh_alarm(name: str, reason: str, examples: int, day: int) -> DriftAlarm:
    """The alarm that a fresh challenger has been started."""
    return drift_alarm(
        day * US_PER_DAY,
        "performance",
        name,
        "retraining",
        statistic=float(examples),
        threshold=0.0,
        level=WARNING,
        action=f"began {name} afresh on the last {examples} outcomes; it runs in shadow until it proves better",
        detail=reason,
    )
