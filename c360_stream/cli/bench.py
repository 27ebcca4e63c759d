"""`c360 bench`: its options."""

from __future__ import annotations

from typing import Any

import click

from c360_stream.cli.options import debug_option
from c360_stream.tools.bench.items import ITEMS, MEMORY_ACCOUNTS, TICK_ACCOUNTS

POSITIVE = click.IntRange(1)


@click.command(
    "bench",
    epilog="\b\nExample:\n  c360 bench\n  c360 bench replay --events 300000 --processes 2 --json",
    short_help="Run the benchmarks; one JSON object per result.",
    context_settings={"show_default": True},
)
@click.argument("item", type=click.Choice([*ITEMS, "all"]), default="all")
@click.option(
    "--json/--table",
    "as_json",
    default=None,
    help="One JSON object per result, on a line of its own; or a table.  [default: table on a terminal, else JSON]",
)
@click.option("--accounts", type=POSITIVE, default=5_000, help="Accounts of features, replay, refused and kafka.")
@click.option("--events", type=POSITIVE, default=1_000_000, help="Product events of replay, refused and kafka.")
@click.option("--days", type=POSITIVE, default=4, help="Days that the events of replay are spread over.")
@click.option("--processes", type=POSITIVE, default=1, help="Of replay, kafka, history; the most of scaling.")
@click.option("--batch-sample", type=POSITIVE, default=200_000, help="Product events of decode and features.")
@click.option(
    "--tick-accounts",
    type=POSITIVE,
    help="Accounts of tick, ticks, resume, midnight, snapshot and memory."
    f"  [default: {TICK_ACCOUNTS:,}; memory: {MEMORY_ACCOUNTS:,}]",
)
@click.option("--rows", type=POSITIVE, default=20_000, help="Rows that model learns and scores.")
@click.option("--rate", type=POSITIVE, default=5_000, help="Product events per second of latency.")
@click.option("--seconds", type=POSITIVE, default=20, help="How long latency and idle measure.")
@click.option(
    "--partitions", type=POSITIVE, default=4, help="Of an input topic of replay, scaling, refused, idle, kafka."
)
@click.option("--tick-days", type=POSITIVE, default=30, help="Days of ticks.")
@click.option("--seed", type=int, default=1, help="Same seed, same input.")
@click.option(
    "--brokers",
    metavar="HOST:PORT",
    help="Broker of kafka, midnight, latency and idle; empty: the latter three take a log directory."
    "  [default: C360_KAFKA_BROKERS]",
)
@click.option("--clickhouse-dsn", metavar="DSN", help="ClickHouse server of kafka.  [default: chDB]")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=0.1, help="Of the events of history.")
@click.option("--repeats", type=POSITIVE, default=3, help="The quickest counts; those of whole runs run once.")
@debug_option(hidden=True)
def command(item: str, as_json: bool | None, **given: Any) -> None:
    """Measure ITEM on this machine, each figure beside its floor.

    \b
    decode    bytes to events
    features  events to windows
    tick      midnight over all accounts: features, scores, reasons and records alone
    model     learning and scoring
    memory    resident bytes of an account and of an active user
    replay    a log directory to the sinks
    resume    the start of a killed run to its first score
    snapshot  state to disk and back
    ticks     a month of midnights, through the whole flow
    refused   a flood of refused events, beside accepted ones
    idle      a worker with nothing to read
    scaling   replay over one process and over several
    history   90 days of 4,200 accounts: a share of 210 million events, and what all would take
    midnight  a live run's tick under a stream of events
    latency   an event's produce to its score readable
    kafka     a broker to the broker and the tables

    The first four, ticks, refused and idle are of CPU time, memory is of bytes, the others are of time on the wall;
    those from snapshot on take minutes.
    A floor is the least that any implementation would take, measured in the same minute: on a shared machine compare
    the ratios.
    """  # noqa: D301 - the mark by which click keeps lines
    from c360_stream.tools.bench.command import bench

    bench(item, as_json=as_json, **given)
