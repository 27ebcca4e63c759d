"""`c360 run`: its options and exit behaviour."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from c360_stream.cli.options import PROCESSES_MAX, Session, c360_command, directory, log_dir_option, read_settings


@c360_command(
    "c360 run",
    "c360 run --log-dir c360-log --until-end --recovery recovery",
    "c360 run --peers host1:9300,host2:9300 --process 0 --recovery /shared/recovery",
)
@log_dir_option()
@click.option("--until-end", is_flag=True, help="Stop at the end of the input: a replay or back-fill.")
@click.option(
    "--processes",
    type=click.IntRange(1, PROCESSES_MAX),
    default=1,
    show_default=True,
    help="Processes of the cluster, all on this machine.",
)
@click.option(
    "--peers",
    metavar="HOST:PORT,...",
    help="Addresses of all processes of a cluster on several hosts, the same for each. Private network only.",
)
@click.option("--process", type=int, metavar="N", help="With --peers: which of them this is, from 0.")
@click.option(
    "--recovery",
    type=directory(),
    metavar="DIR",
    help="Keep snapshots here and resume from them. All processes of a cluster share it.",
)
@click.option(
    "--republish",
    is_flag=True,
    help="With an empty --recovery: publish again what was published before, if its recovery directory is lost.",
)
@click.pass_context
def command(
    context: click.Context, /, log_dir: Path | None, until_end: bool, peers: str | None, **options: Any
) -> None:
    """Run the churn flow.

    Events in, risk scores and drift alarms out. Tails the input unless --until-end is given.

    SIGTERM and Ctrl-C stop it cleanly within 5 seconds; a second one ends it at once. Exit codes: 0 the input has
    ended or the run was asked to stop, 1 it failed (with --recovery, run it again to resume), 2 wrong use or
    configuration, 128 + the signal's number after a second signal.
    """
    from c360_stream.runtime.signals import exit_stopped, listening

    with listening() as listener:
        from c360_stream.runtime.cluster import ALONE, PEERS_VARIABLE, member_among
        from c360_stream.runtime.run import run

        process = options.pop("process")
        if peers is None and process is not None:
            raise click.UsageError("--process needs --peers.", context)
        if peers is not None and options["processes"] > 1:
            raise click.UsageError("--peers and --processes cannot be combined.", context)
        if options["republish"] and options["recovery"] is None:
            raise click.UsageError("--republish needs --recovery.", context)
        settings = read_settings(log_dir, live=False if until_end else None)
        member = ALONE if peers is None else member_among(peers.split(","), process)
        # In a cluster the engine's threads would turn an orderly exit into an abort.
        context.ensure_object(Session).ends_hard = peers is not None or PEERS_VARIABLE in os.environ
        run(settings, member=member, listener=listener, **options)
        if listener.stop_requested:
            exit_stopped()
