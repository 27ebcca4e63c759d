"""Events that arrived before the tick that precedes them has run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.columns import BILLING, EventColumns, Unsettled
from c360_stream.features.subscriptions import SubscriptionEvent


class EarlyEvents:
    """Events of days to come, waiting as columns (about 40 bytes an event) until their day opens."""

    def __init__(self) -> None:
        self._days: dict[int, list[EventColumns]] = {}
        self._count = 0

    def put(self, events: EventColumns) -> None:
        """Take events that are heard on any days."""
        day = events.heard_us // US_PER_DAY
        for of_day in np.unique(day).tolist():
            self._days.setdefault(of_day, []).append(events.take(np.flatnonzero(day == of_day)))
        self._count += len(events)

    def take_until(self, day: int) -> list[EventColumns]:
        """Give back, in order of day and arrival, what waits for `day` or earlier."""
        due = [events for of_day in sorted(d for d in self._days if d <= day) for events in self._days.pop(of_day)]
        self._count -= sum(map(len, due))
        return due

    def discard(self, refused: Sequence[Unsettled]) -> None:
        """Forget events."""
        for day, waiting in self._days.items():
            self._days[day] = [kept for events in waiting if len(kept := events.without(refused))]
        self._count = sum(len(events) for waiting in self._days.values() for events in waiting)

    def __len__(self) -> int:
        return self._count

    def state(self) -> list[Any]:
        """Plain data for `restore`."""
        return [
            [getattr(events, name) for name in EventColumns.__slots__]
            for of_day in sorted(self._days)
            for events in self._days[of_day]
        ]

    def restore(self, state: list[Any]) -> None:
        """Take up what `state` gave."""
        for values in state:
            events = EventColumns(*values)
            if events.topic == BILLING:  # a snapshot knows lists, not named tuples
                events.details = [item and SubscriptionEvent(*item) for item in events.details]
            self.put(events)
