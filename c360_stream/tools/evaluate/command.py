"""`c360 evaluate`: one pass over each log for all runs, then `evaluate.json` and `report.html`.

`evaluate.json` is one object. A figure that does not exist is null or absent; days are dates, UTC; risks, rates and
shares are 0 to 1; figures have six digits. Two runs over the same worlds give the same object but for `environment`.

| key | holds |
|---|---|
| `format` | 1; goes up when a key changes its meaning |
| `runs` | by run: every setting that a run may differ in |
| `lightgbm`, `stumps` | parameters, rounds and days between fits of the boosted trees, and of those of depth 1 |
| `verdicts` | by scenario and run: is it good enough to act on, in words (`in_short` first); see `verdict.py` |
| `criteria` | what was promised: `name`, `scenario`, `run`, `what`, `value`, `at_least`, `at_most`, `met`, `note` |
| `summary` | by `scenario`, `scorer`, `segment`: of each metric `mean` and `sd` over the worlds (`sd` null of one) |
| `run_summary` | by `scenario`, `run`: alarms a year, recovery, lead time and tiers, each `mean` and `sd` |
| `detector_summary` | by `scenario`, `detector`: `false_per_year` and `delay_days`, each `mean` and `sd`; `detected` |
| `worlds` | a list, below |
| `environment` | machine, seconds, memory, and by world `latency`: the only key that differs between two runs |

A world has `world` (what it is), `change`, `first_tick`, `last_tick`, `judged_from` and `judged_to` (as-ofs that every
scorer scored: from LightGBM's first fit on), `events`, `refused`, `refusals` (by reason), `examples`, `churners`,
`horizon_days`, `tier_high`, `lightgbm_fits`, `lightgbm_rounds` (of each fit), `floor_kinds` (which model the floor is,
before and after the change), `truth_note` (why there is no truth, or empty), and

| key | holds |
|---|---|
| `scorers` | by run and by peer: `segments`, `blocks`, `reliability`, `gains`, `precision_recall`, `profit`, `moving` |
| `comparison` | by segment: all scorers with intervals by accounts, differences, thirds; see `comparison.py` |
| `second_month` | the same of the as-ofs from 30 days after the first tick on, without what has to be fitted; or null |
| `importance` | by group of features how much LightGBM's figures change if its values are shuffled; null without it |
| `ablation` | with `--ablation`, else null: `groups`, `features`: how much they change if it is refitted without |
| `segments` | `all`; with a change `before` (horizons that end before it), `after_60d`, `late` (as-ofs after those) |
| `blocks` | the same by 60 days: `block` counts from the change, or from the first day; `whole`: all days were judged |
| `runs` | by run: `alarms`, `recovery`, `lead_time`, `tiers`, `reasons`, `champions`, `contest` (by model), in an |
| | outage `outage`; `judgement` (see `judgement.py`) and `calls` (see `calls.py`), which the verdict is made of, and |
| | in `second_month` both from the second month on; `contenders` (a comparison of all models of the contest on the |
| | examples that all predicted, in which `stored` is the run; `models`, `left_out`), `contributions` (mean absolute |
| | contributions of the run's scores, log-odds: `groups`, `features`) |
| `detectors` | `fed_with` (a run), `runs` and `river`: by name `detections`, `false_per_year`, `delay_days` |
| `labels` | `by_age` (share of scores labelled at that age, days), `after`, `as_ofs`, `through_time` |

Peers are `lightgbm-28d`, `stumps-28d`, `logistic-28d`, `floor`, `oracle`, `inactivity-rule`, `base-rate` and `silence`,
which is an order: it has what looks at ranks alone. A segment or block has `first_day`, `last_day`, `examples`,
`churners`, `mean_risk`, `observed_rate`, the measures of `monitoring/quality.py` by their names (of the intervals only
that of `calibration_ratio`, which takes all examples of an account together; others are in `comparison`), and with
truth `mean_true_risk`, `calibration_ratio_true` and `expected_roc_auc` (that of outcomes drawn from the true risks).
Alarms have `list`, `per_year`, `per_year_by_kind` and, with a change, `concept_delay_days` and `promoted_after_change`.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import math
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from textwrap import wrap
from types import FrameType
from typing import Any

import click
import msgspec

from c360_stream.errors import C360Error, ConfigurationError
from c360_stream.tools.evaluate.criteria import criteria
from c360_stream.tools.evaluate.progress import Board
from c360_stream.tools.evaluate.refits import LIGHTGBM, REFIT_DAYS, ROUNDS, STUMP_ROUNDS, STUMPS
from c360_stream.tools.evaluate.report import report
from c360_stream.tools.evaluate.summary import detectors_summarised, runs_summarised, summarised
from c360_stream.tools.evaluate.sweep import Sweep, read_sweep, run_settings
from c360_stream.tools.evaluate.verdict import verdicts
from c360_stream.tools.evaluate.workers import evaluate_worlds
from c360_stream.tools.evaluate.world import World
from c360_stream.tools.machine import machine

FORMAT = 1
JSON_FILE, REPORT_FILE = "evaluate.json", "report.html"
_WORLDS, _LOCK = ".worlds-", "lock"
_LIBRARIES = ("lightgbm", "matplotlib")
_DIGITS = 6
_WIDTH = 100


def evaluate(
    *,
    out: Path,
    sweep_file: Path | None = None,
    log_dir: Path | None = None,
    truth: Path | None = None,
    change: date | None = None,
    processes: int = 1,
    ablation: bool = False,
    simulated: dict[str, Any] | None = None,
) -> None:
    """Evaluate, with progress on stderr and a summary on stdout.

    Parameters
    ----------
    out
        Directory of `evaluate.json` and `report.html`; earlier ones are replaced.
    sweep_file
        Worlds and runs; None: one world and the settings as they are.
    log_dir
        A log to evaluate; None: a simulated one.
    truth
        True risks of that log; None: the `truth.jsonl` in it, if there is one.
    change
        Day on which something is known to have changed.
    processes
        Worlds that are worked on at a time.
    ablation
        Whether LightGBM is refitted without each feature and group too, which takes some thirty times its time.
    simulated
        Of `World`: scenario, seed, accounts, days of the simulated world, those that were given.

    Raises
    ------
    ConfigurationError
        If options do not go together, a library is missing, or a log cannot be evaluated.
    C360Error
        If a process fails or the results cannot be written.
    """
    sweep, worlds = _asked(sweep_file, log_dir, truth, change, simulated or {})
    sweep = sweep.model_copy(update={"ablation": ablation or sweep.ablation})
    _need_libraries()
    began = time.perf_counter()
    with writing(out) as scratch, Board(len(worlds)) as board:
        found = evaluate_worlds(worlds, sweep, scratch, processes, board)
    costs = [world.pop("cost") | {"title": world["world"]["title"]} for world in found]
    environment = {
        "machine": machine(),
        "seconds": time.perf_counter() - began,
        "processes": processes,
        "worlds": costs,
    }
    figures = _figures(sweep, found, environment)
    _write(out / JSON_FILE, msgspec.json.format(msgspec.json.encode(figures), indent=1))
    _write(out / REPORT_FILE, report(figures).encode())
    click.echo(_shown(figures))
    click.echo(f"report in {out / REPORT_FILE}, all figures in {out / JSON_FILE}")


def _need_libraries() -> None:
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"c360 evaluate needs {' and '.join(missing)}",
            "in the checkout: pip install --require-hashes -r requirements.lock",
        )


def _asked(
    sweep_file: Path | None, log_dir: Path | None, truth: Path | None, change: date | None, simulated: dict[str, Any]
) -> tuple[Sweep, list[World]]:
    """The sweep and its worlds."""
    if sweep_file and (log_dir or simulated):
        raise ConfigurationError(
            "--sweep names the worlds: it cannot be combined with --log-dir, --scenario and the like", "leave them out"
        )
    if log_dir and simulated:
        raise ConfigurationError(f"--log-dir and --{min(simulated)} cannot be combined", "leave one of them out")
    if truth and not log_dir:
        raise ConfigurationError("--truth needs --log-dir", "name the log that it is the truth of")
    sweep = read_sweep(sweep_file) if sweep_file else Sweep()
    asked = sweep.worlds
    if log_dir or asked.log_dirs:
        return sweep, [
            World(log_dir=path, truth=truth, change=change) for path in ((log_dir,) if log_dir else asked.log_dirs)
        ]
    given = {name: getattr(asked, name) for name in ("accounts", "days", "events_per_account_day")}
    one = World(**(given | simulated), change=change)
    pairs = [(name, seed) for name in asked.scenarios for seed in asked.seeds] if sweep_file else []
    worlds = [replace(one, scenario=scenario, seed=seed) for scenario, seed in pairs] or [one]
    for world in worlds:
        world.spec()
    return sweep, worlds


@contextlib.contextmanager
def writing(out: Path) -> Iterator[Path]:
    """Make the directory; yield one below it for simulated logs, which is always removed afterwards."""
    handled = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, _end) for number in handled}
    try:
        try:
            out.mkdir(parents=True, exist_ok=True)
            _remove_left_over(out)
            scratch = tempfile.TemporaryDirectory(dir=out, prefix=_WORLDS)
        except OSError as error:
            raise C360Error(f"{out}: {error.strerror}", "choose an --out that can be written") from error
        with scratch as place, (Path(place) / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Path(place)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove_left_over(out: Path) -> None:
    """Remove the simulated logs of evaluations that were killed; those of running ones are locked."""
    for place in out.glob(f"{_WORLDS}*"):
        with contextlib.suppress(OSError), (place / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place, ignore_errors=True)


def _end(number: int, _: FrameType | None) -> None:
    """Leave in an orderly way at SIGTERM or SIGHUP, so that simulated logs are removed."""
    raise SystemExit(128 + number)


def _figures(sweep: Sweep, worlds: list[dict[str, Any]], environment: dict[str, Any]) -> dict[str, Any]:
    names = sorted(run_settings())
    settings = {run.name: sweep.settings_of(run, Path()).masked() for run in sweep.runs}
    promised = [row for run in sweep.runs for row in criteria(worlds, run.name)]
    for row in promised:
        del row["needed"]
    figures: dict[str, Any] = {
        "format": FORMAT,
        "runs": {run: {name: shown[name] for name in names} for run, shown in settings.items()},
        "lightgbm": LIGHTGBM | {"rounds": ROUNDS, "refit_days": REFIT_DAYS},
        "stumps": STUMPS | {"rounds": STUMP_ROUNDS, "refit_days": REFIT_DAYS},
        "verdicts": verdicts(worlds, [run.name for run in sweep.runs]),
        "criteria": promised,
        "summary": summarised(worlds),
        "run_summary": runs_summarised(worlds),
        "detector_summary": detectors_summarised(worlds),
        "worlds": worlds,
        "environment": environment,
    }
    rounded: dict[str, Any] = _rounded(figures)
    return rounded


def _rounded(value: Any) -> Any:
    """Floats to six digits: the last bits may depend on the machine's libraries. What is no number becomes null."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise C360Error(f"{path}: {error.strerror}", "choose an --out that can be written") from error


def _shown(figures: dict[str, Any]) -> str:
    """The summary for a terminal."""
    lines = []
    for one in figures["verdicts"]:
        lines += [f"{one['scenario']}, {one['run']}: {one['headline']}", *_wrapped(one), ""]
    lines.append(f"{'scenario':<16}{'scorer':<18}{'as-ofs':<11}{'ROC-AUC':>8}{'expected':>10}{'ratio':>8}{'ECE':>8}")
    for row in figures["summary"]:
        cells = (row.get(name, {}).get("mean") for name in ("roc_auc", "expected_roc_auc", "calibration_ratio", "ece"))
        shown = [f"{cell:.3f}" if cell is not None else "" for cell in cells]
        start = f"{row['scenario']:<16}{row['scorer']:<18}{row['segment']:<11}"
        lines.append(f"{start}{shown[0]:>8}{shown[1]:>10}{shown[2]:>8}{shown[3]:>8}")
    if promised := figures["criteria"]:
        kept = sum(row["met"] for row in promised)
        lines.append(f"{kept} of {len(promised)} of the project's own limits kept: see the end of the report")
    return "\n".join(lines)


def _wrapped(verdict: dict[str, Any]) -> list[str]:
    """The sentences of a verdict in short, and about its ranking, its probabilities and its calls."""
    sentences = (*verdict["in_short"], *verdict["ranking"][:1], *verdict["probabilities"], *verdict["calls"])
    return [
        line for each in sentences for line in wrap(each, initial_indent="- ", subsequent_indent="  ", width=_WIDTH)
    ]
