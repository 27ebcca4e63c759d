"""`c360 declare`: its options."""

from __future__ import annotations

import click

from c360_stream.cli.options import c360_command, json_option, read_settings


@c360_command("c360 declare check", "C360_CONFIG=mine.toml c360 declare check --json")
@click.argument("action", type=click.Choice(["check"]))
@json_option
def command(action: str, as_json: bool) -> None:
    """Check what the configuration file declares.

    Reads c360.toml, or the file that C360_CONFIG names, and what it includes; makes every declared model once. Runs
    nothing, writes nothing. What is wrong is one line that names file, entry and key, with exit code 2.
    """
    from c360_stream.cli.declare.declarations import check

    check(read_settings(), as_json=as_json)
