"""Daily buckets: a window of N days is a sum over a ring of days."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.growth import with_room

WINDOW_DAYS = 30
SLOTS = 32

KINDS = (
    "dau",
    "core",
    "product",
    "invites",
    "exports",
    "tickets",
    "urgent",
    "csat_n",
    "csat_sum",
    "failures",
)
DAU, CORE, PRODUCT_EVENTS, INVITES, EXPORTS, TICKETS, URGENT, CSAT_N, CSAT_SUM, FAILURES = range(len(KINDS))


class DayCounts:
    """Integer counts by kind, day and account, over the last `WINDOW_DAYS` days.

    The array is int32 of shape (kinds, SLOTS, capacity): accounts last, so that a window over every account
    is a few additions of long rows. Memory: 10 kinds x 32 days x 4 bytes = 1,280 bytes an account.
    """

    def __init__(self, capacity: int = 64) -> None:
        self._counts = np.zeros((len(KINDS), SLOTS, capacity), np.int32)

    def reserve(self, accounts: int) -> None:
        """Make room for `accounts` accounts."""
        self._counts = with_room(self._counts, accounts, 0, axis=2)

    def add(self, kind: int, day: NDArray[np.int64], account: NDArray[np.int32], amount: Any = 1) -> None:
        """Add `amount` (a number, or int64 of shape (n,)) to n buckets; a bucket may be named repeatedly."""
        np.add.at(self._counts[kind], (day % SLOTS, account), amount)

    def open_day(self, day: int) -> None:
        """Start a day: its bucket takes the place of one that has left every window."""
        self._counts[:, day % SLOTS, :] = 0

    def total(self, kind: int, last_day: int, days: int, chosen: NDArray[np.int32]) -> NDArray[np.int64]:
        """Sum over the `days` days up to and including `last_day`; int64 of shape (chosen,)."""
        slots = np.arange(last_day - days + 1, last_day + 1) % SLOTS
        by_day = self._counts[kind][:, chosen]
        total: NDArray[np.int64] = by_day[slots].sum(axis=0, dtype=np.int64)
        return total

    def days_with(self, kind: int, last_day: int, days: int, chosen: NDArray[np.int32]) -> NDArray[np.int64]:
        """Number of those days with a count above 0; int64 of shape (chosen,)."""
        slots = np.arange(last_day - days + 1, last_day + 1) % SLOTS
        by_day = self._counts[kind][:, chosen]
        total: NDArray[np.int64] = (by_day[slots] > 0).sum(axis=0, dtype=np.int64)
        return total

    def state(self, accounts: int) -> NDArray[np.int32]:
        """The buckets of the first `accounts` accounts."""
        return np.ascontiguousarray(self._counts[:, :, :accounts])

    def restore(self, counts: NDArray[np.int32]) -> None:
        """Take up what `state` gave."""
        self._counts = counts.copy()
        self.reserve(64)
