"""Accounts step, keyed by shard: a thin shell around `AccountShard`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bytewax.operators import StatefulBatchLogic

from c360_stream import metrics
from c360_stream.contracts.events import US_PER_SECOND
from c360_stream.contracts.records import DeadLetter
from c360_stream.errors import StateError
from c360_stream.features.columns import NO_TIME, Heartbeats, ShardBatch
from c360_stream.features.emissions import Emission
from c360_stream.features.shard import AccountShard, ShardConfig, ShardTally
from c360_stream.operators.run_context import RunContext, record_failure
from c360_stream.state.backend import StateBackend


@dataclass(frozen=True)
class AccountsStep:
    """Builds the logic of one shard, with its state.

    Parameters
    ----------
    config
        Settings of the shards.
    backend
        How state is kept.
    run
        What its steps share.
    """

    config: ShardConfig
    backend: StateBackend
    run: RunContext

    @record_failure
    def __call__(self, resume_state: bytes | None) -> AccountsLogic:
        """Build, or restore a snapshot."""
        return AccountsLogic(self, resume_state)


class AccountsLogic(StatefulBatchLogic[ShardBatch | Heartbeats, Emission | Heartbeats, bytes]):
    """One shard of accounts. Heartbeats pass through it, behind what follows from the events ahead of them."""

    def __init__(self, step: AccountsStep, resume_state: bytes | None) -> None:
        self.run = step.run
        self._step = step
        self._handle = step.backend.of("accounts", AccountShard)
        self._shard: AccountShard | None = None
        if resume_state is not None:
            state = self._handle.load(resume_state)
            self._shard = AccountShard(state["number"], step.config)
            self._shard.restore(state)

    @record_failure
    def on_batch(self, values: list[ShardBatch | Heartbeats]) -> tuple[list[Emission | Heartbeats], bool]:
        """Take the messages of partitions to this shard."""
        if self._shard is None:
            self._shard = AccountShard(values[0].shard, self._step.config)
        shard = self._shard
        out: list[Emission | Heartbeats] = []
        if batches := [value for value in values if isinstance(value, ShardBatch)]:
            emitted = shard.receive(batches)
            for letter in emitted:
                if isinstance(letter, DeadLetter):
                    self.run.dead_letters.count(letter.topic, Counter([(letter.stage, letter.exception_message)]))
            out += emitted
            self._count(shard)
        out += [value for value in values if isinstance(value, Heartbeats)]
        return out, False

    def _count(self, shard: AccountShard) -> None:
        waiting = len(shard.early)
        if waiting > self._step.config.early_events_max:
            raise StateError(
                f"shard {shard.number}: {waiting} events wait for the tick before them, because one partition is far"
                " behind the others",
                "see c360_consumer_lag_* for which; raise C360_EARLY_EVENTS_MAX to go on",
            )
        metrics.EARLY_EVENTS.labels(str(shard.number)).set(waiting)
        metrics.OUTCOMES_PENDING.labels(str(shard.number)).set(shard.ledger.pending)
        if shard.tally.late:
            metrics.LATE_EVENTS.inc(shard.tally.late)
            metrics.LATE_EVENTS_AFTER_TICK.inc(shard.tally.after_tick)
        if shard.tally.misplaced:
            metrics.SUBSCRIPTION_EVENTS_MISPLACED.inc(shard.tally.misplaced)
        for topic in shard.tally.settled:
            metrics.EVENTS_ACCEPTED.labels(topic).inc()
        if shard.tally.duplicates:
            metrics.DUPLICATE_EVENTS.inc(shard.tally.duplicates)
        shard.tally = ShardTally()
        if shard.number == 0 and shard.watermark.now_us != NO_TIME:
            metrics.set_watermark(shard.watermark.now_us / US_PER_SECOND)

    @record_failure
    def snapshot(self) -> bytes:
        """The shard's state."""
        shard = self._shard
        if shard is None:
            raise StateError("a shard without a message cannot be kept", "report this")
        return self._handle.keep(str(shard.number), shard.state)
