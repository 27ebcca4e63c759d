"""`c360 interventions`: its options."""

from __future__ import annotations

from pathlib import Path

from c360_stream.cli.options import c360_command, json_option, log_dir_option, read_settings


@c360_command("c360 interventions", "c360 interventions --json")
@log_dir_option()
@json_option
def command(log_dir: Path | None, as_json: bool) -> None:
    """Compare what became of contacted accounts.

    Retention by playbook, against accounts that were not contacted and of the playbooks among each other.
    """
    from c360_stream.cli.interventions.comparison import interventions

    interventions(read_settings(log_dir), as_json=as_json)
