"""`c360 demo`: its options."""

from __future__ import annotations

from pathlib import Path

import click

from c360_stream.cli.options import SCENARIO_HELP, c360_command, directory


@c360_command("c360 demo", "c360 demo --accounts 500 --scenario price_increase")
@click.option("--out", type=directory(), default="demo-out", show_default=True, help="Where everything goes.")
@click.option("--accounts", type=int, default=600, show_default=True, help="Accounts of the company.")
@click.option("--days", type=int, default=540, show_default=True, help="Days of history.")
@click.option("--seed", type=int, default=7, show_default=True, help="Same seed, same company.")
@click.option("--scenario", default="steady", show_default=True, help=SCENARIO_HELP)
def command(out: Path, accounts: int, days: int, seed: int, scenario: str) -> None:
    """Show the whole system on a simulated company.

    Nothing to install or configure: the log directory and the embedded tables go to --out.
    """
    from c360_stream.cli.demo.demonstration import demo

    demo(out, accounts, days, seed, scenario)
