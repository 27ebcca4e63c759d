"""Monitor step: a thin shell around `Monitors`."""

from __future__ import annotations

from dataclasses import dataclass

from bytewax.operators import StatefulBatchLogic

from c360_stream import metrics
from c360_stream.contracts.records import DriftAlarm
from c360_stream.features.emissions import HourCounts
from c360_stream.monitoring.interventions import InterventionRow
from c360_stream.monitoring.monitor import MetricRow, MonitorConfig
from c360_stream.operators.alarm_log import log_alarm
from c360_stream.operators.rows import Output, alarm_outputs, intervention_rows, metric_rows, raised_now
from c360_stream.operators.run_context import RunContext, record_failure
from c360_stream.operators.score import CountedStats
from c360_stream.operators.tick_log import TickLog
from c360_stream.pipeline import Monitors
from c360_stream.settings import Settings
from c360_stream.state.backend import StateBackend
from c360_stream.state.fields import Kept, fields


@dataclass(frozen=True)
class MonitorStep:
    """Builds the monitor, with its state."""

    settings: Settings
    config: MonitorConfig
    backend: StateBackend
    run: RunContext

    @record_failure
    def __call__(self, resume_state: bytes | None) -> MonitorLogic:
        """Build, or restore a snapshot."""
        return MonitorLogic(self, resume_state)


class MonitorLogic(StatefulBatchLogic[HourCounts | CountedStats, Output, bytes], Kept):
    """Waits for all shards, then looks."""

    kept = fields(
        _monitors=Monitors,
        _log=TickLog,
        _quality=dict[str, tuple[str, float]],
    )

    def __init__(self, step: MonitorStep, resume_state: bytes | None = None) -> None:
        self.run = step.run
        self._step = step
        self._handle = step.backend.of("monitor", MonitorLogic)
        self._monitors = Monitors(step.settings.shards, step.config)
        self._log = TickLog(step.settings.shards)
        self._quality: dict[str, tuple[str, float]] = {}
        if resume_state is not None:
            self.restore(self._handle.load(resume_state))

    @record_failure
    def on_batch(self, values: list[HourCounts | CountedStats]) -> tuple[list[Output], bool]:
        """Take shards' hours and ticks; give alarms and quality figures."""
        alarms: list[DriftAlarm] = []
        rows: list[MetricRow] = []
        interventions: list[InterventionRow] = []
        for value in values:
            if isinstance(value, CountedStats):
                self._log.part(value.stats.tick, value.tiers, value.totals)
            watched = self._monitors.take(value)
            if watched.stats is not None:
                self._log.closed(watched.stats, len(watched.alarms))
            alarms += watched.alarms
            rows += watched.metrics
            interventions += watched.interventions
        if self._step.settings.live:
            alarms = raised_now(alarms)
        for alarm in alarms:
            metrics.ALARMS_RAISED.labels(alarm.kind, alarm.severity).inc()
            log_alarm(alarm)
        self._show({row.metric: (row.model_name, row.value) for row in rows if row.segment == "all"})
        return [
            *alarm_outputs(self._step.settings, alarms),
            *metric_rows(rows),
            *intervention_rows(interventions),
        ], False

    def _show(self, quality: dict[str, tuple[str, float]]) -> None:
        """Show the newest quality figures, of the model that they judge and no longer of the one before it."""
        for metric in _GAUGES.keys() & quality.keys():
            self._quality[metric] = model_name, value = quality[metric]
            _GAUGES[metric].clear()
            _GAUGES[metric].labels(model_name).set(value)

    def restored(self) -> None:
        """Quality figures come once a week: a restart must not hide them until the next."""
        self._show(self._quality)

    @record_failure
    def snapshot(self) -> bytes:
        """The monitor's state, barriers included."""
        return self._handle.keep("monitor", self.state)


_GAUGES = {
    "roc_auc": metrics.MODEL_AUC,
    "log_loss": metrics.MODEL_LOG_LOSS,
    "calibration_ratio": metrics.MODEL_CALIBRATION_RATIO,
}
