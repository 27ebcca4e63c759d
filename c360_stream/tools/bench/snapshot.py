"""Benchmark `snapshot`: the cost of keeping the state of many accounts, again and again, and of loading it."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features import columns as c
from c360_stream.features.columns import EventColumns
from c360_stream.features.shard import AccountShard
from c360_stream.features.subscriptions import SubscriptionEvent
from c360_stream.models.version import ModelVersion
from c360_stream.pipeline import Pipeline
from c360_stream.scoring.scorer import ShardScorer, ShardVersion
from c360_stream.settings import Settings
from c360_stream.state.backend import StateBackend, StateHandle
from c360_stream.tools.bench.model import trained_version
from c360_stream.tools.bench.result import Result, Timed, timed
from c360_stream.tools.bench.sample import START_DAY
from c360_stream.tools.bench.shards import PARTITION, receive
from c360_stream.tools.machine import peak_resident_bytes

USERS_PER_ACCOUNT = 20
INTERVAL_SECONDS = 30
EVENTS_PER_SECOND = 200_000
"""What one process is meant to take on a quiet core: more change between two snapshots than live."""
_BLOCK_BYTES = 16 * 1024 * 1024


def measure(settings: Settings, accounts: int, seed: int) -> Iterator[Result]:
    """Fill all shards and scorers of a process; keep them, let 30 seconds of events come, keep; midnight, keep; resume.

    Figures are seconds on the wall, since waiting for the disk stalls the flow too.
    """
    gc.disable()  # as a run does
    pipeline = Pipeline(settings, (PARTITION,))
    pairs = zip(pipeline.shards, pipeline.models.scorers, strict=True)
    shards = [_Shard(shard, scorer, range(shard.number, accounts, settings.shards), seed) for shard, scorer in pairs]
    version = trained_version(settings, seed, START_DAY + 1)
    for shard in shards:
        shard.fill(version)
    events = EVENTS_PER_SECOND * INTERVAL_SECONDS // len(shards)
    parameters: dict[str, Any] = {
        "accounts": accounts,
        "users_per_account": USERS_PER_ACCOUNT,
        "shards": len(shards),
        "interval_seconds": INTERVAL_SECONDS,
        "events": events * len(shards),
        "seed": seed,
    }

    def result(name: str, done: Timed[tuple[list[bytes], int]], floor: float, floor_is: str) -> Result:
        manifests, written = done.given
        sizes = {
            "files_bytes": written,
            "engine_bytes": sum(map(len, manifests)),
            "directory_bytes": _directory_bytes(recovery),
            "share_of_interval": round(done.wall / INTERVAL_SECONDS, 4),
        }
        return Result(name, "seconds", done.wall, floor, floor_is, parameters | sizes, detail={"cpu_seconds": done.cpu})

    with tempfile.TemporaryDirectory(prefix="c360-bench-") as home:
        recovery = Path(home)
        backend = StateBackend(True, (), recovery)
        handles = [(backend.of("accounts", AccountShard), backend.of("score", ShardScorer)) for _ in shards]
        resident = peak_resident_bytes()
        first = timed(_keep, shards, handles)
        state_bytes = _directory_bytes(recovery)
        more = {"more_resident_bytes": peak_resident_bytes() - resident, "state_bytes": state_bytes}
        parameters |= {"resident_bytes_max": resident} | more
        yield result("snapshot_first", first, _write(recovery, state_bytes).wall, "writing as many bytes to one file")
        hashing = _hash(state_bytes).wall
        changes: dict[str, Callable[[_Shard], None]] = {
            "snapshot_after_events": lambda shard: shard.more(events),
            "snapshot_after_tick": lambda shard: shard.tick(version),
        }
        for name, change in changes.items():
            for shard in shards:
                change(shard)
            last = timed(_keep, shards, handles)
            yield result(name, last, hashing, "hashing as many bytes as the first has written")
        resumed = timed(_load, shards, backend, last.given[0])
        read = _read(recovery).wall
        yield replace(
            result(
                "snapshot_resume", replace(last, wall=resumed.wall, cpu=resumed.cpu), read, "reading the files once"
            ),
            parameters=parameters,
        )


class _Shard:
    """One shard, its scorer, and events for it, which are made as columns: a process decodes elsewhere."""

    def __init__(self, shard: AccountShard, scorer: ShardScorer, accounts: range, seed: int) -> None:
        self.number = number = shard.number
        self.shard, self.scorer = shard, scorer
        self._ids = [f"acct-{account:07d}" for account in accounts]
        self._hashes = np.array([xxh3_64_intdigest(name.encode()) for name in self._ids], np.uint64)
        self._rng = np.random.default_rng([seed, number])
        self._day = START_DAY

    def fill(self, version: ModelVersion) -> None:
        """A day on which every user is seen, examples of all days that labels wait for, and a tick."""
        n, rng = len(self._ids), self._rng
        everybody = np.arange(n, dtype=np.int32)
        started = [
            SubscriptionEvent(
                time_us=0,
                event_id=f"b-{i:012x}",
                code=c.STARTED,
                mrr_cents=49_900,
                seats=25,
                renewal_us=None,
                plan="team",
            )
            for i in range(n)
        ]
        self._receive(self._events(c.BILLING, everybody, np.full(n, c.STARTED, np.uint8), started))
        for user in range(USERS_PER_ACCOUNT):
            self._receive(self._product(everybody, np.full(n, user, np.uint64)))
        ledger, config = self.shard.ledger, self.shard.config
        for day in range(START_DAY - config.horizon_days, START_DAY + 1):
            ledger.open(day, everybody)
            due = everybody[(self.shard.accounts.stride_phase[:n] + day) % config.stride_days == 0]
            ledger.store(day, due, rng.random((len(due), 21)))
        self.tick(version)
        risks = self.scorer.state()["risks"]["risk"]  # those in use
        risks[:, :n] = rng.random((len(risks), n))

    def more(self, events: int) -> None:
        """Product events of the day in progress."""
        for first in range(0, events, 50_000):
            account = self._rng.integers(0, len(self._ids), min(50_000, events - first), np.int32)
            self._receive(self._product(account, self._rng.integers(0, USERS_PER_ACCOUNT, len(account), np.uint64)))

    def tick(self, version: ModelVersion) -> None:
        """Midnight."""
        self._day += 1
        self._receive(None)
        self.scorer.take(ShardVersion(self.number, self._day, version))

    def keep(self, handles: tuple[StateHandle, StateHandle]) -> Iterator[bytes]:
        """As the steps do."""
        accounts, score = handles
        yield accounts.keep(str(self.number), lambda: {"number": self.number, **self.shard.state()})
        yield score.keep(str(self.number), self.scorer.state)

    def load(self, backend: StateBackend, accounts: bytes, score: bytes) -> None:
        """As the steps do."""
        self.shard = AccountShard(self.number, self.shard.config)
        self.shard.restore(backend.of("accounts", AccountShard).load(accounts))
        self.scorer = ShardScorer(self.scorer.config)
        self.scorer.restore(backend.of("score", ShardScorer).load(score))

    def _receive(self, events: EventColumns | None) -> None:
        now, first = self._day * US_PER_DAY, START_DAY * US_PER_DAY + US_PER_DAY // 2
        receive(self.shard, self.scorer, now, first, events)

    def _product(self, account: NDArray[np.int32], user: NDArray[np.uint64]) -> EventColumns:
        # What a user does is what that user does every day: else the tables of who comments would grow all the time.
        code = np.where(user % 4 == 0, c.CORE_ACTION | c.COMMENT, np.where(user % 4 == 1, c.CORE_ACTION, 0))
        events = self._events(c.PRODUCT, account, code.astype(np.uint8), [])
        events.user = (user + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        events.category = user % 10
        return events

    def _events(
        self, topic: int, account: NDArray[np.int32], code: NDArray[np.uint8], details: list[SubscriptionEvent]
    ) -> EventColumns:
        time_us = self._day * US_PER_DAY + np.sort(self._rng.integers(0, US_PER_DAY, len(account)))
        event = self._rng.integers(0, 2**64, len(account), np.uint64)
        none = np.zeros(0, np.uint64)
        return EventColumns(
            topic=topic,
            accounts=self._ids,
            account_hash=self._hashes,
            account=account,
            time_us=time_us,
            effective_time_us=time_us,
            event=event,
            code=code,
            user=none,
            category=none,
            details=details,
        )


def _keep(shards: list[_Shard], handles: list[tuple[StateHandle, StateHandle]]) -> tuple[list[bytes], int]:
    """What the engine is given, and bytes written beside it."""
    manifests = [packed for shard, pair in zip(shards, handles, strict=True) for packed in shard.keep(pair)]
    return manifests, sum(handle.written_bytes for pair in handles for handle in pair)


def _load(shards: list[_Shard], backend: StateBackend, manifests: list[bytes]) -> None:
    for number, shard in enumerate(shards):
        shard.load(backend, *manifests[2 * number : 2 * number + 2])


def _directory_bytes(recovery: Path) -> int:
    return sum(file.stat().st_size for file in recovery.rglob("*.segment"))


def _blocks(size: int) -> list[memoryview]:
    """So many bytes, which repeat after a while, but not while a processor's cache holds them."""
    block = np.random.default_rng(0).integers(0, 256, 16 * _BLOCK_BYTES, np.uint8).data
    starts = ((first, first % len(block)) for first in range(0, size, _BLOCK_BYTES))
    return [block[at : at + min(_BLOCK_BYTES, size - first)] for first, at in starts]


def _hash(size: int) -> Timed[None]:
    blocks = _blocks(size)

    def hash_all() -> None:
        for block in blocks:
            xxh3_128_digest(block)

    return timed(hash_all)


def _write(recovery: Path, size: int) -> Timed[None]:
    blocks, path = _blocks(size), recovery / "floor"

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            for block in blocks:
                file.write(block)
            os.fdatasync(file.fileno())

    done = timed(write)
    path.unlink()
    return done


def _read(recovery: Path) -> Timed[None]:
    def read() -> None:
        for path in recovery.rglob("*.segment"):
            np.fromfile(path, np.uint8)

    return timed(read)
