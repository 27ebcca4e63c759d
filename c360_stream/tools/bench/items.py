"""The benchmarks by name: which of the options each takes, and how it is started.

Each imports its module when it runs: the libraries of the others stay unloaded, and all of them for the help.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from c360_stream.settings import Settings
    from c360_stream.tools.bench.result import Result
    from c360_stream.tools.bench.sample import SampleSpec

PRODUCT_EVENTS_PER_TICK_ACCOUNT = 3
PRODUCT_EVENTS_PER_TICKS_ACCOUNT = 20
"""Enough for most features of most accounts to have a value on most days."""
HISTORY_ACCOUNTS = 20_000
HISTORY_DAYS = 3
TICK_ACCOUNTS = 100_000
MEMORY_ACCOUNTS = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `c360 bench`, named as they are; each item takes those that mean something to it."""

    accounts: int
    events: int
    days: int
    processes: int
    batch_sample: int
    tick_accounts: int | None
    rows: int
    seed: int
    repeats: int
    rate: int
    seconds: int
    brokers: str | None
    clickhouse_dsn: str | None
    share: float
    partitions: int
    tick_days: int

    @property
    def batches(self) -> SampleSpec:
        """Events for what takes them batch by batch."""
        from c360_stream.tools.bench.sample import SampleSpec

        return SampleSpec(self.accounts, self.batch_sample, days=1, seed=self.seed, partitions=1)

    @property
    def log(self) -> SampleSpec:
        """Events for what reads a log."""
        from c360_stream.tools.bench.sample import SampleSpec

        return SampleSpec(self.accounts, self.events, self.days, self.seed, self.partitions)

    @property
    def history(self) -> SampleSpec:
        """Events for accounts to be scored by, before what is measured begins."""
        from c360_stream.tools.bench.sample import SampleSpec

        return SampleSpec(HISTORY_ACCOUNTS, 10 * HISTORY_ACCOUNTS, HISTORY_DAYS, self.seed)

    def tick(self, days: int, partitions: int = 4) -> SampleSpec:
        """Events for what needs accounts rather than events."""
        from c360_stream.tools.bench.sample import SampleSpec

        accounts = self.tick_accounts or TICK_ACCOUNTS
        return SampleSpec(
            accounts, PRODUCT_EVENTS_PER_TICK_ACCOUNT * accounts, days=days, seed=self.seed, partitions=partitions
        )


def _decode(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import decoding

    return decoding.measure(options.batches, options.repeats)


def _features(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import features

    return features.measure(_defaults(), options.batches, options.repeats)


def _tick(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import tick

    return tick.measure(_defaults(), options.tick(days=1, partitions=1), options.repeats)


def _model(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import model

    return model.measure(options.rows, options.seed, options.repeats)


def _replay(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import replay

    return replay.measure(options.log, options.processes)


def _resume(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import resume

    return resume.measure(options.tick(days=2))


def _kafka(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import kafka

    return kafka.measure(options.log, max(2, options.processes), options.brokers, options.clickhouse_dsn)


def _accounts(options: Options, least: int, default: int) -> int:
    accounts = options.tick_accounts or default
    if accounts < least:
        raise click.BadParameter(f"too few to measure: at least {least:,}", param_hint="--tick-accounts")
    return accounts


def _snapshot(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import snapshot

    return snapshot.measure(_defaults(), _accounts(options, 100, TICK_ACCOUNTS), options.seed)


def _midnight(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import midnight

    return midnight.measure(options.tick(days=1), options.brokers)


def _latency(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import latency

    return latency.measure(options.history, options.rate, options.seconds, options.brokers)


def _scaling(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import scaling

    return scaling.measure(options.log, max(2, options.processes), options.repeats)


def _history(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import history

    if math.isnan(options.share):
        raise click.BadParameter("not a number", param_hint="--share")
    return history.measure(options.share, options.processes, options.seed)


def _ticks(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import ticks
    from c360_stream.tools.bench.sample import SampleSpec

    if options.tick_days <= ticks.FEW_DAYS:
        raise click.BadParameter(f"more than {ticks.FEW_DAYS}, which it is compared with", param_hint="--tick-days")
    accounts = options.tick_accounts or TICK_ACCOUNTS
    events = PRODUCT_EVENTS_PER_TICKS_ACCOUNT * accounts
    return ticks.measure(SampleSpec(accounts, events, options.tick_days, options.seed), options.repeats)


def _refused(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import refused

    return refused.measure(options.log, options.processes)


def _idle(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import idle

    return idle.measure(options.partitions, options.seconds, options.brokers)


def _memory(options: Options) -> Iterator[Result]:
    from c360_stream.tools.bench import memory

    return memory.measure(_defaults(), _accounts(options, 1_000, MEMORY_ACCOUNTS), options.seed)


def _defaults() -> Settings:
    """The defaults, whatever this machine's configuration is."""
    from c360_stream.settings import Settings

    return Settings.model_construct()


Item = Callable[[Options], "Iterator[Result]"]

QUICK: dict[str, Item] = {
    "decode": _decode,
    "features": _features,
    "tick": _tick,
    "model": _model,
    "replay": _replay,
    "resume": _resume,
    "memory": _memory,
}
"""What `all` runs: a minute or two, and nothing but this machine."""
ITEMS: dict[str, Item] = {
    **QUICK,
    "snapshot": _snapshot,
    "ticks": _ticks,
    "refused": _refused,
    "idle": _idle,
    "midnight": _midnight,
    "kafka": _kafka,
    "latency": _latency,
    "scaling": _scaling,
    "history": _history,
}
"""Every benchmark."""
