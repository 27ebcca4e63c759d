"""Events that arrived before the tick that precedes them has run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.columns import BILLING, EventColumns, Unsettled
from c360_stream.features.subscriptions import SubscriptionEvent
from c360_stream.state.fields import PLAIN, Kept, dict_of, fields, list_of, record


class EarlyEvents(Kept):
    """Events of days to come, waiting as columns (about 40 bytes per event) until their day opens."""

    kept = fields(_days=dict_of(int, list_of(record(EventColumns, details=PLAIN))))

    def __init__(self) -> None:
        self._days: dict[int, list[EventColumns]] = {}
        self._count = 0

    def put(self, events: EventColumns) -> None:
        """Take events; they wait for the day of their effective time."""
        day = events.effective_time_us // US_PER_DAY
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

    def restored(self) -> None:
        """Count what waits; a snapshot knows lists, not the named tuples that subscriptions take."""
        waiting = [events for of_day in self._days.values() for events in of_day]
        self._count = sum(map(len, waiting))
        for events in waiting:
            if events.topic == BILLING:
                events.details = [item and SubscriptionEvent(*item) for item in events.details]
