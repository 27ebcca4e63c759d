"""When an input partition is looked at, and when it emits its mark again."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_SECONDS = 0.005
IDLE_POLL_SECONDS_MAX = 0.2
IDLE_SHARE = 100
MARK_SECONDS = 1.0
END_TOLD_SECONDS = 1.0
"""How long it may take until a reader knows that a record was the last one."""


class LookSchedule:
    """What a partition had at the last looks, and what follows from that for the next one.

    Parameters
    ----------
    live
        Whether the input goes on. A replay is read without a pause, and is never idle.
    idle_seconds
        A partition at its end for so long is idle: its mark follows the clock.
    clock
        Monotonic seconds.
    """

    def __init__(self, *, live: bool, idle_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._live = live
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._looked_at = self._emitted_at = 0.0
        self._caught_up_since: float | None = None
        self._heartbeat_at = float("-inf")  # when a heartbeat was last read, and no event
        self.rest_until: float | None = None
        """When to look again, of a partition that has nothing."""

    def looks(self) -> None:
        """Note that it is read now."""
        self._looked_at = self._clock()

    def emits(self) -> None:
        """Note that it emits its mark now."""
        self._emitted_at = self._clock()

    def take(self, *, events: bool, heartbeats: bool, at_end: bool) -> bool:
        """Take what was read; whether the partition is idle."""
        if not self._live:
            return False
        now = self._clock()
        if heartbeats and not events:
            self._heartbeat_at = now
        if events or not self.has_no_backlog(at_end=at_end):
            self._caught_up_since = None
        if not at_end:
            return False
        if self._caught_up_since is None:
            self._caught_up_since = now
        return now - self._caught_up_since >= self._idle_seconds

    def has_no_backlog(self, *, at_end: bool) -> bool:
        """Whether the partition is read to its end, heartbeats apart, which would keep it from ever being idle."""
        return at_end or self._clock() - self._heartbeat_at < END_TOLD_SECONDS

    def emitted_lately(self) -> bool:
        """Whether it is too soon to emit the mark again."""
        return self._is_recent(self._emitted_at)

    def is_quiet(self) -> bool:
        """Whether the last look found the end, and there is nothing to emit before the next `MARK_SECONDS`."""
        return self._caught_up_since is not None and self._is_recent(max(self._looked_at, self._emitted_at))

    def _is_recent(self, moment: float) -> bool:
        """Whether a moment is of the same `MARK_SECONDS`: those of all partitions end together."""
        return moment // MARK_SECONDS == self._clock() // MARK_SECONDS

    def rest(self) -> None:
        """Look again when an event has waited some ms, or a hundredth of the quiet before it, and 200 ms at most.

        By the clock, so that partitions are looked at together and a worker without input wakes for all of them once.
        """
        now = self._clock()
        wanted = (now - (self._caught_up_since or 0.0)) / IDLE_SHARE
        poll = IDLE_POLL_SECONDS_MAX
        while poll > wanted and poll / 2 >= POLL_SECONDS:
            poll /= 2
        self.rest_until = (now // poll + 1) * poll

    def rests(self) -> bool:
        """Whether the next look is still to come; else the rest is over."""
        if self.rest_until is not None and self._clock() >= self.rest_until:
            self.rest_until = None
        return self.rest_until is not None
