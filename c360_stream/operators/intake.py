"""`IntakeWatch`: how long the sources have not been read because steps, snapshots or sinks kept the engine."""

from __future__ import annotations

import time
from collections.abc import Callable

WINDOW_SECONDS = 15.0
"""As often as Prometheus usually looks: the longest pause of two such windows is in at least one scrape."""


class IntakeWatch:
    """Longest time between two looks at any input partition of this process, of the last 15 to 30 seconds.

    Parameters
    ----------
    clock
        Monotonic seconds.

    Examples
    --------
    >>> now = [0.0]
    >>> watch = IntakeWatch(clock=lambda: now[0])
    >>> for moment in (0.0, 0.005, 1.2, 1.205):
    ...     now[0] = moment
    ...     watch.began()
    ...     watch.ended()
    >>> round(watch.longest_seconds(), 3)
    1.195
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ended_at: float | None = None
        self._window = 0
        self._longest = [0.0, 0.0]  # of the window before, and of this one

    def began(self) -> None:
        """Note that a partition is looked at."""
        if self._ended_at is None:
            return
        now = self._clock()
        if now - self._ended_at > self._longest[1] or now >= self._window * WINDOW_SECONDS:
            self._turn(now)
            self._longest[1] = max(self._longest[1], now - self._ended_at)

    def ended(self) -> None:
        """Note that the look is over: what follows is a pause."""
        self._ended_at = self._clock()

    def longest_seconds(self) -> float:
        """The longest pause, the one that lasts included."""
        now = self._clock()
        self._turn(now)
        return max(*self._longest, now - self._ended_at if self._ended_at is not None else 0.0)

    def _turn(self, now: float) -> None:
        """Begin a new window, if it is time."""
        window = int(now // WINDOW_SECONDS) + 1
        if window != self._window:
            self._longest = [self._longest[1] if window == self._window + 1 else 0.0, 0.0]
            self._window = window
