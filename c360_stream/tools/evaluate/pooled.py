"""A run's figures over all worlds of a scenario, which are independent of each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from c360_stream.monitoring.quality import Z_95
from c360_stream.tools.evaluate.clusters import Estimate
from c360_stream.tools.evaluate.names import BATCH

Figures = dict[str, Any]


def interval(estimate: Estimate) -> tuple[float, float]:
    """Of 95%."""
    return estimate.value - Z_95 * estimate.error, estimate.value + Z_95 * estimate.error


def pooled(estimates: Iterable[Figures | None], weights: Sequence[float] | None = None) -> Estimate | None:
    """Weighted mean of independent estimates, those that are missing left out; None if all are."""
    found = list(estimates)
    known = [(one, weight) for one, weight in zip(found, weights or [1.0] * len(found), strict=True) if one is not None]
    total = sum(weight for _, weight in known)
    if not total:
        return None
    value = sum(one["value"] * weight for one, weight in known) / total
    return Estimate(value, math.sqrt(sum((one["error"] * weight) ** 2 for one, weight in known)) / total)


@dataclass(frozen=True)
class Part:
    """What came of some of the risks.

    Parameters
    ----------
    name
        Of which.
    examples, accounts
        Scores, and different accounts (of each world).
    mean_risk, left, true
        Mean risk, share that left, and mean true risk if it is known.
    gap
        The second less the first, with its error.
    """

    name: str
    examples: int
    accounts: int
    mean_risk: float
    left: float
    true: float | None
    gap: Estimate | None


@dataclass(frozen=True)
class Calls:
    """What came of Monday's lists.

    Parameters
    ----------
    calls, followed
        Accounts on lists, and those of them that left within the horizon.
    a_monday, new_a_monday
        Accounts on a list, and those of them that were not on the list before.
    cancellations, caught
        All, and those whose account had been on a list within the horizon before.
    days
        Of the caught: how many by whole days from the first list.
    """

    calls: int
    followed: int
    a_monday: float
    new_a_monday: float | None
    cancellations: int
    caught: int
    days: tuple[int, ...]

    @property
    def median_days(self) -> int | None:
        """Half of the caught were on a list so many days ahead, or more."""
        later = 0
        for days in reversed(range(len(self.days))):
            later += self.days[days]
            if 0 < self.caught <= 2 * later:
                return days
        return None

    def caught_ahead(self, days: int) -> int:
        """Cancellations that were on a list so many days ahead, or more."""
        return sum(self.days[days:])


class Pool:
    """One run in all worlds of one scenario.

    Parameters
    ----------
    worlds
        The worlds' figures.
    run
        Its name.
    early
        Whether all is judged from the second month on, instead of the day on which batch models were first fitted.
    """

    def __init__(self, worlds: Sequence[Figures], run: str, *, early: bool = False) -> None:
        self.worlds = worlds
        self.run = run
        self.early = early
        runs = [world["runs"][run] for world in worlds]
        self._runs = [one["second_month"] for one in runs] if early else runs
        self._judged = [one["judgement"] for one in self._runs]
        self.first_day = min(one["first_day"] for one in self._judged)
        self.last_day = max(one["last_day"] for one in self._judged)
        self.examples = sum(one["examples"] for one in self._judged)
        self.churned = sum(one["churners"] for one in self._judged)
        self.accounts = sum(one["accounts"] for one in self._judged)
        self.stayed = sum(one["stayed"] for one in self._judged)
        self.left = sum(one["left"] for one in self._judged)
        self.roc_auc = pooled(one["roc_auc"] for one in self._judged)
        self.gap = pooled((one["gap"] for one in self._judged), [one["examples"] for one in self._judged])
        risks = [one["mean_risk"] * one["examples"] for one in self._judged]
        self.horizon_days: int = worlds[0]["horizon_days"]
        self.mean_risk = sum(risks) / self.examples
        self.observed = self.churned / self.examples

    def above(self, rival: str) -> Estimate | None:
        """How much the ROC-AUC is above a rival's."""
        return pooled(one["against"].get(rival) for one in self._judged)

    def log_loss_above(self, rival: str) -> Estimate | None:
        """How much the log loss is above a rival's."""
        return pooled(one["log_loss_against"].get(rival) for one in self._judged)

    def best_peer(self, by: str = "roc_auc") -> str | None:
        """The batch model with the best figure, `roc_auc` or `log_loss`, over all worlds; None if none was fitted."""
        above = {name: self.above(name) if by == "roc_auc" else self.log_loss_above(name) for name in BATCH}
        known = {name: estimate.value for name, estimate in above.items() if estimate is not None}
        if not known:
            return None
        return (min if by == "roc_auc" else max)(known, key=known.__getitem__)

    def bands(self) -> list[Part]:
        """By bands of risk, lowest first."""
        found: dict[tuple[float, float], list[Figures]] = {}
        for one in self._judged:
            for band in one["bands"]:
                found.setdefault((band["risk_low"], band["risk_high"]), []).append(band)
        return [_part(_bounds(*bounds), same) for bounds, same in sorted(found.items())]

    def times(self) -> list[Part]:
        """By 60 days, each world for itself."""
        return [
            _part(f"{time['first_day']} to {time['last_day']}", [time]) for one in self._judged for time in one["times"]
        ]

    def calls(self, order: str) -> Calls | None:
        """What came of the lists of an order; None if there is none whose horizon has passed."""
        same = [one["calls"][order] for one in self._runs]
        mondays = sum(each["mondays"] for each in same)
        if not mondays:
            return None
        fresh = [each["new_per_monday"] for each in same if each["new_per_monday"] is not None]
        calls, followed, cancellations, caught = (
            sum(each[name] for each in same) for name in ("calls", "followed", "cancellations", "caught")
        )
        days = tuple(map(sum, zip(*(each["days"] for each in same), strict=True)))
        return Calls(
            calls=calls,
            followed=followed,
            a_monday=calls / mondays,
            new_a_monday=fmean(fresh) if fresh else None,
            cancellations=cancellations,
            caught=caught,
            days=days,
        )

    def calls_above_rule(self) -> Estimate | None:
        """Share of the model's calls that were followed less that of the rule's."""
        calls = [one["calls"] for one in self._runs]
        return pooled((each["model_above_rule"] for each in calls), [each["model"]["calls"] for each in calls])

    def segment(self, name: str, metric: str) -> float | None:
        """Mean of a metric of a segment over the worlds that have it."""
        segments = [world["scorers"][self.run]["segments"].get(name, {}) for world in self.worlds]
        values = [each[metric] for each in segments if each.get(metric) is not None]
        return fmean(values) if values else None


def _bounds(low: float, high: float) -> str:
    if high == 1.0:
        return f"{low:.0%} and more"
    return f"less than {high:.0%}" if low == 0.0 else f"{low:.0%} to {high:.0%}"


def _part(name: str, same: Sequence[Figures]) -> Part:
    examples = [band["examples"] for band in same]

    def mean(name: str) -> float:
        return fmean((float(band[name]) for band in same), examples)

    true = mean("mean_true_risk") if all("mean_true_risk" in band for band in same) else None
    gap = pooled((band["gap"] for band in same), examples)
    accounts = sum(band["accounts"] for band in same)
    return Part(
        name,
        examples=sum(examples),
        accounts=accounts,
        mean_risk=mean("mean_risk"),
        left=mean("observed_rate"),
        true=true,
        gap=gap,
    )
