"""The learn step: what it says of the model that scores."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from c360_stream.features.emissions import TickExamples
from c360_stream.learning.learner import LearnedTick, Learner
from c360_stream.logs.events import LOG, Happening
from c360_stream.monitoring.alarms import WARNING, drift_alarm
from c360_stream.operators.learn import LearnLogic
from c360_stream.operators.run_context import RunContext
from c360_stream.state.backend import StateBackend
from c360_stream.state.fields import Kept

DAY = 20_000


class ScriptedLearner:
    """A learner of which another model scores at each tick."""

    def __init__(self, *models: str) -> None:
        self._models = models

    def receive(self, tick: int) -> LearnedTick | None:
        """The tick's version, by the model whose turn it is; with an alarm."""
        name = self._models[tick]
        version: Any = SimpleNamespace(model_name=name, model_version=f"{tick}-x")
        alarm = drift_alarm(
            0, "performance", name, "test", statistic=1.0, threshold=2.0, level=WARNING, action="a", detail="plan: gold"
        )
        return LearnedTick(DAY + tick, version, 5, 2, [alarm])


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    happenings = [record.msg for record in caplog.records if isinstance(record.msg, Happening)]
    return [dict(each.fields) for each in happenings if each.event.name == event]


def test_who_scores_is_said_at_a_start_and_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    models = ("prior-rule", "prior-rule", "online-logistic", "online-logistic", "inactivity-rule", "prior-rule")
    logic = LearnLogic(cast(Learner, ScriptedLearner(*models)), StateBackend(False, ()).of("learn", Kept), RunContext())
    with caplog.at_level(logging.DEBUG, LOG.name):
        logic.on_batch(cast(list[TickExamples], list(range(len(models)))))
    changes = [(each["model_name"], each["before"], each["how"]) for each in said(caplog, "model_adopted")]
    assert changes == [
        ("prior-rule", None, "started"),
        ("online-logistic", "prior-rule", "promoted"),
        ("inactivity-rule", "online-logistic", "fell_back"),
        ("prior-rule", "inactivity-rule", "fell_back"),
    ]
    assert said(caplog, "model_adopted")[1]["as_of"] == "2024-10-06T00:00:00.000Z"
    assert [each["learnt"] for each in said(caplog, "tick_learnt")] == [5] * len(models)


def test_an_alarm_is_said_without_its_sentence(caplog: pytest.LogCaptureFixture) -> None:
    logic = LearnLogic(
        cast(Learner, ScriptedLearner("online-logistic")), StateBackend(False, ()).of("learn", Kept), RunContext()
    )
    logic.on_batch(cast(list[TickExamples], [0]))
    ((alarm),) = said(caplog, "alarm_raised")
    assert (alarm["kind"], alarm["severity"], alarm["statistic"]) == ("performance", "warning", 1.0)
    assert "gold" not in caplog.text
