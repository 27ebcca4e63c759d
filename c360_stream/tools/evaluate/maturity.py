"""Label maturity: how soon the scores of an as-of have a label, and how many wait for one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.tools.evaluate.log_replay import ReplayedTick
from c360_stream.tools.evaluate.matured import iso

AGES_DAYS = (7, 30, 60)
STEP_DAYS = 7


class LabelCounts:
    """Counts the labels of all scores by as-of. Memory: 8 bytes a day and a day of age.

    A score's label is pending; provisional, once its account has cancelled before the horizon has passed; matured,
    once it has passed; and corrected, if a cancellation that came late turned it afterwards.

    Parameters
    ----------
    horizon_days
        Days after which a label is known in any case.
    """

    def __init__(self, horizon_days: int) -> None:
        self._horizon = horizon_days
        self._scored: dict[int, int] = {}
        self._churned: dict[int, list[int]] = {}
        self._corrected: dict[int, int] = {}

    def take(self, tick: ReplayedTick) -> None:
        """Take a tick."""
        self._scored[tick.day] = sum(len(rows.account) for rows in tick.rows)
        self._churned[tick.day] = [0] * (self._horizon + 1)
        self._corrected[tick.day] = 0
        for rows in tick.rows:
            known = rows.labels.known
            for as_of, count in zip(*np.unique(known.as_of_day[known.churned], return_counts=True), strict=True):
                age = tick.day - int(as_of)
                if age > self._horizon:
                    self._corrected[tick.day] += int(count)
                elif int(as_of) in self._churned:
                    self._churned[int(as_of)][age] += int(count)

    def figures(self) -> dict[str, Any]:
        """Shares labelled by age, and the counts through time."""
        days = sorted(self._scored)
        scored = np.array([self._scored[day] for day in days], np.int64)
        churned = np.cumsum(np.array([self._churned[day] for day in days], np.int64), axis=1)
        whole = max(len(days) - self._horizon, 0)
        labelled = churned[:whole].copy()
        labelled[:, self._horizon] = scored[:whole]
        total = int(scored[:whole].sum())
        by_age = (labelled.sum(axis=0) / total).tolist() if total else []
        return {
            "by_age": by_age,
            "after": {str(age): self._after(by_age, age) for age in AGES_DAYS},
            "as_ofs": [
                {"as_of": iso(days[i]), "scores": int(scored[i])}
                | {f"labelled_{age}d": int(labelled[i, min(age, self._horizon)]) for age in AGES_DAYS}
                for i in range(0, whole, STEP_DAYS)
            ],
            "through_time": [self._at(i, days, scored, churned) for i in range(0, len(days), STEP_DAYS)],
        }

    def _after(self, by_age: list[float], age: int) -> float | None:
        return by_age[min(age, self._horizon)] if by_age else None

    def _at(self, i: int, days: list[int], scored: NDArray[np.int64], churned: NDArray[np.int64]) -> dict[str, Any]:
        """What is known at a tick, its own scores included."""
        young = range(max(0, i - self._horizon + 1), i + 1)
        provisional = sum(int(churned[j, i - j]) for j in young)
        return {
            "day": iso(days[i]),
            "pending": sum(int(scored[j]) for j in young) - provisional,
            "provisional": provisional,
            "matured": int(scored[: young.start].sum()),
            "corrected": sum(self._corrected[day] for day in days[: i + 1]),
        }
