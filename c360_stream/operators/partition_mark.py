"""The mark of an input partition: the event time below which it is complete."""

from __future__ import annotations

import time

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.columns import NO_TIME
from c360_stream.features.plausibility import TimeJudge


class PartitionMark:
    """The mark to come to, and the one last emitted, which may be behind it. `NO_TIME` before the first event.

    Parameters
    ----------
    judge
        Knows the greatest event time of the partition.
    lateness_us
        Allowed lateness: how far the mark is behind that.
    emitted_us
        The mark last emitted.
    """

    def __init__(self, judge: TimeJudge, lateness_us: int, emitted_us: int) -> None:
        self._judge = judge
        self._lateness_us = lateness_us
        self.emitted_us = emitted_us
        self.us = max(emitted_us, self._of_events())

    def _of_events(self) -> int:
        high_us = self._judge.high_us
        return high_us - self._lateness_us if high_us != NO_TIME else NO_TIME

    @property
    def is_behind(self) -> bool:
        """Whether the mark is beyond the one last emitted."""
        return self.emitted_us < self.us

    def inform_judge(self) -> None:
        """Give the judge the time: an idle partition's mark has followed the clock, beyond its own events."""
        if self.us != NO_TIME:
            self._judge.advance(self.us + self._lateness_us)

    def move(self, *, idle: bool) -> None:
        """Take the events that were judged, or, of an idle partition, the clock."""
        clock_us = time.time_ns() // 1000 - self._lateness_us if idle else NO_TIME
        self.us = max(self.us, self._of_events(), clock_us)
        if self.emitted_us == NO_TIME and self.us != NO_TIME:
            # From its first event on. Idle before that, it follows the clock, and nothing from before is expected.
            self.emitted_us = self._judge.begin(self.us + self._lateness_us) - self._lateness_us

    def emit(self) -> int:
        """The mark to emit now, at most a day further than the last one.

        However far the log leaps, the flow runs a tick or so at a time, and can be stopped and snapshotted between.
        """
        self.emitted_us = min(self.us, self.emitted_us + US_PER_DAY)
        return self.emitted_us
