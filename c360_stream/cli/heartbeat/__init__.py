"""`c360 heartbeat`: its options."""

from __future__ import annotations

import click

from c360_stream.cli.options import c360_command, read_settings

EVERY_SECONDS, EVERY_SECONDS_MAX = 10, 3600


@c360_command("c360 heartbeat", "c360 heartbeat --once")
@click.option(
    "--every",
    type=click.IntRange(1, EVERY_SECONDS_MAX),
    metavar="SECONDS",
    help=f"From one round to the next.  [default: {EVERY_SECONDS}]",
)
@click.option("--once", is_flag=True, help="Send one round and stop.")
@click.pass_context
def command(context: click.Context, every: int | None, once: bool) -> None:
    """Send heartbeats through the whole flow.

    One into every partition of the input topics, again and again: c360_heartbeat_timestamp_seconds of the run is the
    time at which the newest one was sent that has come out. Kafka only. SIGTERM and Ctrl-C stop it, with exit code 0.
    """
    from c360_stream.cli.heartbeat.rounds import heartbeat

    if once and every is not None:
        raise click.UsageError("--every and --once cannot be combined.", context)
    if once:
        heartbeat(read_settings(), every_seconds=None)
        return
    from c360_stream.runtime.signals import listening

    with listening():
        heartbeat(read_settings(), every_seconds=every or EVERY_SECONDS)
