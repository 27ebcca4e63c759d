"""`Pace`: what may be done again only after an interval, such as logging."""

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
