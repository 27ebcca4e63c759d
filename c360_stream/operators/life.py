"""Start and end of a run, in its log."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Literal

from c360_stream import __version__, metrics
from c360_stream.logs.events import LATE_EVENTS_MANY, RUN_ENDED, RUN_STARTED, SUBSCRIPTION_EVENTS_MISPLACED
from c360_stream.logs.lines import set_up
from c360_stream.logs.refusals import dead_letter_reasons
from c360_stream.logs.summaries import most_frequent
from c360_stream.operators.late_share import LATE_SHARE_WARNED, LateCounts, sort_command
from c360_stream.operators.run_context import RunContext
from c360_stream.settings import Settings
from c360_stream.settings.masking import mask_dsn

DIGEST_DIGITS = 12
_TOTALS = {
    "read": "events_read",
    "accepted": "events_accepted",
    "dead_letters": "dead_letters",
    "duplicates": "duplicate_events",
    "late": "late_events",
    "late_after_tick": "late_events_after_tick",
    "scores": "scores_emitted",
}


class RunLife:
    """A run of the flow in this process: logs how it starts and how it ends.

    Parameters
    ----------
    settings
        Settings.
    run
        What its steps share.
    """

    def __init__(self, settings: Settings, run: RunContext) -> None:
        self._run = run
        self._settings = settings
        self._began = time.monotonic()

    def started(self, *, processes: int | None = None, recovery: Path | None = None) -> None:
        """Log that it starts; `processes` and `recovery` if the engine was not started from outside."""
        settings = self._settings
        RUN_STARTED.log(
            version=__version__,
            transport="Kafka" if settings.uses_kafka else "log directory",
            input=settings.kafka_brokers or settings.log_dir.resolve(),
            tables=mask_dsn(settings.dsn),
            pid=os.getpid(),
            processes=processes,
            shards=settings.shards,
            live=settings.live,
            recovery=recovery,
            settings=digest(settings),
        )

    def ended(self, how: Literal["input_ended", "stopped"]) -> None:
        """Log what became of the input: of a cluster, of what this process read and of the accounts that it has."""
        self._run.dead_letters.log()
        self._run.snapshots.log()
        counts = {field: int(metrics.total(f"c360_{name}_total")) for field, name in _TOTALS.items()}
        behind = f" ({counts['late_after_tick']:,.0f} after the tick of their day)" if counts["late"] else ""
        refused = Counter(
            {f"{topic}: {reason}": number for (topic, reason), number in dead_letter_reasons().items() if number}
        )
        RUN_ENDED.log(
            **counts,
            behind=behind,
            seconds=time.monotonic() - self._began,
            how=how,
            dead_letter_reasons=most_frequent(refused) or None,
        )
        late = self._run.late
        if sum(each.late for each in late.values()) > LATE_SHARE_WARNED * sum(each.events for each in late.values()):
            _log_late(self._settings, late)
        if misplaced := int(metrics.total("c360_subscription_events_misplaced_total")):
            SUBSCRIPTION_EVENTS_MISPLACED.log(events=misplaced)


def log_from(settings: Settings, *, process: int | None = None) -> None:
    """Write the log of this process as the settings have it."""
    set_up(settings.log_format, settings.log_level, process=process)


def digest(settings: Settings) -> str:
    """A hash that differs between settings; secrets and the log's own do not count."""
    shown = {name: value for name, value in settings.masked().items() if name not in {"log_format", "log_level"}}
    return sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:DIGEST_DIGITS]


def _log_late(settings: Settings, late: dict[str, LateCounts]) -> None:
    """What so many late events mean, and what to do."""
    name, most = max(late.items(), key=lambda item: item[1].late)
    if settings.live:
        hint = "if they are that late, raise C360_ALLOWED_LATENESS_SECONDS"
    else:
        hint = "replay them oldest first" if settings.uses_kafka else sort_command(settings.log_dir)
    LATE_EVENTS_MANY.log(
        partition=name,
        events=most.events,
        late=most.late,
        lateness_seconds=settings.allowed_lateness_seconds,
        hint=hint,
    )
