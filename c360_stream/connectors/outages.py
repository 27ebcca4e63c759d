"""What is said of an outage: once when it begins, more and more seldom while it lasts, once when it is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from weakref import WeakSet

from c360_stream.logs.events import OUTAGE_BEGAN, OUTAGE_ENDED, OUTAGE_LASTS
from c360_stream.logs.pace import BackOff

AGAIN_SECONDS = 10.0
AGAIN_SECONDS_MAX = 300.0
FORGOTTEN_SECONDS = 60.0
"""Whoever waits says so every second or so: an outage that nobody has seen for this long is another one."""


class Outage:
    """Outages of one broker or server, as all clients of this process see them: they speak as one.

    An outage is over when no client sees it any more. One that is dropped meanwhile, say with its partition, sees
    nothing.

    Parameters
    ----------
    place
        The broker or server, without credentials.
    clock
        Monotonic seconds.
    """

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._seen_by: WeakSet[object] = WeakSet()
        self._back_off: BackOff | None = None
        self._seen_at = 0.0
        self._lock = threading.Lock()

    def seen(self, client: object, reason: str) -> None:
        """Hear from a client that it waits; as often as it likes."""
        with self._lock:
            if not self._seen_by or self._clock() - self._seen_at > FORGOTTEN_SECONDS:
                self._seen_by.clear()
                self._back_off = None
            self._seen_by.add(client)
            self._seen_at = self._clock()
            if self._back_off is None:
                self._back_off = BackOff(AGAIN_SECONDS, AGAIN_SECONDS_MAX, self._clock)
                OUTAGE_BEGAN.log(place=self._place, reason=reason)
            elif self._back_off.due():
                OUTAGE_LASTS.log(place=self._place, reason=reason, seconds=self._back_off.seconds())

    def over(self, client: object) -> None:
        """Hear from a client that it gets answers; as often as it likes."""
        if self._back_off is None:
            return
        with self._lock:
            self._seen_by.discard(client)
            if self._back_off is not None and not self._seen_by:
                OUTAGE_ENDED.log(place=self._place, seconds=self._back_off.seconds())
                self._back_off = None

    def given_up(self, client: object) -> None:
        """Hear from a client that it waits no more, without an answer: what it raises says the rest."""
        with self._lock:
            self._seen_by.discard(client)
            if not self._seen_by:
                self._back_off = None


_outages: dict[str, Outage] = {}


def outage_of(place: str) -> Outage:
    """The outages of a place, for all its clients in this process."""
    return _outages.setdefault(place, Outage(place))
