"""The event-time watermark: the least of the marks of all source partitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from c360_stream.events import US_PER_DAY
from c360_stream.features.columns import END_OF_TIME, NO_TIME, ShardBatch


class Watermark:
    """Follows every source partition's mark; never moves backwards.

    The partitions are known by name from the start, so one that has said nothing yet holds the watermark.
    Once all have ended, it is the greatest event time read from any.

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
        self._marks: dict[str, int] = dict.fromkeys(sorted(partitions), NO_TIME)
        self._highs: dict[str, int] = {}
        self._firsts: dict[str, int] = {}

    def receive(self, batch: ShardBatch) -> None:
        """Take the mark of a batch whose events have been taken."""
        name = batch.partition
        self._marks[name] = END_OF_TIME if batch.ended else batch.mark_us
        self._highs[name] = max(self._highs.get(name, NO_TIME), batch.high_us)
        if self._firsts.get(name, NO_TIME) == NO_TIME:
            self._firsts[name] = batch.first_us
        least = min(self._marks.values())
        if least == END_OF_TIME:
            least = max(self._highs.values())
        self.now_us = max(self.now_us, least)

    def first_day(self) -> int | None:
        """Day before which no event within the lateness can lie; None until every partition has spoken.

        Taken from each partition's first message alone, so that every shard comes to the same day whatever
        else it has received by then.
        """
        if len(self._firsts) < len(self._marks):
            return None
        firsts = [first for first in self._firsts.values() if first != NO_TIME]
        return (min(firsts) - self.lateness_us) // US_PER_DAY if firsts else None

    def state(self) -> dict[str, Any]:
        """Plain data for `restore`."""
        return {"now": self.now_us, "marks": self._marks, "highs": self._highs, "firsts": self._firsts}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state; partitions that are new since then hold, those that are gone are forgotten."""
        self.now_us = state["now"]
        known = self._marks.keys()
        self._marks = {name: state["marks"].get(name, NO_TIME) for name in known}
        # A mark of the earlier run's end does not vouch for what this run will read.
        self._marks = {name: NO_TIME if mark == END_OF_TIME else mark for name, mark in self._marks.items()}
        self._highs = {name: high for name, high in state["highs"].items() if name in known}
        self._firsts = {name: first for name, first in state["firsts"].items() if name in known}
