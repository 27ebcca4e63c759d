"""How far a partition is from the order of time: events that come behind what was before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FOLLOWERS = 8


@dataclass(frozen=True, slots=True)
class Order:
    """Events of a partition, in their order of arrival.

    Parameters
    ----------
    events
        How many.
    late
        How many of them were behind the greatest time before them by more than the allowed lateness.
    behind_us
        By how much the furthest of these was behind it, in microseconds; 0 if none was late.
    """

    events: int
    late: int
    behind_us: int


def order_of(time_us: Sequence[int], lateness_us: int) -> Order:
    """Measure the order of a partition, or of its beginning.

    A few absurd times do not make everything behind them late. A time that leaps ahead of all before it by more than
    the lateness counts as the greatest only if others confirm it: half of the next `FOLLOWERS`, give or take the
    lateness. Nothing is before the first time, so that it is in question only if what follows it is in order without
    it: newest first, it would not be.

    Parameters
    ----------
    time_us
        Event times in microseconds, in the order of arrival.
    lateness_us
        The allowed lateness.

    Examples
    --------
    >>> order_of([10, 11, 9, 12, 5, 13], lateness_us=2)
    Order(events=6, late=1, behind_us=7)
    >>> order_of([9, 8, 7, 6, 5], lateness_us=2).late, order_of([900, 5, 6, 7, 8], lateness_us=2).late
    (2, 0)
    """
    late = behind_us = 0
    high_us: int | None = None
    for position, us in enumerate(time_us):
        if high_us is None:
            following = time_us[1 : 1 + FOLLOWERS]
            if position or _confirmed(us, following, lateness_us) or _any_late(following, lateness_us):
                high_us = us
        elif us > high_us + lateness_us:
            if _confirmed(us, time_us[position + 1 : position + 1 + FOLLOWERS], lateness_us):
                high_us = us
        elif us > high_us:
            high_us = us
        elif us < high_us - lateness_us:
            late += 1
            behind_us = max(behind_us, high_us - us)
    return Order(len(time_us), late, behind_us)


def _confirmed(leap_us: int, following: Sequence[int], lateness_us: int) -> bool:
    return 2 * sum(us >= leap_us - lateness_us for us in following) >= len(following)


def _any_late(time_us: Sequence[int], lateness_us: int) -> bool:
    return any(us < max(time_us[:position]) - lateness_us for position, us in enumerate(time_us) if position)
