"""`c360 simulate`: its options."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from c360_stream.cli.options import SCENARIO_HELP, c360_command, directory


@c360_command(
    "c360 simulate --accounts 500 --days 365 --seed 7 --out c360-log",
    "c360 simulate --accounts 500 --days 365 --seed 7 --kafka localhost:9092",
    "c360 simulate --accounts 500 --days 365 --seed 7 --kafka localhost:9092 --until-now",
)
@click.option("--accounts", type=int, required=True, help="Accounts of the company.")
@click.option("--days", type=int, required=True, help="Days to simulate, or days before today.")
@click.option("--seed", type=int, required=True, help="Same seed, same bytes.")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="First day, UTC.")
@click.option("--scenario", default="steady", show_default=True, help=SCENARIO_HELP)
@click.option("--out", type=directory(), metavar="LOGDIR", help="Log directory to write.")
@click.option("--kafka", metavar="BROKERS", help="Kafka to write to instead: host:port,...")
@click.option("--until-now", is_flag=True, help="With --kafka: the days before today, and today up to now.")
@click.option("--live", is_flag=True, help="The same, and then each event when its time comes, until stopped.")
@click.option(
    "--truth",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the true probabilities go.  [default: truth.jsonl in LOGDIR or, with --kafka, here; up to now, none]",
)
@click.pass_context
def command(context: click.Context, /, start: datetime | None, until_now: bool, live: bool, **options: Any) -> None:
    """Write realistic events to a log directory or Kafka.

    Product, billing and support events of a company that does not exist, and beside them truth.jsonl: the
    probabilities from which its cancellations were drawn. After an interruption repeat the same command: a log
    directory is begun anew, since it appears only once it is complete; topics get the missing rest.

    With --until-now the company has lived for --days before today, with --live it then lives on in real time. Started
    again, both go on with the company that the topics hold, from where they stopped. Write history before the first
    run: one that tails empty topics would take it for late. SIGTERM and Ctrl-C stop both with exit code 0.
    """
    if until_now or live:
        from c360_stream.runtime.signals import exit_stopped, listening

        if until_now and live:
            raise click.UsageError("--until-now and --live cannot be combined.", context)
        if start is not None:
            raise click.UsageError(
                "--until-now and --live begin --days before today: they cannot be combined with --start.", context
            )
        if options.pop("out") is not None or options["kafka"] is None:
            raise click.UsageError("--until-now and --live write to Kafka: give --kafka BROKERS.", context)
        with listening() as listener:
            from c360_stream.tools.simulate.live_command import simulate_live

            simulate_live(listener, until_now=until_now, **options)
            exit_stopped()
    from c360_stream.tools.simulate.command import simulate_company

    simulate_company(start=start.date() if start else None, **options)
