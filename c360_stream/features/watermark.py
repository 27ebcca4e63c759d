"""The event-time watermark: the least of the marks of all source partitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from c360_stream.events import US_PER_DAY
from c360_stream.features.columns import END_OF_TIME, NO_TIME, ShardBatch
from c360_stream.features.plausibility import plausible_end, plausible_start


class Watermark:
    """Follows every source partition's mark; never moves backwards.

    The partitions are known by name from the start, so one that has said nothing yet holds the watermark.
    Once all have ended, it is the greatest event time that all of them together make plausible.

    Parameters
    ----------
    partitions
        Names of all source partitions.
    lateness_us
        The allowed lateness.

    Examples
    --------
    >>> w = Watermark(["a", "b"], lateness_us=0)
    >>> w.receive(ShardBatch(0, "a", 5, 5, 5, False, None)); w.now_us == NO_TIME
    True
    >>> w.receive(ShardBatch(0, "b", 3, 3, 3, False, None)); w.now_us
    3
    >>> w.receive(ShardBatch(0, "b", 3, 3, 3, True, None)); w.now_us
    5
    """

    def __init__(self, partitions: Iterable[str], lateness_us: int) -> None:
        self.lateness_us = lateness_us
        self.now_us = NO_TIME
        self.ended = False
        """Whether all partitions have ended."""
        self._marks: dict[str, int] = dict.fromkeys(sorted(partitions), NO_TIME)
        self._firsts: dict[str, int] = {}
        # Of partitions whose own events do not confirm their first event time: all that could be it.
        self._unsure: dict[str, list[int]] = {}
        self._latest: dict[str, list[int]] = {}
        self._events: dict[str, int] = {}

    def receive(self, batch: ShardBatch) -> None:
        """Take the mark of a batch whose events have been taken."""
        name = batch.partition
        self._marks[name] = END_OF_TIME if batch.ended else batch.mark_us
        self._latest[name] = list(batch.latest_us)
        self._events[name] = batch.events_read
        if batch.mark_us != NO_TIME:
            self._unsure.pop(name, None)
            if self._firsts.get(name, NO_TIME) == NO_TIME:
                self._firsts[name] = batch.first_us
        elif batch.ended:
            self._firsts.setdefault(name, NO_TIME)
            self._unsure[name] = [] if batch.first_us == NO_TIME else [batch.first_us, *batch.latest_us]
        least = min(self._marks.values())
        self.ended = least == END_OF_TIME
        self.now_us = max(self.now_us, self._end() if self.ended else least)

    def _end(self) -> int:
        latest = [time_us for times in self._latest.values() for time_us in times]
        first = self.first_us()
        return NO_TIME if first is None or not latest else plausible_end(latest, first, sum(self._events.values()))

    def first_us(self) -> int | None:
        """The first plausible event time; None until every partition has said its first, and without any.

        Taken from each partition's first event alone, so that every shard comes to the same time whatever
        else it has received by then.
        """
        if len(self._firsts) < len(self._marks):
            return None
        sure = [first for name, first in self._firsts.items() if first != NO_TIME and name not in self._unsure]
        return plausible_start(sure, [time_us for times in self._unsure.values() for time_us in times])

    def first_day(self) -> int | None:
        """Day before which no event within the lateness can lie; None until it is known."""
        first = self.first_us()
        return None if first is None else (first - self.lateness_us) // US_PER_DAY

    def state(self) -> dict[str, Any]:
        """Plain data for `restore`."""
        return {
            "now": self.now_us,
            "marks": self._marks,
            "firsts": self._firsts,
            "unsure": self._unsure,
            "latest": self._latest,
            "events": self._events,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state; partitions that are new since then hold, those that are gone are forgotten."""
        self.now_us = state["now"]
        known = self._marks.keys()
        self._marks = {name: state["marks"].get(name, NO_TIME) for name in known}
        # A mark of the earlier run's end does not vouch for what this run will read.
        self._marks = {name: NO_TIME if mark == END_OF_TIME else mark for name, mark in self._marks.items()}
        self._firsts, self._unsure, self._latest, self._events = (
            {name: value for name, value in state[part].items() if name in known}
            for part in ("firsts", "unsure", "latest", "events")
        )
