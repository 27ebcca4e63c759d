"""Distinct things an account had on each of the last days, exactly: one bitmask of days per thing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.growth import grow_array
from c360_stream.arrays.hash_table import HashTable
from c360_stream.features.windows import WINDOW_DAYS
from c360_stream.state.fields import Kept, fields, in_place

_ALL_DAYS = np.uint32((1 << WINDOW_DAYS) - 1)
_AGE_BITS = 5
# Things that have left the window are cleared away when they are this share of all: rarely, and before they cost much.
_GONE_SHARE_MAX = 1 / 8


class Presence(Kept):
    """Which things (users, feature categories) an account had on which of the last `WINDOW_DAYS` days.

    A thing is a 64-bit stable hash that already includes its account. Bit k of its mask is "k days ago".
    Two of n things fall together with probability n**2 / 2**65: one in 10,000 for 60 million.

    Memory: 16 bytes per slot of the hash table, so 25 to 35 bytes per thing seen in the window, and 4 bytes per
    account. A dict of row numbers and the rows took 160 bytes per thing.
    """

    kept = fields(_things=in_place("hash table of int32, uint32"))

    def __init__(self) -> None:
        # Account and mask sit in the slots: a table of row numbers beside dense rows would be as large.
        self._things = HashTable(np.int32, np.uint32)
        self._present = 0
        self.distinct = np.zeros(64, np.int32)

    def reserve(self, accounts: int) -> None:
        """Make room for the distinct counts of `accounts` accounts."""
        self.distinct = grow_array(self.distinct, accounts, 0)

    def mark(
        self, key: NDArray[np.uint64], account: NDArray[np.int32], age_days: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Note n things as present, each `age_days` days ago (0..WINDOW_DAYS-1); all arguments of shape (n,).

        Returns
        -------
        The account and the age of every (thing, day) that was not known yet, each once.
        """
        slots, _ = self._things.place(key)
        owner, mask = self._things.columns
        unseen = np.flatnonzero((mask.take(slots) >> age_days.astype(np.uint32)) & np.uint32(1) == 0)
        if not len(unseen):
            return np.zeros(0, np.int32), np.zeros(0, np.int64)
        slots, ages = slots[unseen], age_days[unseen]
        owner[slots] = account[unseen]
        pairs = _distinct(np.sort(slots << _AGE_BITS | ages))
        slots, ages = pairs >> _AGE_BITS, pairs & ((1 << _AGE_BITS) - 1)
        arrived = _distinct(slots[mask.take(slots) == 0])
        self._present += len(arrived)
        np.add.at(self.distinct, owner.take(arrived), 1)
        np.add.at(mask, slots, np.uint32(1) << ages.astype(np.uint32))
        return owner.take(slots), ages

    def open_day(self) -> None:
        """Every bit grows a day older; things that left the window are forgotten."""
        owner, mask = self._things.columns
        left = np.flatnonzero(mask >> np.uint32(WINDOW_DAYS - 1))
        left = left[mask[left] == np.uint32(1 << (WINDOW_DAYS - 1))]
        np.left_shift(mask, np.uint32(1), out=mask)
        np.bitwise_and(mask, _ALL_DAYS, out=mask)
        np.subtract.at(self.distinct, owner[left], 1)
        self._present -= len(left)
        # Until then their keys stay, with no day: a slot that was emptied would hide the keys behind it.
        known = len(self._things)
        if known - self._present > _GONE_SHARE_MAX * known:
            self._things.keep(np.flatnonzero(mask))

    def __len__(self) -> int:
        return self._present

    def restored(self) -> None:
        """Count the things that are present; `reserve` makes room for accounts that have none."""
        owner, mask = self._things.columns
        present = owner[mask != 0]
        self._present = len(present)
        self.distinct = np.bincount(present, minlength=64).astype(np.int32)


def _distinct(ascending: NDArray[np.int64]) -> NDArray[np.int64]:
    # `np.unique` hashes what is sorted already: 80 ns per number instead of 1.
    return ascending[np.append(True, ascending[1:] != ascending[:-1])] if len(ascending) else ascending
