"""The monitor step: what the metrics keep saying of a model's quality."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from c360_stream import metrics
from c360_stream.operators.monitor import MonitorLogic, MonitorStep
from c360_stream.operators.run_context import RunContext
from c360_stream.pipeline import monitor_config
from c360_stream.settings import Settings
from c360_stream.state.backend import StateBackend

GAUGES = (metrics.MODEL_AUC, metrics.MODEL_LOG_LOSS, metrics.MODEL_CALIBRATION_RATIO)


@pytest.fixture(autouse=True)
def _no_gauges() -> Iterator[None]:
    yield
    restart()


def restart() -> None:
    """Forget the metrics, as a new process does."""
    for gauge in GAUGES:
        gauge.clear()


def step(directory: Path) -> MonitorStep:
    settings = Settings()
    return MonitorStep(settings, monitor_config(settings), StateBackend(True, (), directory), RunContext())


def auc(model_name: str) -> float | None:
    return metrics.REGISTRY.get_sample_value("c360_model_auc", {"model_name": model_name})


def test_quality_outlives_a_restart(tmp_path: Path) -> None:
    logic = MonitorLogic(step(tmp_path))
    logic._show({"roc_auc": ("online-logistic", 0.84), "brier": ("online-logistic", 0.05)})
    kept = logic.snapshot()
    restart()
    assert auc("online-logistic") is None
    step(tmp_path)(kept)
    assert auc("online-logistic") == 0.84


def test_quality_is_of_the_newest_model_alone(tmp_path: Path) -> None:
    logic = MonitorLogic(step(tmp_path))
    logic._show({"roc_auc": ("prior-rule", 0.6)})
    logic._show({"log_loss": ("online-logistic", 0.2)})
    assert auc("prior-rule") == 0.6, "a week with too few outcomes for a ranking says nothing new of it"
    logic._show({"roc_auc": ("online-logistic", 0.84)})
    assert (auc("prior-rule"), auc("online-logistic")) == (None, 0.84)
