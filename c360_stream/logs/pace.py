"""How often something is said."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """At most once in a while.

    Parameters
    ----------
    seconds
        How long.
    clock
        Monotonic seconds.

    Examples
    --------
    >>> now = [0.0]
    >>> pace = Pace(60.0, clock=lambda: now[0])
    >>> pace.due(), pace.due()
    (True, False)
    >>> now[0] += 60
    >>> pace.due()
    True
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._due_at = -float("inf")

    def due(self) -> bool:
        """Whether it is time; if so, it is not until the while is over."""
        now = self._clock()
        if now < self._due_at:
            return False
        self._due_at = now + self._seconds
        return True


class BackOff:
    """More and more seldom: after the first while, after twice as long, and so on, up to the longest.

    Parameters
    ----------
    first_seconds, max_seconds
        The shortest and the longest.
    clock
        Monotonic seconds; it begins now.

    Examples
    --------
    >>> now = [0.0]
    >>> back_off = BackOff(10.0, 300.0, clock=lambda: now[0])
    >>> said = []
    >>> for now[0] in range(0, 1000):
    ...     if back_off.due():
    ...         said.append(now[0])
    >>> said
    [10, 20, 40, 80, 160, 320, 620, 920]
    """

    def __init__(self, first_seconds: float, max_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._max_seconds = max_seconds
        self._began = clock()
        self._next_seconds = first_seconds

    def seconds(self) -> float:
        """How long since it began."""
        return self._clock() - self._began

    def due(self) -> bool:
        """Whether it is time again."""
        if self.seconds() < self._next_seconds:
            return False
        while self._next_seconds <= self.seconds():
            self._next_seconds += min(self._next_seconds, self._max_seconds)
        return True
