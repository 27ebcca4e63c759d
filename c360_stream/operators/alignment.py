"""Read alignment: the partition furthest behind in event time is read first, one far ahead pauses."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from c360_stream.features.columns import END_OF_TIME, NO_TIME

FILE_VARIABLE = "C360_ALIGNMENT_FILE"
"""Names the file that the processes of a cluster share."""


class ReadAlignment:
    """The event time that every partition has been read to, shared by the processes of one machine.

    Alignment bounds what waits in the shards and never changes a result, so the slots need no lock: each has
    one writer, and a stale value only delays or hastens a read.

    Parameters
    ----------
    partitions
        Names of all partitions; every process gives the same.
    ahead_us
        A partition this far ahead of the one furthest behind pauses.
    shared
        File that the processes of a cluster on this machine share; None for a process of its own.
    """

    def __init__(self, partitions: tuple[str, ...], ahead_us: int, shared: Path | None = None) -> None:
        self.ahead_us = ahead_us
        self._slot = {name: number for number, name in enumerate(sorted(partitions))}
        nothing_read = np.full(len(partitions), NO_TIME, np.int64)
        # What holds the others back: the event time reached, or no limit at the partition's end. Without a shared
        # file the partitions of other processes are unknown here, and hold nobody.
        self._holds = np.full(len(partitions), END_OF_TIME, np.int64)
        self._high = nothing_read.copy()
        if shared is None:
            return
        size = 8 * max(1, len(partitions))
        with shared.open("a+b") as file:  # "a": the first process makes it, nobody empties it
            if shared.stat().st_size < size:
                file.write(nothing_read.tobytes())
                file.flush()
            self._holds = np.frombuffer(mmap.mmap(file.fileno(), size), np.int64)

    def reached(self, partition: str, high_us: int, *, at_end: bool = False) -> None:
        """Note how far a partition of this process has been read; one without backlog holds nobody back."""
        slot = self._slot[partition]
        self._high[slot] = high_us
        self._holds[slot] = END_OF_TIME if at_end else high_us

    def must_wait(self, partition: str) -> bool:
        """Whether a partition is too far ahead to be read now. The one furthest behind never is."""
        return int(self._high[self._slot[partition]]) - int(np.minimum.reduce(self._holds)) > self.ahead_us
