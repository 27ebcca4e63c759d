"""Learn step, keyed by model: a thin shell around `Learner`."""

from __future__ import annotations

from dataclasses import dataclass

from bytewax.operators import StatefulBatchLogic

from c360_stream import metrics
from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import rfc3339_ms
from c360_stream.features.definitions import FEATURE_VERSION
from c360_stream.features.emissions import TickExamples
from c360_stream.learning.learner import LearnedTick, Learner, LearningConfig
from c360_stream.logs.events import MODEL_ADOPTED, TICK_LEARNT
from c360_stream.models.catalogue import BASELINES
from c360_stream.models.prior import MODEL_NAME as PRIOR_RULE
from c360_stream.operators.alarm_log import log_alarm
from c360_stream.operators.run_context import RunContext, record_failure
from c360_stream.state.backend import StateBackend, StateHandle


@dataclass(frozen=True)
class LearnStep:
    """Builds the learner, with its state."""

    shards: int
    config: LearningConfig
    backend: StateBackend
    run: RunContext

    @record_failure
    def __call__(self, resume_state: bytes | None) -> LearnLogic:
        """Build, or restore a snapshot."""
        learner, handle = Learner(self.shards, self.config), self.backend.of("learn", Learner)
        if resume_state is not None:
            learner.restore(handle.load(resume_state))
        return LearnLogic(learner, handle, self.run)


class LearnLogic(StatefulBatchLogic[TickExamples, LearnedTick, bytes]):
    """The learner."""

    def __init__(self, learner: Learner, handle: StateHandle, run: RunContext) -> None:
        self.run = run
        self._learner = learner
        self._handle = handle
        self._scores: str | None = None

    @record_failure
    def on_batch(self, values: list[TickExamples]) -> tuple[list[LearnedTick], bool]:
        """Take shards' parts of ticks; learn the ticks that are whole."""
        out = []
        for part in values:
            learned = self._learner.receive(part)
            if learned is not None:
                _count(learned)
                self._log(learned)
                out.append(learned)
        return out, False

    def _log(self, learned: LearnedTick) -> None:
        """Log what was learnt, and which model scores if another one did before."""
        version, as_of = learned.version, rfc3339_ms(learned.day * US_PER_DAY)
        scored_by = {"model_name": version.model_name, "model_version": version.model_version}
        TICK_LEARNT.log(as_of=as_of, learnt=learned.learnt, churned=learned.learnt_churned, **scored_by)
        before, self._scores = self._scores, version.model_name
        if version.model_name != before:
            how = "fell_back" if version.model_name in (*BASELINES, PRIOR_RULE) else "promoted"
            MODEL_ADOPTED.log(
                **scored_by,
                feature_version=FEATURE_VERSION,
                as_of=as_of,
                before=before,
                how="started" if before is None else how,
            )

    @record_failure
    def snapshot(self) -> bytes:
        """The learner's state."""
        return self._handle.keep("model", self._learner.state)


def _count(learned: LearnedTick) -> None:
    metrics.TICKS_CLOSED.inc()
    metrics.EXAMPLES_LEARNT.labels("churned").inc(learned.learnt_churned)
    metrics.EXAMPLES_LEARNT.labels("stayed").inc(learned.learnt - learned.learnt_churned)
    for alarm in learned.alarms:
        metrics.ALARMS_RAISED.labels(alarm.kind, alarm.severity).inc()
        log_alarm(alarm)
    metrics.MODEL_INFO.info(
        {
            "model_name": learned.version.model_name,
            "model_version": learned.version.model_version,
            "feature_version": str(FEATURE_VERSION),
        }
    )
