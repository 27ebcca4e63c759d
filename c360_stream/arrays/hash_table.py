"""A hash table of 64-bit hashes whose operations take whole arrays, in little more memory than the arrays."""

from __future__ import annotations

from collections.abc import Sequence
from secrets import randbits
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray

LOAD_MAX = 0.65
"""Share of the slots that keys may take: above it runs of taken slots soon grow longer than a window."""
GROWTH = 1.25
"""Growing by little costs a new key some 200 ns, once; doubling would keep up to 25 bytes more for every key."""
CAPACITY_MIN = 64
_WINDOW = 16
_EMPTY = np.uint64(0)
_HALF = np.uint64(32)
# Keys moved at a time: few enough for the cache, and nothing beside the table.
_MOVED_AT_ONCE = 1 << 15

Slots = NDArray[np.intp]


class HashTable:
    """Distinct uint64 keys in numbered slots, with columns beside them whose entries the owner reads and writes.

    Open addressing with linear probing. The upper half of a key times the capacity gives its home: keys should be
    hashes. Others are found too, slowly. As homes ascend with keys and the capacity can be any number, a table grows by
    walking through the old one and the new one in order. Key 0, which marks an empty slot, has a slot of its own.

    numpy looks at a batch's homes first, then at windows of the 16 slots from there for those whose home another
    key has, so that few calls settle a batch. CPU time of `Presence.mark` for a batch of known
    keys, and in brackets with the `dict[int, int]` of row numbers that was there before:

    ======  ==================  =====================
    keys    of 20,000 known     of 1,250,000 known
    ======  ==================  =====================
    500     29 us (107 us)      46 us (510 us)
    5,000   101 us (956 us)     258 us (4,960 us)
    50,000  1.1 ms (7.0 ms)     2.5 ms (48.7 ms)
    ======  ==================  =====================

    Measured besides, of 1,250,000 known: the table inside pandas finds a key in 7 to 16 ns, but cannot forget and is
    not public. `pyarrow.compute.index_in` hashes the known keys at each call. A sorted array takes 180 ns per key.

    Memory: 8 bytes and the columns' in each slot. Slots are 1.54 to `GROWTH / LOAD_MAX` = 1.93 times the most keys it
    had at once; past three times what is needed, `keep` gives them back. While it grows, the old table is there too.

    Parameters
    ----------
    columns
        Types of the columns. The entry of a new key is 0.
    room
        Keys that it has room for to begin with.

    Examples
    --------
    >>> table = HashTable(np.int32)
    >>> slots, absent = table.place(np.array([7 << 40, 5 << 60], np.uint64))
    >>> table.columns[0][slots] = [70, 50]
    >>> slots, absent = table.place(np.array([5 << 60, 0], np.uint64))
    >>> table.columns[0][slots].tolist(), absent.tolist(), len(table)
    ([50, 0], [1], 3)
    """

    keys: NDArray[np.uint64]
    columns: list[NDArray[Any]]

    def __init__(self, *columns: DTypeLike, room: int = 0) -> None:
        # Random, since producers of events choose ids and must not be able to choose their slots.
        self._factor = np.uint64(randbits(64) | 1)
        self._allocate(_capacity_for(room), [np.dtype(column) for column in columns])

    def _allocate(self, capacity: int, dtypes: Sequence[np.dtype[Any]]) -> None:
        # Behind the homes a window's worth of slots, so that no window is cut off, and that of key 0.
        slots = capacity + _WINDOW + 1
        self._has_zero = False
        self._taken_max = 0
        self.columns = [np.zeros(slots, dtype) for dtype in dtypes]
        self._use(np.zeros(slots, np.uint64))

    def _use(self, keys: NDArray[np.uint64]) -> None:
        self.keys = keys
        self._windows = sliding_window_view(keys[:-1], _WINDOW)
        self._capacity = len(keys) - _WINDOW - 1
        self._scale = np.uint64(self._capacity)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.keys)) + self._has_zero

    def slots(self) -> Slots:
        """The slots of all keys, ascending; intp of shape (keys,)."""
        taken = np.flatnonzero(self.keys)
        return np.append(taken, len(self.keys) - 1) if self._has_zero else taken

    def place(self, keys: NDArray[np.uint64]) -> tuple[Slots, Slots]:
        """Look keys up, and add those that are absent; a key may be given repeatedly.

        Returns
        -------
        The slot of each key, shape (n,), right until the next `place` or `keep`; and the positions of those that were
        not there, in any order.
        """
        slots, absent = self._search(keys)
        if len(absent):
            if self._taken_max + len(absent) > self._capacity * LOAD_MAX and self._grow_for(keys[absent]):
                slots, absent = self._search(keys)
            self._taken_max += len(absent)
            slots[absent] = self._put(keys[absent], slots[absent])
        if np.count_nonzero(keys) < len(keys):
            zero = np.flatnonzero(keys == _EMPTY)
            slots[zero] = len(self.keys) - 1
            absent = np.setdiff1d(absent, zero) if self._has_zero else np.union1d(absent, zero)
            self._has_zero = True
        return slots, absent

    def keep(self, slots: Slots) -> None:
        """Forget the keys in all slots but these, each named once; a table that is three times too large shrinks."""
        capacity = _capacity_for(int(len(slots) * GROWTH))
        self._rebuild(slots, capacity if 3 * capacity < self._capacity else self._capacity)

    def state(self) -> list[Any]:
        """Plain data for `restore`: the arrays in use, so that what has not changed since the last time is the same."""
        return [self._has_zero, int(self._factor), self.keys, *self.columns]

    def restore(self, state: list[Any]) -> None:
        """Restore what `state` gave, at no cost: the arrays are not copied."""
        self._has_zero, factor, keys, *self.columns = state
        self._factor = np.uint64(factor)
        self._use(keys)
        self._taken_max = len(self)

    def _homes(self, keys: NDArray[np.uint64]) -> Slots:
        return (((keys * self._factor >> _HALF) * self._scale) >> _HALF).view(np.intp)

    def _next_window(self, start: Slots) -> Slots:
        """Start of the window behind each window; the last is as far back as a whole one can be, then the first."""
        after = start + _WINDOW
        over = np.flatnonzero(after > self._capacity)
        after[over] = np.where(start[over] == self._capacity, 0, self._capacity)
        return after

    def _search(self, keys: NDArray[np.uint64]) -> tuple[Slots, Slots]:
        """The slot of each key, or the empty one where the search for it ends; and the positions of the latter.

        For key 0 the answer is wrong; the caller corrects it.
        """
        slots = self._homes(keys)
        held = self.keys.take(slots)
        elsewhere = np.flatnonzero(held != keys)
        if not len(elsewhere):
            return slots, elsewhere
        taken = held.take(elsewhere) != _EMPTY
        missing = [elsewhere[~taken]]
        rest = elsewhere[taken]
        while len(rest):
            key, start = keys.take(rest), slots.take(rest)
            window = self._windows[start]
            at = start + ((window == key[:, None]) | (window == _EMPTY)).argmax(axis=1)
            held = self.keys.take(at)
            slots[rest] = at
            empty = held == _EMPTY
            missing.append(rest[empty])
            on = np.flatnonzero(~empty & (held != key))
            if not len(on):
                break
            rest = rest[on]
            slots[rest] = self._next_window(start[on])
        return slots, np.concatenate(missing)

    def _grow_for(self, new: NDArray[np.uint64]) -> bool:
        """Grow if these keys need it; whether it did. Until here keys that came twice in a batch counted twice."""
        new = np.sort(new)
        taken = len(self)
        wanted = taken + 1 + np.count_nonzero(new[1:] != new[:-1])
        if wanted <= self._capacity * LOAD_MAX:
            self._taken_max = taken
            return False
        self._rebuild(self.slots(), _capacity_for(int(wanted * GROWTH)))
        return True

    def _put(self, key: NDArray[np.uint64], at: Slots) -> Slots:
        """Put absent keys into the first empty slots from `at` on, which are empty; the slot of each."""
        self.keys[at] = key
        slots = at
        lost = np.flatnonzero(self.keys.take(at) != key)
        rest = lost
        while len(lost):
            # Of several keys that want a slot the last one written has it; the others look on.
            key, at = key[lost], self._first_empty(at[lost])
            self.keys[at] = key
            slots[rest] = at
            lost = np.flatnonzero(self.keys.take(at) != key)
            rest = rest[lost]
        return slots

    def _first_empty(self, start: Slots) -> Slots:
        """The first empty slot from each start on."""
        at = np.minimum(start, self._capacity)
        rest = np.arange(len(at))
        while len(rest):
            start = at[rest]
            at[rest] += (self._windows[start] == _EMPTY).argmax(axis=1)
            full = np.flatnonzero(self.keys.take(at[rest]))
            rest = rest[full]
            at[rest] = self._next_window(start[full])
        return at

    def _rebuild(self, kept: Slots, capacity: int) -> None:
        keys, columns = self.keys, self.columns
        self._allocate(capacity, [column.dtype for column in columns])
        for begin in range(0, len(kept), _MOVED_AT_ONCE):
            old = kept[begin : begin + _MOVED_AT_ONCE]
            new, _ = self.place(keys[old])
            for column, before in zip(self.columns, columns, strict=True):
                column[new] = before[old]


def _capacity_for(keys: int) -> int:
    """The least capacity for a number of keys."""
    return max(int(keys / LOAD_MAX) + 1, CAPACITY_MIN)
