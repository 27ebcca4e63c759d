"""`c360 models`: its options."""

from __future__ import annotations

from pathlib import Path

from c360_stream.cli.options import c360_command, json_option, log_dir_option, read_settings


@c360_command("c360 models", "c360 models --json")
@log_dir_option()
@json_option
def command(log_dir: Path | None, as_json: bool) -> None:
    """List the models and how they stand.

    What each is and how it learns, which one scores and which run in shadow, and how the outcomes rate them.
    """
    from c360_stream.cli.models.standings import models

    models(read_settings(log_dir), as_json=as_json)
