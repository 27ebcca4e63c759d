"""Distinct things an account had on each of the last days, exactly: one bitmask of days a thing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.growth import with_room
from c360_stream.features.windows import WINDOW_DAYS

_ALL_DAYS = np.uint32((1 << WINDOW_DAYS) - 1)


class Presence:
    """Which things (users, feature categories) an account had on which of the last `WINDOW_DAYS` days.

    A thing is a 64-bit stable hash that already includes its account. Bit k of its mask is "k days ago".
    Two of n things fall together with probability n**2 / 2**65: one in 10,000 for 60 million.

    Parameters
    ----------
    capacity
        Rows to begin with; it grows, and rows of things unseen for the whole window are used again.
    """

    def __init__(self, capacity: int = 64) -> None:
        self._row: dict[int, int] = {}
        self._key = np.zeros(capacity, np.uint64)
        self._account = np.zeros(capacity, np.int32)
        self._mask = np.zeros(capacity, np.uint32)
        self._free: list[int] = []
        self._rows = 0
        self.distinct = np.zeros(capacity, np.int64)

    def reserve(self, accounts: int) -> None:
        """Make room for the distinct counts of `accounts` accounts."""
        self.distinct = with_room(self.distinct, accounts, 0)

    def mark(
        self, key: NDArray[np.uint64], account: NDArray[np.int32], age_days: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Note things as present, each `age_days` days ago (0..WINDOW_DAYS-1).

        Returns
        -------
        The account and the age of every (thing, day) that was not known yet, each once.
        """
        new_accounts: list[NDArray[np.int32]] = []
        new_ages: list[NDArray[np.int64]] = []
        for age in np.unique(age_days).tolist():
            on_day = age_days == age
            distinct, first = np.unique(key[on_day], return_index=True)
            owner = account[on_day][first]
            rows = self._rows_of(distinct, owner)
            fresh = (self._mask[rows] >> np.uint32(age)) & np.uint32(1) == 0
            self._mask[rows] |= np.uint32(1 << age)
            new_accounts.append(owner[fresh])
            new_ages.append(np.full(int(fresh.sum()), age, np.int64))
        if not new_accounts:
            return np.zeros(0, np.int32), np.zeros(0, np.int64)
        return np.concatenate(new_accounts), np.concatenate(new_ages)

    def _rows_of(self, keys: NDArray[np.uint64], owner: NDArray[np.int32]) -> NDArray[np.intp]:
        get = self._row.get
        rows = [get(key, -1) for key in keys.tolist()]
        if -1 in rows:
            for i, key in enumerate(keys.tolist()):
                if rows[i] < 0:
                    rows[i] = self._new_row(key, int(owner[i]))
        return np.array(rows, np.intp)

    def _new_row(self, key: int, account: int) -> int:
        if self._free:
            row = self._free.pop()
        else:
            row = self._rows
            self._rows += 1
            if row == len(self._key):
                self._key, self._account, self._mask = (
                    np.concatenate([column, np.zeros_like(column)]) for column in (self._key, self._account, self._mask)
                )
        self._row[key] = row
        self._key[row], self._account[row], self._mask[row] = key, account, 0
        self.distinct[account] += 1
        return row

    def open_day(self) -> None:
        """Every bit grows a day older; things that left the window are forgotten."""
        held = self._mask[: self._rows]
        was_present = held != 0
        np.left_shift(held, np.uint32(1), out=held)
        np.bitwise_and(held, _ALL_DAYS, out=held)
        gone = np.flatnonzero(was_present & (held == 0))
        if len(gone):
            for key in self._key[gone].tolist():
                del self._row[key]
            np.subtract.at(self.distinct, self._account[gone], 1)
            self._free.extend(gone.tolist())

    def __len__(self) -> int:
        return len(self._row)

    def state(self) -> dict[str, Any]:
        """Plain data for `restore`: 16 bytes a thing."""
        rows = np.fromiter(self._row.values(), np.intp, len(self._row))
        return {"key": self._key[rows], "account": self._account[rows], "mask": self._mask[rows]}

    def restore(self, state: dict[str, Any], accounts: int) -> None:
        """Take up what `state` gave, for `accounts` accounts."""
        self._key, self._account, self._mask = (state[name].copy() for name in ("key", "account", "mask"))
        self._rows = len(self._key)
        self._row = {key: row for row, key in enumerate(self._key.tolist())}
        self._free = []
        if self._rows == 0:
            self._key, self._account, self._mask = (
                np.zeros(64, np.uint64),
                np.zeros(64, np.int32),
                np.zeros(64, np.uint32),
            )
        self.distinct = np.bincount(self._account[: self._rows], minlength=max(accounts, 64)).astype(np.int64)
