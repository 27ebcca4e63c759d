"""`c360 setup`: its options."""

from __future__ import annotations

from pathlib import Path

from c360_stream.cli.options import c360_command, log_dir_option, read_settings


@c360_command("c360 setup")
@log_dir_option(exists=False)
def command(log_dir: Path | None) -> None:
    """Create the topics and the tables.

    Applies the ClickHouse migrations that are not applied yet. Safe to repeat.
    """
    from c360_stream.cli.setup.creation import setup

    setup(read_settings(log_dir))
