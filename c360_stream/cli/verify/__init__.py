"""`c360 verify`: its options and exit code."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from c360_stream.cli.options import c360_command, json_option, log_dir_option, moment, read_settings


@c360_command("c360 verify acme --as-of 2025-06-30", "c360 verify acme --json")
@click.argument("account")
@click.option("--as-of", callback=moment, metavar="T", help="Date or RFC 3339 time.  [default: the newest]")
@log_dir_option()
@json_option
@click.pass_context
def command(context: click.Context, account: str, as_of: datetime | None, log_dir: Path | None, as_json: bool) -> None:
    """Rebuild a past score of ACCOUNT and compare.

    Reads the account's events from the log again and checks whether they give the stored score.
    """
    from c360_stream.cli.verify.rebuild import verify

    if not verify(read_settings(log_dir), account, as_of, as_json=as_json):
        context.exit(1)
