"""Waiting for every shard: a tick, or an hour, is closed when all have closed it, a heartbeat through when in all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from c360_stream.state.fields import Kept, fields

HEARTBEATS_WAITING_MAX = 10_000
"""Per partition; the oldest are dropped."""

Part = TypeVar("Part")


class TickBarrier(Kept, Generic[Part]):
    """Collects one part per shard and day; gives a day's parts when the last has come.

    Every shard closes every day, in order, so days complete in order. Subclasses declare in
    `kept` what a part is, so that what waits is part of a snapshot.

    >>> barrier = TickBarrier[str](2)
    >>> barrier.put(7, 1, "b"), barrier.put(7, 0, "a")
    (None, ['a', 'b'])
    """

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self._days: dict[int, dict[int, Part]] = {}

    def put(self, day: int, shard: int, part: Part) -> list[Part] | None:
        """Take a part; give all parts of the day, in order of shard, if it was the last."""
        parts = self._days.setdefault(day, {})
        parts[shard] = part
        if len(parts) < self.shards:
            return None
        del self._days[day]
        return [parts[number] for number in sorted(parts)]


class HourBarrier(Kept):
    """Adds up the hourly counts of all shards; gives an hour when every shard has closed it.

    Parameters
    ----------
    shards
        Number of shards.
    topics
        Rows of the counts.
    """

    kept = fields(_closed_until=dict[int, int], _counts=dict[int, NDArray[np.int64]])

    def __init__(self, shards: int, topics: int) -> None:
        self.shards = shards
        self.topics = topics
        self._closed_until: dict[int, int] = {}
        self._counts: dict[int, NDArray[np.int64]] = {}

    def put(self, shard: int, first_hour: int, counts: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]] | None:
        """Take a shard's closed hours; give (first hour, counts of shape (topics, hours)) that all have closed."""
        for offset in range(counts.shape[1]):
            total = self._counts.setdefault(first_hour + offset, np.zeros(self.topics, np.int64))
            total += counts[:, offset]
        self._closed_until[shard] = first_hour + counts.shape[1]
        if len(self._closed_until) < self.shards:
            return None
        # Every shard closes hours in order from the same one on, so the oldest hour was put in first.
        first, end = next(iter(self._counts), None), min(self._closed_until.values())
        if first is None or end <= first:
            return None
        return first, np.stack([self._counts.pop(hour) for hour in range(first, end)], axis=1)


class HeartbeatBarrier:
    """Gives a heartbeat when every shard has passed it on, so that a shard that is stuck stops it.

    Nothing depends on a lost heartbeat, so there is no state to keep.

    Parameters
    ----------
    shards
        Number of shards.

    Examples
    --------
    >>> barrier = HeartbeatBarrier(2)
    >>> barrier.put(1, "product/0", [7, 8]), barrier.put(0, "product/0", [7]), barrier.put(0, "product/0", [8])
    ([], [7], [8])
    """

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self._passed: dict[str, dict[int, set[int]]] = {}

    def put(self, shard: int, partition: str, sent_us: Iterable[int]) -> list[int]:
        """Take heartbeats of a source partition that a shard has passed on; give those that all shards have."""
        waiting = self._passed.setdefault(partition, {})
        through = []
        for us in sent_us:
            passed = waiting.setdefault(us, set())
            passed.add(shard)
            if len(passed) == self.shards:
                through.append(us)
                # Shards pass them on in order: what came before it and has not been everywhere never will be.
                while (oldest := next(iter(waiting))) != us:
                    del waiting[oldest]
                del waiting[us]
        while len(waiting) > HEARTBEATS_WAITING_MAX:
            del waiting[next(iter(waiting))]
        return through
