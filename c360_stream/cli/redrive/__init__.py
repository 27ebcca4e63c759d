"""`c360 redrive`: its options."""

from __future__ import annotations

from typing import Any

import click

from c360_stream.cli.options import c360_command, moment, read_settings


@c360_command(
    "c360 redrive --dry-run",
    "c360 redrive --topic c360.billing.events.v1 --stage decode --since 2025-06-30",
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
@click.option("--since", callback=moment, metavar="T", help="Only those refused from this date or RFC 3339 time on.")
@click.option("--topic", default="", help="Only those that came from this input topic.")
@click.option("--stage", default="", help="Only those that this step refused: size or decode.")
@click.option("--exception", default="", metavar="CLASS", help="Only those with this exception class.")
def command(**options: Any) -> None:
    """Send dead letters to their topic again.

    For after a producer or a setting was fixed; Kafka only. Key, value and headers are the original ones. The same
    options again go on where they were: each dead letter is sent once, even if it is killed in between.
    """
    from c360_stream.cli.redrive.transfer import redrive

    redrive(read_settings(), **options)
