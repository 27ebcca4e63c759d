"""The log of an outage: its begin, its duration at growing intervals, and its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from weakref import WeakSet

from c360_stream.logs.events import OUTAGE_BEGAN, OUTAGE_ENDED, OUTAGE_LASTS

LOG_FIRST_SECONDS = 10.0
LOG_SECONDS_MAX = 300.0
"""An outage that lasts is logged after 10, 20, 40, 80, 160, 320, 620, 920 seconds, and so on."""
FORGOTTEN_SECONDS = 60.0
"""A client that waits reports about once a second: after so long without a report, the next outage is another one."""


class Outage:
    """Outages of one broker or server, as all clients of this process see them: they share one log.

    An outage is over when no client sees it any more. A client that is dropped meanwhile, for example with its
    partition, no longer counts.

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
        self._began_at: float | None = None
        self._next_log_seconds = LOG_FIRST_SECONDS
        self._seen_at = 0.0
        self._lock = threading.Lock()

    def seen(self, client: object, reason: str) -> None:
        """Note that a client waits; it may report this as often as it likes."""
        with self._lock:
            now = self._clock()
            if not self._seen_by or now - self._seen_at > FORGOTTEN_SECONDS:
                self._seen_by.clear()
                self._began_at = None
            self._seen_by.add(client)
            self._seen_at = now
            if self._began_at is None:
                self._began_at, self._next_log_seconds = now, LOG_FIRST_SECONDS
                OUTAGE_BEGAN.log(place=self._place, reason=reason)
            elif (seconds := now - self._began_at) >= self._next_log_seconds:
                OUTAGE_LASTS.log(place=self._place, reason=reason, seconds=seconds)
                while self._next_log_seconds <= seconds:
                    self._next_log_seconds += min(self._next_log_seconds, LOG_SECONDS_MAX)

    def over(self, client: object) -> None:
        """Note that a client gets answers; it may report this as often as it likes."""
        if self._began_at is None:
            return
        with self._lock:
            self._seen_by.discard(client)
            if self._began_at is not None and not self._seen_by:
                OUTAGE_ENDED.log(place=self._place, seconds=self._clock() - self._began_at)
                self._began_at = None

    def given_up(self, client: object) -> None:
        """Note that a client gave up without an answer: it raises an error that names the reason."""
        with self._lock:
            self._seen_by.discard(client)
            if not self._seen_by:
                self._began_at = None


class Outages:
    """The outages of each broker and server, for all clients that share this."""

    def __init__(self) -> None:
        self._outages: dict[str, Outage] = {}

    def of(self, place: str) -> Outage:
        """The outages of a place."""
        return self._outages.setdefault(place, Outage(place))
