"""Recognising repeated events for a while."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class RecentIds:
    """Ids of the events of the last days, to count a repeat once.

    Ids are 64-bit stable hashes that include topic and account. An id is remembered under the day on which it was
    heard and compared with those of that day and of the `days` days before.

    Parameters
    ----------
    days
        How many days before the day in progress are remembered, at least 1.
    """

    def __init__(self, days: int) -> None:
        self.days = days
        self._seen: dict[int, set[int]] = {}

    def fresh(self, ids: NDArray[np.uint64], today: int) -> NDArray[np.bool_]:
        """Mark the ids that were not heard before, and remember them; bool of shape (n,)."""
        keys = ids.tolist()
        distinct = set(keys)
        fresh = np.ones(len(ids), np.bool_)
        if len(distinct) < len(keys) or not all(distinct.isdisjoint(seen) for seen in self._seen.values()):
            fresh = _first_sightings(keys, list(self._seen.values()))
        self._seen.setdefault(today, set()).update(distinct)
        return fresh

    def open_day(self, day: int) -> None:
        """Forget the days that are too old once `day` is in progress."""
        for old in [d for d in self._seen if d < day - self.days]:
            del self._seen[old]

    def __len__(self) -> int:
        return sum(map(len, self._seen.values()))

    def state(self) -> dict[str, Any]:
        """Plain data for `restore`: 8 bytes an id."""
        days = sorted(self._seen)
        return {
            "days": days,
            "sizes": [len(self._seen[day]) for day in days],
            "ids": np.concatenate([np.zeros(0, np.uint64), *(np.fromiter(self._seen[day], np.uint64) for day in days)]),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        ends = np.cumsum(state["sizes"], dtype=np.int64)
        parts = np.split(state["ids"], ends[:-1]) if state["days"] else []
        self._seen = {day: set(part.tolist()) for day, part in zip(state["days"], parts, strict=True)}


def _first_sightings(keys: list[int], around: list[set[int]]) -> NDArray[np.bool_]:
    own: set[int] = set()
    marks = []
    for key in keys:
        marks.append(key not in own and not any(key in seen for seen in around))
        own.add(key)
    return np.array(marks, np.bool_)
