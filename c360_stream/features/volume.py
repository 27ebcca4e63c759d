"""How much of a day's usage did we get to see? An outage of the tracking is not a decline of the accounts."""

from __future__ import annotations

from statistics import median

from c360_stream.state.fields import Kept, fields

_DAYS = 28
_WEEKDAYS_MIN = 2
# A day below this share of its expectation is an outage (or a holiday: nobody's decline either).
_SHARE_MIN = 0.5
# Below this many expected events, half a day's worth may go missing by chance.
_EXPECTED_MIN = 200


class VolumeBaseline(Kept):
    """Product events per day, against the same weekday of the four weeks before.

    Memory: 28 days.

    Examples
    --------
    >>> baseline = VolumeBaseline()
    >>> [baseline.day_exposure(day, 1000) for day in range(14)] == [1.0] * 14
    True
    >>> baseline.day_exposure(14, 100)
    0.1
    """

    kept = fields(_days=dict[int, tuple[int, float]])

    def __init__(self) -> None:
        self._days: dict[int, tuple[int, float]] = {}

    def day_exposure(self, day: int, count: int) -> float:
        """Share of the day's expected product events that was seen; to be called once a day, in order.

        Parameters
        ----------
        day
            Day since the Unix epoch.
        count
            The product events of that day, over all accounts.

        Returns
        -------
        1.0 unless the count is below half of the median of the same weekdays of four weeks, those of
        low exposure left out; then count / median.
        """
        if not self._days and not count:
            return 1.0  # not begun yet: how many empty days come first depends on how the input is partitioned
        past = [self._days[earlier] for earlier in range(day - _DAYS, day, 7) if earlier in self._days]
        normal = [events for events, exposure in past if exposure == 1.0]
        exposure = 1.0
        if len(normal) >= _WEEKDAYS_MIN:
            expected = median(normal)
            if expected >= _EXPECTED_MIN and count < _SHARE_MIN * expected:
                exposure = count / expected
        self._days = {kept: value for kept, value in self._days.items() if kept > day - _DAYS}
        self._days[day] = (count, exposure)
        return exposure
