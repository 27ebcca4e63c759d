"""`c360 doctor`: its options and exit code."""

from __future__ import annotations

from pathlib import Path

import click

from c360_stream.cli.options import c360_command, json_option, log_dir_option, read_settings


@c360_command("c360 doctor", "c360 doctor --json")
@log_dir_option(exists=False)
@json_option
@click.pass_context
def command(context: click.Context, log_dir: Path | None, as_json: bool) -> None:
    """Check the setup and show how to fix it.

    Looks at the configuration, the topics, the tables and their schema version; changes nothing. Prints the
    verdict, then problems, warnings, what is in order, and the settings with secrets masked.
    """
    from c360_stream.cli.doctor.checks import doctor

    if not doctor(read_settings(log_dir), as_json=as_json):
        context.exit(1)
