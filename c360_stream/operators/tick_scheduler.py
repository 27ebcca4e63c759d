"""Turns: heavy steps work in slices, and between two slices the sources are read."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

PAUSE_SECONDS = 0.005


class TickScheduler:
    """Lets one key of a step at a time do a slice of its work.

    The engine notifies all keys whose time has come in one go, and reads its sources when it is through with them. So
    a key that is notified asks for the turn, and tries again a little later if another key has just had it: the engine
    comes to its sources meanwhile. A key that has nothing to do asks for no notification, and is not `waited_for`.

    Parameters
    ----------
    clock
        Monotonic seconds.

    Examples
    --------
    >>> now = [10.0]
    >>> turns = TickScheduler(clock=lambda: now[0])
    >>> turns.set_waiting(3, waits=True)
    >>> turns.waited_for(), turns.free()
    (True, True)
    >>> turns.ended()
    >>> turns.free()
    False
    >>> now[0] += PAUSE_SECONDS
    >>> turns.free()
    True
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_at = -float("inf")
        self._waiting: set[int] = set()

    def set_waiting(self, key: int, *, waits: bool) -> None:
        """Note whether a key has something to do."""
        (self._waiting.add if waits else self._waiting.discard)(key)

    def waited_for(self) -> bool:
        """Whether any key has something to do."""
        return bool(self._waiting)

    def free(self) -> bool:
        """Whether a slice may be done now."""
        return self._clock() >= self._free_at

    def ended(self) -> None:
        """Note that a slice has been done."""
        self._free_at = self._clock() + PAUSE_SECONDS

    def next_at(self) -> datetime:
        """When to ask again."""
        return datetime.now(UTC) + timedelta(seconds=max(0.0, self._free_at - self._clock()))
