"""`Rest`: pauses a worker of the engine that has no input, instead of polling every millisecond."""

from __future__ import annotations

import time
from collections.abc import Callable

DRAIN_ROUNDS = 16
"""So many rounds of the engine follow the last item that was read. One takes it through the whole flow, but for what
waits for its turn."""

AT_ONCE_SECONDS = 1.0
"""The engine asks again at once when given a time so far back; it compares with one from before it asked."""


class Rest:
    """Lets a worker sleep in its source until one of its partitions is to be looked at.

    The engine itself looks for work every millisecond, for which an idle worker took 2% of a core. It runs in the
    thread that sleeps, so nothing else of the flow goes on meanwhile. Hence it sleeps only once all partitions have
    nothing and what they had is through the flow, and never in a cluster, whose other processes may have work for it.

    Parameters
    ----------
    partitions
        How many partitions the process reads. None: it never rests.
    waited_for
        Whether a step has something to do when its time comes.
    clock, sleep
        Monotonic seconds, and how to let them pass.
    """

    def __init__(
        self,
        partitions: int | None,
        waited_for: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._partitions = partitions
        self._waited_for = waited_for
        self._clock = clock
        self._sleep = sleep
        self._until: dict[str, float] = {}  # by partition that has nothing, when it is to be looked at
        self._drains = ""  # the partition that is asked in every round until what was read is through the flow
        self._rounds = 0

    def ends(self, partition: str) -> None:
        """Note that a partition has something, or may have."""
        self._until.pop(partition, None)
        self._drains, self._rounds = "", 0

    def until(self, partition: str, until: float) -> float:
        """Note that a partition has nothing and is to be looked at by then; when to ask it again. May take as long."""
        if self._partitions is None:
            return until
        self._until[partition] = until
        if waited_for := self._waited_for():
            self._drains, self._rounds = "", 0
        if waited_for or len(self._until) < self._partitions:
            return until
        if self._rounds < DRAIN_ROUNDS:
            self._drains = self._drains or partition
            if partition != self._drains:
                return until
            self._rounds += 1
            return self._clock() - AT_ONCE_SECONDS
        if (seconds := min(self._until.values()) - self._clock()) <= 0:
            return until
        self._sleep(seconds)
        return self._clock() - AT_ONCE_SECONDS
