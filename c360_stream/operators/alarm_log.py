"""Alarms in the log."""

from __future__ import annotations

from c360_stream.contracts.events import time_us
from c360_stream.contracts.records import DriftAlarm, rfc3339_ms
from c360_stream.logs.events import ALARM_RAISED


def log_alarm(alarm: DriftAlarm) -> None:
    """Log that an alarm is raised; its sentence, which may name what customers bought, is left to the table."""
    ALARM_RAISED.log(
        alarm_id=alarm.alarm_id,
        as_of=rfc3339_ms(time_us(alarm.as_of)),
        kind=alarm.kind,
        subject=alarm.subject,
        severity=alarm.severity,
        method=alarm.method,
        statistic=alarm.statistic,
        threshold=alarm.threshold,
    )
