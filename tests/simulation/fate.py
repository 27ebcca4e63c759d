"""What happens to a life of the flow, and when: decided before it begins."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


class CrashError(BaseException):
    """The process died here. No `Exception`: nothing in the flow may handle it."""


@dataclass
class Fate:
    """When what happens: at the n-th call of a place the process dies, is asked to stop, or does not get through.

    Parameters
    ----------
    dies_at, stops_at
        Number of the call, from 1; 0: never.
    waits_at
        Numbers of calls that find the place away.
    strangers_at
        Numbers of inserts that something else answers, from 1.
    unknown_offsets
        Of each partition, how many answers say at first that the broker recovers, and does not know where it ends.
    stop
        Asks the run to stop.
    """

    dies_at: int = 0
    stops_at: int = 0
    waits_at: frozenset[int] = frozenset()
    strangers_at: frozenset[int] = frozenset()
    unknown_offsets: int = 0
    stop: Callable[[], None] = lambda: None
    calls: int = 0
    inserts: int = 0
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    dead: bool = False
    trace: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, what: str) -> bool:
        """Count a call; whether it gets through. The dead do nothing any more."""
        with self.lock:
            self.calls += 1
            number = self.calls
            if number == self.dies_at:
                self.dead = True
                self.trace.append(f"dies at call {number}: {what}")
            self.live_on(what)
        if number == self.stops_at:
            self.trace.append(f"stops at call {number}: {what}")
            self.stop()
        if number in self.waits_at:
            self.trace.append(f"away at call {number}: {what}")
        return number not in self.waits_at

    def spare(self, calls: int) -> None:
        """Neither die nor stop before so many more calls."""
        self.dies_at += calls if self.dies_at else 0
        self.stops_at += calls if self.stops_at else 0

    def live_on(self, what: str) -> None:
        """Raise where a dead process would do something."""
        if self.dead:
            raise CrashError(what)

    def is_answered_by_a_stranger(self, what: str) -> bool:
        """Count an insert; whether no ClickHouse server answers it."""
        with self.lock:
            self.inserts += 1
            found = self.inserts in self.strangers_at
            if found:
                self.trace.append(f"a stranger answers insert {self.inserts}: {what}")
        return found

    def is_offset_unknown(self, place: tuple[str, int]) -> bool:
        """Count an answer about a partition; whether the broker does not know it yet."""
        with self.lock:
            if self.unknown_offsets and not self.answers:
                self.trace.append(f"brokers recover: {self.unknown_offsets} answers about a partition say nothing")
            self.answers[place] += 1
            return self.answers[place] <= self.unknown_offsets
