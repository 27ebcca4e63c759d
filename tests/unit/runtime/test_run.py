"""`c360 run`: errors that name what is wrong before anything runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from c360_stream.errors import ConfigurationError, StateError
from c360_stream.metrics import REGISTRY
from c360_stream.runtime.cluster import ALONE, ClusterMember
from c360_stream.runtime.log_order import refuse_disorder
from c360_stream.runtime.run import _show_limits, run
from c360_stream.runtime.signals import STOP_SIGNALS
from c360_stream.settings import Settings
from tests.unit.cli.test_doctor import write_hours
from tests.unit.runtime.test_recovery import another_process


def test_one_run_at_a_time_has_a_recovery_store(settings: Settings, tmp_path: Path) -> None:
    """Two would mix their states."""
    recovery = tmp_path / "recovery"
    settings.log_dir.mkdir()
    with another_process(recovery, settings.log_dir):
        for processes in (1, 2):
            with pytest.raises(StateError, match="in use by another process"):
                run(settings, processes=processes, recovery=recovery)


def test_a_run_without_input_says_so_and_leaves_signals_as_they_were(settings: Settings, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with pytest.raises(ConfigurationError, match="does not exist"):
        run(settings)
    settings.log_dir.mkdir()
    with pytest.raises(ConfigurationError, match=f"no input partition in {tmp_path}"):
        run(settings)
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert not [name for name in os.environ if name.startswith("C360_")]


def test_a_setting_without_effect_is_said_to_be_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("C360_TIER_HIHG", "0.3")
    settings.log_dir.write_text("no directory")
    with pytest.raises(ConfigurationError, match="is no directory"):
        run(settings)
    warning = "process 0: setting C360_TIER_HIHG (did you mean C360_TIER_HIGH?) is unknown, and without effect"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"Z warning setting_unknown: {warning}")


def test_metrics_tell_the_settings_that_alerts_compare_with(settings: Settings) -> None:
    changed = settings.model_copy(update={"allowed_lateness_seconds": 7200, "early_events_max": 1600, "shards": 16})
    _show_limits(changed, ClusterMember(("h:1", "h:2", "h:3"), 2))
    names = ("cluster_processes", "allowed_lateness_seconds", "early_events_max", "model_auc_min")
    assert [REGISTRY.get_sample_value(f"c360_{name}") for name in names] == [3, 7200, 100, settings.auc_min]
    _show_limits(settings, ALONE)
    assert REGISTRY.get_sample_value("c360_cluster_processes") == 1


def test_a_replay_out_of_order_is_refused_before_there_is_a_recovery_directory(
    settings: Settings, tmp_path: Path
) -> None:
    write_hours(settings, 0, reversed(range(2000)))
    replay = settings.model_copy(update={"live": False})
    for processes in (1, 2):
        with pytest.raises(ConfigurationError, match=r"1,998 of the first 2,000 .* c360 sort .* C360_LATE_SHARE_MAX=1"):
            run(replay, processes=processes, recovery=tmp_path / "recovery")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_the_share_of_late_events_and_their_number_decide(settings: Settings) -> None:
    replay = settings.model_copy(update={"live": False})
    write_hours(settings, 0, [*range(200), *[0] * 99])
    refuse_disorder(replay)
    write_hours(settings, 0, [*range(200), *[0] * 100])
    with pytest.raises(ConfigurationError, match="100 of the first 300"):
        refuse_disorder(replay)
    refuse_disorder(replay.model_copy(update={"late_share_max": 0.34}))
    write_hours(settings, 1, range(400))
    refuse_disorder(replay)
