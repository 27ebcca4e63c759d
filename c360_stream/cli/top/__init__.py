"""`c360 top`: its options."""

from __future__ import annotations

from pathlib import Path

import click

from c360_stream.cli.options import c360_command, json_option, log_dir_option, read_settings


@c360_command("c360 top", "c360 top --once --rows 5", "c360 top --json")
@log_dir_option()
@click.option("--once", is_flag=True, help="Print one board and stop.")
@click.option("--rows", type=click.IntRange(1, 200), default=15, show_default=True, help="Accounts to show.")
@json_option
def command(log_dir: Path | None, once: bool, rows: int, as_json: bool) -> None:
    """Watch risk, tier changes, alarms and lag.

    Accounts stand by tier, most MRR at risk first: a tier outlasts the risk that led to it for some days. --json prints
    one board and stops.
    """
    from c360_stream.cli.top.live import top

    top(read_settings(log_dir), once=once, rows=rows, as_json=as_json)
