"""Health of the process: whether its flow moves, as its steps report."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

STALL_SECONDS_MAX = 60.0
WAITING_SECONDS = 2.0
"""Waits are reported once a second, so one that was reported this long ago is over."""


class Health:
    """Whether the flow of this process moves.

    Parameters
    ----------
    stall_seconds_max
        Silence, in seconds, after which a flow that runs counts as stuck.
    clock
        Monotonic seconds.

    Examples
    --------
    >>> health = Health()
    >>> health.unready_reason()
    'the flow is starting'
    >>> health.sources_opened()
    >>> health.progress()
    >>> health.unready_reason() or health.unlive_reason() or "fine"
    'fine'
    """

    def __init__(
        self, stall_seconds_max: float = STALL_SECONDS_MAX, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.stall_seconds_max = stall_seconds_max
        self._clock = clock
        self._phase: Literal["starting", "running", "stopped"] = "starting"
        self.forming = True
        """Whether processes of the cluster may be missing yet."""
        self._first_batch = False
        self._beat_at = 0.0
        self._waiting = ""
        self._waiting_at = 0.0

    def cluster_formed(self) -> None:
        """All processes of the cluster are there."""
        self.forming = False

    def sources_opened(self) -> None:
        """Every source is open: from now on silence means stuck. Resuming may take as long as it needs."""
        self._beat_at = self._clock()
        self._phase = "running"

    def progress(self) -> None:
        """Heartbeat: a batch has gone through. An empty one counts, since an idle input is no fault."""
        self._beat_at = self._clock()
        self._first_batch = True
        if self._beat_at - self._waiting_at >= WAITING_SECONDS:
            self._waiting = ""

    def waiting(self, reason: str) -> None:
        """Heartbeat of a step that waits for a broker or a server, at least once a second while it does.

        The process lives, and is not ready until progress comes without such waits: while one partition waits,
        others may still report progress.
        """
        self._beat_at = self._waiting_at = self._clock()
        self._waiting = reason

    def stopped(self) -> None:
        """The flow has ended: it is not ready any more, and its silence is no fault."""
        self._phase = "stopped"

    def silent_seconds(self) -> float:
        """Seconds since the last heartbeat; 0 while the flow does not run yet, or no more."""
        return self._clock() - self._beat_at if self._phase == "running" else 0.0

    def unlive_reason(self) -> str:
        """Why the process should be restarted; empty while it is alive."""
        silent_seconds = self.silent_seconds()
        return f"no progress for {silent_seconds:.0f} s" if silent_seconds > self.stall_seconds_max else ""

    def unready_reason(self) -> str:
        """Why the process does no work yet, or no more; empty while it works."""
        if self._phase != "running":
            return (self._phase == "starting" and self._waiting) or f"the flow is {self._phase}"
        if not self._first_batch:
            return self._waiting or "the first batch is not through yet"
        return self._waiting or self.unlive_reason()
