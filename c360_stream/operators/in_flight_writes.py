"""How long writes to sinks have been under way: an outage is seen while it lasts, not only once it is given up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from c360_stream import metrics
from c360_stream.errors import C360Error


class InFlightWrites:
    """The writes of one sink that have not been acknowledged yet. Threads may write at the same time.

    Parameters
    ----------
    clock
        Monotonic seconds.

    Examples
    --------
    >>> now = [10.0]
    >>> writes = InFlightWrites(clock=lambda: now[0])
    >>> with writes.write():
    ...     now[0] += 3
    ...     writes.oldest_seconds()
    3.0
    >>> writes.oldest_seconds()
    0.0
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[int, float] = {}
        self._numbers = count()
        self._lock = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Have a write under way."""
        with self._lock:
            number = next(self._numbers)
            self._began[number] = self._clock()
        try:
            yield
        finally:
            with self._lock:
                del self._began[number]

    def oldest_seconds(self) -> float:
        """Age of the oldest of them; 0 if there is none."""
        with self._lock:
            began = min(self._began.values(), default=None)
        return 0.0 if began is None else self._clock() - began


class SinkWrites:
    """The writes to tables and topics by a run, shown as `c360_sink_waiting_seconds`."""

    def __init__(self) -> None:
        self._sinks: dict[str, InFlightWrites] = {}
        self._lock = threading.Lock()

    @contextmanager
    def watch(self, sink: str) -> Iterator[None]:
        """Show how long a write to a table or topic has been under way, and count its errors."""
        try:
            with self._of(sink).write():
                yield
        except C360Error:
            metrics.SINK_ERRORS.labels(sink).inc()
            raise

    @contextmanager
    def measure(self, sink: str) -> Iterator[None]:
        """Measure how long a table or topic takes, and count its errors."""
        began = time.perf_counter()
        with self.watch(sink):
            yield
        metrics.SINK_FLUSH_DURATION_SECONDS.labels(sink).observe(time.perf_counter() - began)

    def _of(self, sink: str) -> InFlightWrites:
        with self._lock:
            if sink not in self._sinks:
                self._sinks[sink] = InFlightWrites()
                metrics.SINK_WAITING_SECONDS.labels(sink).set_function(self._sinks[sink].oldest_seconds)
            return self._sinks[sink]
