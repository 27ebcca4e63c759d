"""Watches how late cancellations arrive: while they come late, outcomes of "stayed" are wrong for longer."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import exp, lgamma

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import DriftAlarm
from c360_stream.labels.ledger import CORRECTION_DAYS
from c360_stream.monitoring.alarms import CLEAR_SHARE, CRITICAL, NORMAL, AlarmLatch, day_text, drift_alarm, level
from c360_stream.state.fields import Kept, fields

SUBJECT = "subscription_cancelled"
CURRENT_DAYS = 28
REFERENCE_DAYS = 84
# Below this many cancellations in either window a share is noise.
_CANCELLATIONS_MIN = 10
# Rise of the share that came late: a warning, and twice that is critical.
_RISE_MIN = 0.20
# One test per day, of which some dozen a year do not overlap: by chance alone, one alarm in some thousand years.
_FALSE_ALARM_RATE = 1e-5
_ACTION = (
    f"outcomes go on being learnt; those that say stayed are corrected up to {CORRECTION_DAYS} days after the "
    "horizon, and later news is lost to learning: look for what holds up the billing export"
)


class DelayWatch(Kept):
    """Compares the last 28 days with the 84 before.

    Late is what arrived a whole day or more after the day on which it happened. State: three integers for each
    of 112 days.
    """

    kept = fields(_days=deque[tuple[int, int, int]])

    def __init__(self) -> None:
        self._days: deque[tuple[int, int, int]] = deque(maxlen=CURRENT_DAYS + REFERENCE_DAYS)

    def on_tick(self, day: int, late_days: Sequence[int], latch: AlarmLatch) -> list[DriftAlarm]:
        """Take the cancellations that arrived on the day before a tick, in any order.

        Parameters
        ----------
        day
            Of the tick, in days since the Unix epoch.
        late_days
            By how many whole days each came late.
        latch
            Remembers whether this has been alarmed.
        """
        self._days.append((len(late_days), sum(late > 0 for late in late_days), sum(late_days)))
        days = list(self._days)
        total, late, sum_days = _sums(days[-CURRENT_DAYS:])
        total_before, late_before, _ = _sums(days[:-CURRENT_DAYS])
        if min(total, total_before) < _CANCELLATIONS_MIN:
            return []
        share, share_before = late / total, late_before / total_before
        rise = share - share_before
        certain = chance_of_as_many(late, total, late + late_before, total + total_before) < _FALSE_ALARM_RATE
        reached = level(rise, _RISE_MIN, 2 * _RISE_MIN) if certain else NORMAL
        if not latch.rises("label_delay", SUBJECT, reached, cleared=rise < CLEAR_SHARE * _RISE_MIN):
            return []
        return [
            drift_alarm(
                day * US_PER_DAY,
                "label_delay",
                SUBJECT,
                "late_share_rise",
                statistic=rise,
                threshold=2 * _RISE_MIN if reached == CRITICAL else _RISE_MIN,
                level=reached,
                action=_ACTION,
                detail=f"{share:.0%} of {total} cancellations heard in the {CURRENT_DAYS} days to {day_text(day)} came "
                f"a day or more late, {sum_days / max(late, 1):.1f} days on average; {share_before:.0%} of "
                f"{total_before} before.",
            )
        ]


def chance_of_as_many(marked: int, drawn: int, marked_in_all: int, in_all: int) -> float:
    """Probability that `marked` or more of the `drawn` are marked, if marks are random (Fisher's exact test).

    >>> round(chance_of_as_many(3, 3, 3, 6), 4)  # one of the 20 ways to draw 3 of 6
    0.05
    """
    most = min(drawn, marked_in_all)
    ways = _log_choose(in_all, drawn)
    return sum(
        exp(_log_choose(marked_in_all, k) + _log_choose(in_all - marked_in_all, drawn - k) - ways)
        for k in range(max(marked, drawn - (in_all - marked_in_all)), most + 1)
    )


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _sums(days: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    total, late, sum_days = (sum(column) for column in zip(*days, strict=True)) if days else (0, 0, 0)
    return total, late, sum_days
