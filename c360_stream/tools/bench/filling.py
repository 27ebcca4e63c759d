"""Shards and scorers with as many accounts and users as one likes, after as many days as a label waits.

They are driven with columns: lines and their decoding would take ten times as long and leave nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features import columns as c
from c360_stream.features.columns import EventColumns
from c360_stream.features.shard import AccountShard
from c360_stream.features.subscriptions import SubscriptionEvent
from c360_stream.pipeline import Pipeline
from c360_stream.scoring.scorer import ShardVersion
from c360_stream.settings import Settings
from c360_stream.tools.bench.model import trained_version
from c360_stream.tools.bench.sample import START_DAY
from c360_stream.tools.bench.shards import PARTITION, receive

ACTIVE_SHARE = 1 / 6
"""Of an account's users on a day: five of thirty days each."""
COMMENT_SHARE = 1 / 8
"""Of the events: in thirty days every other user comments."""
CATEGORIES = 10
STARTS_AT_ONCE = 500
"""Accounts that join a shard in one batch: what grows with them grows as it would."""


@dataclass(frozen=True, slots=True)
class Load:
    """So many accounts with so many users active in 30 days."""

    accounts: int
    users: int
    seed: int


class Filling:
    """All shards and scorers of one process; what is not theirs is dropped at once.

    Parameters
    ----------
    settings
        Settings.
    load
        Accounts and users.
    """

    def __init__(self, settings: Settings, load: Load) -> None:
        self._users = load.users
        self._quiet_days = -(-settings.dedupe_hours // 24) + 1
        self._rng = np.random.default_rng([load.seed, load.accounts, load.users])
        pipeline = Pipeline(settings, (PARTITION,))
        self._shards, self._scorers = pipeline.shards, pipeline.models.scorers
        self._accounts = np.bincount(np.arange(load.accounts) % settings.shards, minlength=settings.shards).tolist()
        self._version = trained_version(settings, load.seed, START_DAY)

    def through(self, days: int) -> None:
        """Take so many days and their ticks: subscriptions start on the first, events come until the last but a few.

        On the last days nothing happens, so that no id of an event is remembered in the end.
        """
        for day in range(START_DAY, START_DAY + days + 1):
            for shard in self._shards:
                self._receive(shard, day, None)
            # As in the flow, all shards' rows wait for the version of the tick.
            for number, scorer in enumerate(self._scorers):
                scorer.take(ShardVersion(number, day, self._version))
            for shard in self._shards:
                if day == START_DAY:
                    for first in range(0, self._accounts[shard.number], STARTS_AT_ONCE):
                        self._receive(shard, day, self._starts(shard.number, first))
                if day <= START_DAY + days - self._quiet_days:
                    self._receive(shard, day, self._product(shard.number, day))

    def accounts(self) -> int:
        """Accounts that the shards know."""
        return sum(len(shard.accounts) for shard in self._shards)

    def users(self) -> int:
        """Users of all accounts in the last 30 days."""
        return sum(len(shard.accounts.users) for shard in self._shards)

    def waiting_examples(self) -> int:
        """Examples whose label is not known yet."""
        return sum(shard.ledger.pending for shard in self._shards)

    def _receive(self, shard: AccountShard, day: int, events: EventColumns | None) -> None:
        scorer = self._scorers[shard.number]
        receive(shard, scorer, day * US_PER_DAY, START_DAY * US_PER_DAY, events)

    def _starts(self, shard: int, first: int) -> EventColumns:
        """Some accounts' subscriptions start."""
        numbers = range(first, min(first + STARTS_AT_ONCE, self._accounts[shard]))
        names = [f"acct-{shard:02x}-{i:07x}" for i in numbers]
        account = np.arange(len(names), dtype=np.int32)
        events = self._events(c.BILLING, START_DAY, names, account, np.full(len(names), c.STARTED))
        events.details = [
            SubscriptionEvent(
                time_us=at_us,
                event_id=f"billing-{shard:02x}-{i:08x}",
                code=c.STARTED,
                mrr_cents=9_900 + i,
                seats=25,
                renewal_us=None,
                plan=f"team-{i % 3}",
            )
            for i, at_us in zip(numbers, events.time_us.tolist(), strict=True)
        ]
        return events

    def _product(self, shard: int, day: int) -> EventColumns:
        user = np.flatnonzero(self._rng.random(self._accounts[shard] * self._users) < ACTIVE_SHARE)
        account = (user // self._users).astype(np.int32)
        code = np.where(self._rng.random(len(user)) < COMMENT_SHARE, c.COMMENT | c.CORE_ACTION, 0)
        events = self._events(c.PRODUCT, day, self._shards[shard].accounts.ids, account, code)
        category = self._rng.integers(0, 2 * CATEGORIES, len(user))
        events.user = _mixed(user + 1)
        events.category = np.where(category < CATEGORIES, _mixed(category + 1), np.uint64(0))
        return events

    def _events(
        self, topic: int, day: int, names: list[str], account: NDArray[np.int32], code: NDArray[np.int64]
    ) -> EventColumns:
        n = len(account)
        time_us = day * US_PER_DAY + self._rng.integers(1, US_PER_DAY, n)
        owner = _mixed(-1 - np.arange(len(names)))
        event = self._rng.integers(0, 2**64, n, np.uint64)
        nobody = np.zeros(n, np.uint64)
        return EventColumns(
            topic=topic,
            accounts=names,
            account_hash=owner,
            account=account,
            time_us=time_us,
            effective_time_us=time_us,
            event=event,
            code=code.astype(np.uint8),
            user=nobody,
            category=nobody,
            details=[],
        )


def _mixed(number: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hashes of small numbers: the last step of SplitMix64."""
    mixed = number.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
