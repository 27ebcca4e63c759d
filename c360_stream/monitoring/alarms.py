"""Alarms without a storm: a condition alarms when it begins and when it gets worse, then not until it clears."""

from __future__ import annotations

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import AlarmKind, DriftAlarm, Severity, alarm_id, utc_time
from c360_stream.state.fields import Kept, fields

# A statistic has cleared when it is below this share of its warning threshold: not as soon as it touches it.
CLEAR_SHARE = 0.8
NORMAL, WARNING, CRITICAL = 0, 1, 2
_SEVERITIES: dict[int, Severity] = {WARNING: "warning", CRITICAL: "critical"}


def level(statistic: float, warning: float, critical: float) -> int:
    """`NORMAL`, `WARNING` or `CRITICAL`: which threshold the statistic exceeds."""
    return CRITICAL if statistic > critical else WARNING if statistic > warning else NORMAL


def day_text(day: int) -> str:
    """A day since the epoch, for a sentence.

    >>> day_text(19_783)
    '2024-03-01'
    """
    return utc_time(day * US_PER_DAY).date().isoformat()


def drift_alarm(
    as_of_us: int,
    kind: AlarmKind,
    subject: str,
    method: str,
    *,
    statistic: float,
    threshold: float,
    level: int,
    action: str,
    detail: str,
) -> DriftAlarm:
    """Make the record, as raised at its as-of: the processing clock of a replay."""
    time = utc_time(as_of_us)
    return DriftAlarm(
        alarm_id=alarm_id(as_of_us, kind, subject, method),
        raised_at=time,
        as_of=time,
        kind=kind,
        subject=subject,
        method=method,
        statistic=float(statistic),
        threshold=float(threshold),
        severity=_SEVERITIES[level],
        action=action,
        detail=detail,
    )


class AlarmLatch(Kept):
    """Remembers which conditions hold, and how badly.

    Examples
    --------
    >>> latch = AlarmLatch()
    >>> [latch.rises("volume", "product", at, cleared=at == NORMAL) for at in (1, 1, 2, 1, 0, 1)]
    [True, False, True, False, False, True]
    """

    kept = fields(_levels=dict[str, int])

    def __init__(self) -> None:
        self._levels: dict[str, int] = {}

    def rises(self, kind: AlarmKind, subject: str, level: int, *, cleared: bool) -> bool:
        """Note the level of a condition: whether that calls for an alarm.

        Parameters
        ----------
        cleared
            Whether a condition that held is over; between `cleared` and a level it goes on holding.
        """
        key = f"{kind} {subject}"
        if level > self._levels.get(key, NORMAL):
            self._levels[key] = level
            return True
        if cleared:
            self._levels.pop(key, None)
        return False

    def holds(self, kind: AlarmKind, subject: str | None = None) -> bool:
        """Whether a condition of this kind has been alarmed and not cleared, of this subject or of any."""
        if subject is not None:
            return f"{kind} {subject}" in self._levels
        return any(key.startswith(f"{kind} ") for key in self._levels)
