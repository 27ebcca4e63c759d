"""What is evaluated: the worlds, and the runs that are put side by side in each. Read from one TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from c360_stream.errors import ConfigurationError
from c360_stream.learning.learner import LearningConfig
from c360_stream.models.churn_model import ModelConfig
from c360_stream.monitoring.monitor import MonitorConfig
from c360_stream.settings import Settings, load_settings
from c360_stream.tools.evaluate.names import PEERS
from c360_stream.tools.simulate import SCENARIOS

DEFAULT_RUN = "default"
RUNS_MAX = 16
_SHARED = frozenset({"horizon_days", "example_stride_days"})
"""The account shards take these too, and all runs of a world share the shards."""
_TIERS = frozenset({"tier_medium", "tier_high", "tier_critical", "tier_hysteresis", "tier_min_days"})
# Results do not depend on it, and a tick over few accounts is quicker in few arrays.
_SHARDS = 4


def run_settings() -> frozenset[str]:
    """Names of the settings that a run may differ in: those of learning, scores and drift."""
    named = {each.name for config in (LearningConfig, ModelConfig, MonitorConfig) for each in fields(config)}
    return frozenset((named | _TIERS) & set(Settings.model_fields)) - _SHARED


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Worlds(_Strict):
    """Which logs: every scenario with every seed, or log directories that exist."""

    scenarios: Annotated[tuple[str, ...], Field(min_length=1)] = ("steady",)
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (7,)
    accounts: int = 600
    days: int = 540
    events_per_account_day: float = 8.0
    log_dirs: tuple[Path, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Worlds:
        strange = [name for name in self.scenarios if name not in SCENARIOS]
        if strange:
            raise ValueError(f"no scenario {strange[0]!r}; there are {', '.join(SCENARIOS)}")
        for values in (self.scenarios, self.seeds, self.log_dirs):
            if len(set(values)) < len(values):
                raise ValueError("each scenario, seed and log directory can stand there once")
        simulated = self.model_fields_set - {"log_dirs"}
        if self.log_dirs and simulated:
            raise ValueError(f"log_dirs stands alone, without {', '.join(sorted(simulated))}")
        return self


class Run(_Strict):
    """One way of learning: its name, and the settings that make it different."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,39}$")]
    settings: dict[str, Any] = Field(default_factory=dict)


class Sweep(_Strict):
    """All that one call of `c360 evaluate` does."""

    worlds: Worlds = Worlds()
    settings: dict[str, Any] = Field(default_factory=dict)
    runs: Annotated[tuple[Run, ...], Field(min_length=1, max_length=RUNS_MAX)] = (Run(name=DEFAULT_RUN),)
    ablation: bool = False

    @model_validator(mode="after")
    def _names(self) -> Sweep:
        names = [run.name for run in self.runs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two runs are named {name!r}")
            if name in PEERS:
                raise ValueError(f"{name!r} is the name of a peer; a run needs another one")
        return self

    def settings_of(self, run: Run, log_dir: Path) -> Settings:
        """The settings of a run: as they are on this machine, then those of the file, then the run's own.

        Raises
        ------
        ConfigurationError
            If one is malformed; the message names it and the run.
        """
        shape = {"log_dir": log_dir, "kafka_brokers": "", "live": False, "shards": _SHARDS}
        try:
            return load_settings(**self.settings, **run.settings, **shape)
        except ConfigurationError as error:
            raise ConfigurationError(f"run {run.name!r}: {error.what}", "fix the sweep file, or C360_*") from None


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises
    ------
    ConfigurationError
        If it cannot be read or is invalid; the message names the place.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}", "name a sweep file that can be read") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}", "fix the TOML") from None
    try:
        sweep = Sweep.model_validate(_nested(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {f'{place}: ' if place else ''}{first['msg']}", "fix the file") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}", "fix the file") from None
    _refuse_unknown(path, sweep)
    for run in sweep.runs:
        sweep.settings_of(run, Path())
    return sweep


def _nested(content: dict[str, Any]) -> dict[str, Any]:
    """The file's `[[run]]` tables, flat for the reader, as `Sweep` has them."""
    found = {key: value for key, value in content.items() if key != "run"}
    if "runs" in found:
        raise ValueError("runs: write each as [[run]]")
    runs = content.get("run")
    if runs is None:
        return found
    if not isinstance(runs, list) or not all(isinstance(each, dict) for each in runs):
        raise ValueError("run: write each as [[run]]")
    found["runs"] = [
        {
            "name": each.get("name", ""),
            "settings": {key: value for key, value in each.items() if key != "name"},
        }
        for each in runs
    ]
    return found


def _refuse_unknown(path: Path, sweep: Sweep) -> None:
    allowed = run_settings()
    tables = [("[settings]", sweep.settings, allowed | _SHARED)]
    tables += [(f"run {run.name!r}", run.settings, allowed) for run in sweep.runs]
    for place, settings, names in tables:
        for name in settings:
            if name in names:
                continue
            if name in _SHARED:
                why = "is shared by all runs: put it into [settings]"
            elif name in Settings.model_fields:
                why = "does not concern learning"
            else:
                why = "is no setting"
            raise ConfigurationError(f"{path}: {place}: {name} {why}", "fix the file; c360 doctor lists the settings")
    both = [name for run in sweep.runs for name in run.settings if name in sweep.settings]
    if both:
        raise ConfigurationError(f"{path}: {both[0]} stands in [settings] and in a run", "leave it in one of them")
