"""The share of late events: a replay whose input is not in about the order of time is stopped by it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from c360_stream.errors import InputError
from c360_stream.settings import Settings

LATE_MIN = 1_000
"""Fewer late events stop no run: somebody's history, sent after the event, is no reason to."""
LATE_SHARE_WARNED = 0.01
"""Of the events: fewer late ones are every day's."""
LOOK_EVENTS = 10_000
"""From one look at the share to the next: it depends on the partition alone, and not on how it was read."""


@dataclass
class LateCounts:
    """Events read from a partition, and how many of them were late."""

    events: int = 0
    late: int = 0


class OrderWatch:
    """Counts the late events of one partition, since it was first read.

    Parameters
    ----------
    settings
        Settings.
    name
        Name of the partition.
    by_partition
        Where to add what this run reads.
    state
        What `state` gave.
    """

    def __init__(
        self, settings: Settings, name: str, by_partition: dict[str, LateCounts], state: Sequence[int] = ()
    ) -> None:
        self._settings = settings
        self._name = name
        self._counts = LateCounts(*state)
        self._read = by_partition.setdefault(name, LateCounts())

    def state(self) -> tuple[int, int]:
        """Plain data for the constructor."""
        return self._counts.events, self._counts.late

    def count(self, time_us: NDArray[np.int64], effective_time_us: NDArray[np.int64], *, ended: bool) -> None:
        """Count the next events.

        Parameters
        ----------
        time_us, effective_time_us
            int64, shape (n,): as in `EventColumns`.
        ended
            Whether these are the last.

        Raises
        ------
        InputError
            In a replay, if too many were late.
        """
        is_late = time_us < effective_time_us
        before, late = self._counts, int(np.count_nonzero(is_late))
        self._counts = LateCounts(before.events + len(time_us), before.late + late)
        self._read.events += len(time_us)
        self._read.late += late
        if self._settings.live or self._counts.late < LATE_MIN:
            return
        looks = set(range(-before.events % LOOK_EVENTS, len(time_us) + 1, LOOK_EVENTS))
        for look in sorted(looks | ({len(time_us)} if ended else set())):
            late = before.late + int(np.count_nonzero(is_late[:look]))
            if late >= LATE_MIN and late > self._settings.late_share_max * (before.events + look):
                raise InputError(*self._disorder(before.events + look, late))

    def _disorder(self, events: int, late: int) -> tuple[str, str]:
        settings = self._settings
        what = (
            f"{self._name}: {late:,} of its first {events:,} events come more than"
            f" {settings.allowed_lateness_seconds:,} s behind one before them: it is not in the order of time"
        )
        if settings.uses_kafka:
            return what, f"write the events to new topics, oldest first, or {way_out()}"
        return what, f"{sort_command(settings.log_dir)}, and run that, or {way_out()}"


def sort_command(log_dir: Path) -> str:
    """How to sort a log directory, in words."""
    return f"sort it: c360 sort {shlex.quote(str(log_dir))} --out DIR"


def way_out() -> str:
    """How to run what is not in order all the same, in words."""
    return "set C360_LATE_SHARE_MAX=1 to run it as it is"
