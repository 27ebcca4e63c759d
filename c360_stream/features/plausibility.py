"""One absurd timestamp must not drag the watermark: refusing event times far ahead of the rest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from c360_stream.events import US_PER_DAY
from c360_stream.features.columns import NO_TIME

FOLLOWERS = 8
# A leap that nothing follows in its partition cannot be confirmed: it is believed up to this far.
UNCONFIRMED_DAYS = 400
# Events looked at together: those behind a leap are looked at again.
_AT_ONCE = 1024


class JumpGuard:
    """Decides in a replay whether an event that leaps ahead of its partition is absurd or the log really jumps.

    A leap of more than `jump_us` above the greatest time so far is believed if at least half of the next
    `FOLLOWERS` events of the partition are as late, give or take `jump_us`. The verdict depends on the order
    of the partition alone, not on how it was read.

    Parameters
    ----------
    jump_us
        The largest leap that needs no confirmation, in microseconds.
    """

    def __init__(self, jump_us: int) -> None:
        self.jump_us = jump_us

    def refused(
        self, high_us: int, time_us: NDArray[np.int64], more: Callable[[], NDArray[np.int64]]
    ) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Judge a batch.

        Parameters
        ----------
        high_us
            Greatest event time accepted before, `NO_TIME` for none.
        time_us
            int64, shape (n,): event times in the partition's order.
        more
            Reads on: gives the times of the whole batch, which has become longer unless the partition ended.

        Returns
        -------
        The times of the whole batch as finally read, and the positions of those to refuse.
        """
        refused: list[int] = []
        start = 0
        while start < len(time_us):
            part = time_us[start : start + _AT_ONCE]
            ahead = np.maximum.accumulate(np.concatenate([[high_us], part]))
            leaps = np.flatnonzero(part - self.jump_us > ahead[:-1])
            if not len(leaps):
                start, high_us = start + len(part), int(ahead[-1])
                continue
            i = start + int(leaps[0])
            while len(time_us) < i + 1 + FOLLOWERS:
                longer = more()
                if len(longer) == len(time_us):
                    break
                time_us = longer
            high_us = int(ahead[leaps[0]])
            if self._absurd(int(time_us[i]), high_us, time_us[i + 1 : i + 1 + FOLLOWERS]):
                refused.append(i)
            else:
                high_us = int(time_us[i])
            start = i + 1
        return time_us, np.array(refused, np.intp)

    def _absurd(self, leap_us: int, high_us: int, following: NDArray[np.int64]) -> bool:
        if not len(following):
            return high_us != NO_TIME and leap_us - high_us > UNCONFIRMED_DAYS * US_PER_DAY
        return 2 * int((following >= leap_us - self.jump_us).sum()) < len(following)
