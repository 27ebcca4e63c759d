"""Sums of snapshots and of refused records, logged as one line per interval."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from c360_stream.logs.events import RECORDS_REFUSED, STATE_KEPT
from c360_stream.logs.pace import Pace
from c360_stream.logs.refusals import BoundedReasons, count_dead_letters, without_position

LOG_SECONDS = 60.0
QUIET_SECONDS = 1.0
"""The keys of an epoch are kept in one go: after so long without one it is over."""
REASONS_MAX = 10


class SnapshotSummary:
    """Snapshots of the keys of a run: a line each, at most one a minute above level debug.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = Pace(LOG_SECONDS, clock)
        self._lock = threading.Lock()
        self._keys = self._bytes = self._snapshots = 0
        self._seconds = 0.0
        self._kept_at = 0.0

    def kept(self, size: int, seconds: float) -> None:
        """Add a key whose state was kept."""
        with self._lock:
            if self._keys and self._clock() - seconds - self._kept_at >= QUIET_SECONDS:
                self._log()
            self._keys += 1
            self._bytes += size
            self._seconds += seconds
            self._kept_at = self._clock()

    def log_if_due(self) -> None:
        """Log a snapshot that is over."""
        if self._is_over():
            self.log()

    def log(self) -> None:
        """Log what has not been logged."""
        with self._lock:
            if self._keys:
                self._log()

    def _is_over(self) -> bool:
        return self._keys > 0 and self._clock() - self._kept_at >= QUIET_SECONDS

    def _log(self) -> None:
        self._snapshots += 1
        log = STATE_KEPT.log if self._pace.due() else STATE_KEPT.debug
        log(keys=self._keys, bytes=self._bytes, seconds=self._seconds, snapshots=self._snapshots)
        self._keys = self._bytes = 0
        self._seconds = 0.0


class DeadLetterSummary:
    """Refused records of a run, in the metrics and in the log: a line a topic, at once and then at most once a minute.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = Pace(LOG_SECONDS, clock)
        self._lock = threading.Lock()
        self._names = BoundedReasons()
        self._refused: dict[str, Counter[str]] = {}

    def count(self, topic: str, refused: Counter[tuple[str, str]]) -> None:
        """Count refused records of a topic, given by stage and reason."""
        for (stage, reason), number in refused.items():
            count_dead_letters(self._names, topic, stage, reason, number)
        if not refused:
            return
        with self._lock:
            counted = self._refused.setdefault(topic, Counter())
            for (_, reason), number in refused.items():
                counted[without_position(reason)] += number

    def log_if_due(self) -> None:
        """Log what was refused, if it is time."""
        if self._refused and self._pace.due():
            self.log()

    def log(self) -> None:
        """Log what has not been logged: the most frequent reasons, and how many others there were."""
        with self._lock:
            refused, self._refused = self._refused, {}
        for topic, reasons in sorted(refused.items()):
            RECORDS_REFUSED.log(topic=topic, records=reasons.total(), reasons=most_frequent(reasons))


def most_frequent(reasons: Counter[str]) -> dict[str, int]:
    """The most frequent reasons, and how many records had others.

    >>> most_frequent(Counter({"not UTF-8": 2, "score: Expected `int <= 5`": 3}))
    {'score: Expected `int <= 5`': 3, 'not UTF-8': 2}
    """
    most = dict(reasons.most_common(REASONS_MAX))
    if others := reasons.total() - sum(most.values()):
        most["other reasons"] = others
    return most
