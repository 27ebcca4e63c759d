"""Declared seasons: times of the year at which usage is another one, which is no news."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import utc_time


class Seasons:
    """Recurring parts of the year.

    Parameters
    ----------
    declared
        First and last day of each, as `MM-DD`, both included; one may span the turn of the year.

    Examples
    --------
    >>> holidays = Seasons([("12-15", "01-03")])
    >>> first_of_january_2024 = 19_723
    >>> [holidays.touch(first_of_january_2024 + day, 0) for day in (-20, 0, 2, 3)]
    [False, True, True, False]
    >>> holidays.touch(first_of_january_2024 + 20, look_back_days=30)
    True
    """

    def __init__(self, declared: Sequence[tuple[str, str]]) -> None:
        self._declared = [tuple(each) for each in declared]

    def touch(self, day: int, look_back_days: int) -> bool:
        """Whether a day since the epoch, or one of the `look_back_days` before it, is in a season."""
        if not self._declared:
            return False
        last = utc_time(day * US_PER_DAY).date()
        days = {f"{last - timedelta(days=back):%m-%d}" for back in range(look_back_days + 1)}
        return any(_within(day_of_year, *each) for each in self._declared for day_of_year in days)


NO_SEASONS = Seasons(())


def _within(day: str, first: str, last: str) -> bool:
    return first <= day <= last if first <= last else day >= first or day <= last
