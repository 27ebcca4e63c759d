"""Sweep files: what they can say, and a clear error for what they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from c360_stream.errors import ConfigurationError
from c360_stream.settings import load_settings
from c360_stream.tools.evaluate.sweep import Run, read_sweep, run_settings

REPOSITORY = Path(__file__).parents[3]


def sweep_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return path


def test_worlds_settings_and_runs(tmp_path: Path) -> None:
    sweep = read_sweep(
        sweep_file(
            tmp_path,
            """
            [worlds]
            scenarios = ["steady", "outage"]
            seeds = [1, 2]
            accounts = 50
            [settings]
            horizon_days = 30
            [[run]]
            name = "as it is"
            [[run]]
            name = "hazard"
            learning_scheme = "hazard"
            challengers = []
            """,
        )
    )
    assert (sweep.worlds.scenarios, sweep.worlds.seeds, sweep.worlds.accounts) == (("steady", "outage"), (1, 2), 50)
    plain, hazard = (sweep.settings_of(run, tmp_path) for run in sweep.runs)
    assert (plain.horizon_days, plain.learning_scheme) == (30, load_settings().learning_scheme)
    assert (hazard.horizon_days, hazard.learning_scheme, hazard.challengers) == (30, "hazard", ())
    assert not hazard.live
    assert hazard.log_dir == tmp_path


def test_a_file_without_runs_has_the_settings_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C360_AUC_MIN", "0.7")
    sweep = read_sweep(sweep_file(tmp_path, "[worlds]\nseeds = [3]\n"))
    assert sweep.runs == (Run(name="default"),)
    assert sweep.settings_of(sweep.runs[0], tmp_path).auc_min == 0.7


def test_a_file_can_ask_what_features_are_worth(tmp_path: Path) -> None:
    assert read_sweep(sweep_file(tmp_path, "ablation = true")).ablation
    assert not read_sweep(sweep_file(tmp_path, "[worlds]\nseeds = [1]")).ablation


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[worlds", "sweep.toml: "),
        ("[worlds]\nseed = 1", "worlds.seed: Extra inputs"),
        ("[world]\nseeds = [1]", "world: Extra inputs"),
        ("[worlds]\nseeds = []", "worlds.seeds: "),
        ('[worlds]\naccounts = "many"', "worlds.accounts: "),
        ('[worlds]\nscenarios = ["calm"]', "no scenario 'calm'"),
        ('[worlds]\nlog_dirs = ["a"]\nseeds = [1]', "log_dirs stands alone, without seeds"),
        ("[worlds]\nseeds = [1, 1]", "can stand there once"),
        ("run = 1", "write each as [[run]]"),
        ('[run]\nname = "a"', "write each as [[run]]"),
        ('[[runs]]\nname = "a"', "write each as [[run]]"),
        ("[[run]]\nauc_min = 0.7", "runs.0.name"),
        ('[[run]]\nname = "<b>"', "runs.0.name"),
        ('[[run]]\nname = "a"\n[[run]]\nname = "a"', "two runs are named 'a'"),
        ('[[run]]\nname = "oracle"', "'oracle' is the name of a peer"),
        ('[[run]]\nname = "a"\nlearning_schema = "hazard"', "run 'a': learning_schema is no setting"),
        ('[[run]]\nname = "a"\nlearning_scheme = "fast"', "run 'a': setting learning_scheme: "),
        ('[[run]]\nname = "a"\nlog_dir = "x"', "run 'a': log_dir does not concern learning"),
        ('[[run]]\nname = "a"\nhorizon_days = 30', "run 'a': horizon_days is shared by all runs"),
        ("[settings]\nshards = 2", "[settings]: shards does not concern learning"),
        ('[settings]\nauc_min = 0.7\n[[run]]\nname = "a"\nauc_min = 0.8', "auc_min stands in [settings] and in a run"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_sweep(sweep_file(tmp_path, text))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_sweep(tmp_path / "none.toml")


def test_what_a_run_may_differ_in() -> None:
    names = run_settings()
    assert {
        "learning_scheme",
        "champion",
        "challengers",
        "warmup_outcomes",
        "tier_high",
        "tier_min_days",
        "psi_warning",
    } <= names
    assert not names & {"log_dir", "shards", "horizon_days", "example_stride_days", "kafka_brokers"}


@pytest.mark.parametrize("name", ["full", "schemes"])
def test_the_committed_sweeps_can_be_read(name: str) -> None:
    sweep = read_sweep(REPOSITORY / "bench" / "evaluate" / f"{name}.toml")
    assert sweep.worlds.days == 730
