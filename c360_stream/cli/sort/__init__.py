"""`c360 sort`: its options."""

from __future__ import annotations

from pathlib import Path

import click

from c360_stream.cli.options import c360_command, directory, read_settings

MEMORY_MB_MAX = 1_000_000


@c360_command("c360 sort c360-log --out sorted-log")
@click.argument("log_dir", type=directory(exists=True))
@click.option("--out", type=directory(), required=True, metavar="DIR", help="Where the sorted files go: empty or new.")
@click.option(
    "--memory-mb",
    type=click.IntRange(1, MEMORY_MB_MAX),
    default=256,
    show_default=True,
    help="About how much to hold in memory: more is sorted in pieces below --out.",
)
def command(log_dir: Path, out: Path, memory_mb: int) -> None:
    """Sort a log directory by event time.

    For a log directory that a replay refuses, for example because it is newest first. Writes every partition of the
    three input topics below LOG_DIR into --out, in order. Events of the same time keep their order, and a line that is
    no event stays behind the line before it. LOG_DIR stays as it is.
    """
    from c360_stream.cli.sort.external_sort import sort_log

    sort_log(read_settings(log_dir), out, memory_mb * 1_000_000)
