"""Monitor step: a thin shell around `Monitors`."""

from __future__ import annotations

from dataclasses import dataclass

from bytewax.operators import StatefulBatchLogic

from c360_stream import metrics
from c360_stream.contracts.records import DriftAlarm
from c360_stream.features.emissions import HourCounts
from c360_stream.monitoring.interventions import InterventionRow
from c360_stream.monitoring.monitor import MetricRow, MonitorConfig
from c360_stream.operators.alarm_log import tell_alarm
from c360_stream.operators.rows import Output, alarm_outputs, intervention_rows, metric_rows, raised_now
from c360_stream.operators.score import CountedStats
from c360_stream.operators.stop import failing_loudly
from c360_stream.operators.tick_log import TickLog
from c360_stream.pipeline import Monitors
from c360_stream.settings import Settings
from c360_stream.state.backend import Keeping


@dataclass(frozen=True)
class MonitorStep:
    """Builds the monitor, with its state."""

    settings: Settings
    config: MonitorConfig
    keeping: Keeping

    @failing_loudly
    def __call__(self, resume_state: bytes | None) -> MonitorLogic:
        """Build, or take up a snapshot."""
        logic = MonitorLogic(self)
        if resume_state is not None:
            logic.restore(resume_state)
        return logic


class MonitorLogic(StatefulBatchLogic[HourCounts | CountedStats, Output, bytes]):
    """Waits for all shards, then looks."""

    def __init__(self, step: MonitorStep) -> None:
        self._step = step
        self._keeper = step.keeping.of("monitor")
        self._monitors = Monitors(step.settings.shards, step.config)
        self._log = TickLog(step.settings.shards)
        self._quality: dict[str, tuple[str, float]] = {}

    @failing_loudly
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
            tell_alarm(alarm)
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

    def restore(self, packed: bytes) -> None:
        """Take up what `snapshot` gave."""
        state = self._keeper.take_up(packed)
        self._monitors.restore(state)
        self._log.restore(state.get("tick_log", []))
        # They come once a week: a restart must not hide them until the next. Older snapshots lack them.
        self._show({metric: (name, value) for metric, name, value in state.get("quality", ())})

    @failing_loudly
    def snapshot(self) -> bytes:
        """The monitor's state, barriers included."""
        return self._keeper.keep(
            "monitor",
            lambda: {
                **self._monitors.state(),
                "tick_log": self._log.state(),
                "quality": [[metric, name, value] for metric, (name, value) in sorted(self._quality.items())],
            },
        )


_GAUGES = {
    "roc_auc": metrics.MODEL_AUC,
    "log_loss": metrics.MODEL_LOG_LOSS,
    "calibration_ratio": metrics.MODEL_CALIBRATION_RATIO,
}
