"""`c360 evaluate`: its options."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from c360_stream.cli.options import FILE, PROCESSES_MAX, SCENARIO_HELP, c360_command, directory


@c360_command(
    "c360 evaluate",
    "c360 evaluate --scenario price_increase --accounts 1500 --days 730",
    "c360 evaluate --log-dir c360-log --change 2025-03-01",
    "c360 evaluate --sweep bench/evaluate/full.toml --processes 2",
)
@click.option("--log-dir", type=directory(exists=True), metavar="DIR", help="Log directory to evaluate.")
@click.option("--scenario", help=f"Or a simulated world: {SCENARIO_HELP}  [default: steady]")
@click.option("--seed", type=int, help="Same seed, same world.  [default: 7]")
@click.option("--accounts", type=int, help="Accounts of the simulated world.  [default: 600]")
@click.option("--days", type=int, help="Its days.  [default: 540]")
@click.option(
    "--sweep", "sweep_file", type=FILE, metavar="FILE", help="TOML file of worlds and of runs to put side by side."
)
@click.option("--change", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Day of a known change, UTC.")
@click.option("--truth", type=FILE, metavar="FILE", help="True risks of the log.  [default: truth.jsonl in it, if any]")
@click.option("--ablation", is_flag=True, help="What each feature is worth: LightGBM refitted without it. Takes long.")
@click.option("--out", type=directory(), default="evaluate-out", show_default=True, help="Where the results go.")
@click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="Worlds to work on at a time.",
)
def command(change: datetime | None, **options: Any) -> None:
    """Measure how good the scores are.

    Replays a log, or a simulated company's, and compares with batch models refitted every 28 days (LightGBM, trees of
    depth 1, logistic regression) and, where the true risks are known, with the best there could be.
    Writes report.html, to look at, and evaluate.json, all figures.
    """
    from c360_stream.tools.evaluate import evaluate

    simulated = {name: options.pop(name) for name in ("scenario", "seed", "accounts", "days")}
    evaluate(
        change=change.date() if change else None,
        simulated={name: value for name, value in simulated.items() if value is not None},
        **options,
    )
