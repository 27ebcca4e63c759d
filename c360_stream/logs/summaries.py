"""What many small things come to, for a line of the log now and then: snapshots and refused records."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from c360_stream.logs.events import RECORDS_REFUSED, STATE_KEPT
from c360_stream.logs.pace import Pace
from c360_stream.logs.refusals import count_dead_letters, without_position

SAY_SECONDS = 60.0
QUIET_SECONDS = 1.0
"""The keys of an epoch are kept in one go: after so long without one it is over."""
REASONS_MAX = 10


class SnapshotSummary:
    """Snapshots of the keys of this process: a line each, at most one a minute above level debug.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = Pace(SAY_SECONDS, clock)
        self._lock = threading.Lock()
        self._keys = self._bytes = self._snapshots = 0
        self._seconds = 0.0
        self._kept_at = 0.0

    def kept(self, size: int, seconds: float) -> None:
        """Hear that a key's state was kept."""
        with self._lock:
            if self._keys and self._clock() - seconds - self._kept_at >= QUIET_SECONDS:
                self._tell()
            self._keys += 1
            self._bytes += size
            self._seconds += seconds
            self._kept_at = self._clock()

    def look(self) -> None:
        """Say so, if a snapshot is over."""
        if self._is_over():
            self.tell()

    def tell(self) -> None:
        """Say what has not been said."""
        with self._lock:
            if self._keys:
                self._tell()

    def _is_over(self) -> bool:
        return self._keys > 0 and self._clock() - self._kept_at >= QUIET_SECONDS

    def _tell(self) -> None:
        self._snapshots += 1
        say = STATE_KEPT.log if self._pace.due() else STATE_KEPT.debug
        say(keys=self._keys, bytes=self._bytes, seconds=self._seconds, snapshots=self._snapshots)
        self._keys = self._bytes = 0
        self._seconds = 0.0


class LetterSummary:
    """Refused records of this process: a line a topic, at once and then at most once a minute.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = Pace(SAY_SECONDS, clock)
        self._lock = threading.Lock()
        self._refused: dict[str, Counter[str]] = {}

    def refused(self, topic: str, reasons: Counter[str]) -> None:
        """Take refused records, counted by reason, of a topic."""
        with self._lock:
            counted = self._refused.setdefault(topic, Counter())
            for reason, number in reasons.items():
                counted[without_position(reason)] += number

    def look(self) -> None:
        """Say so, if it is time."""
        if self._refused and self._pace.due():
            self.tell()

    def tell(self) -> None:
        """Say what has not been said: the most frequent reasons, and how many others there were."""
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


SNAPSHOTS = SnapshotSummary()
LETTERS = LetterSummary()
"""Of this process."""


def count_refused(topic: str, refused: Counter[tuple[str, str]]) -> None:
    """Count refused records of a topic, by stage and reason: in the metrics, and for the log."""
    reasons: Counter[str] = Counter()
    for (stage, reason), number in refused.items():
        count_dead_letters(topic, stage, reason, number)
        reasons[reason] += number
    if reasons:
        LETTERS.refused(topic, reasons)


def look() -> None:
    """Say what is due."""
    SNAPSHOTS.look()
    LETTERS.look()
