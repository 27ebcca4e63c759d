"""All account shards of one process, fed in turn as the flow would feed them: for the benchmarks of parts of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from c360_stream.contracts.events import Decoder, Event, times_us
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.features.columns import EventColumns, ShardBatch
from c360_stream.features.emissions import Emission
from c360_stream.features.encoding import EventEncoder, KnownAccounts
from c360_stream.features.shard import AccountShard
from c360_stream.pipeline import Pipeline
from c360_stream.scoring.scorer import ScorerInput, ShardScorer
from c360_stream.settings import Settings

PARTITION = "bench/0"


def decoded(kind: InputKind, lines: Sequence[bytes]) -> list[Event]:
    """The events of a topic's lines, without those that are refused."""
    return [event for block in Decoder(kind).decode_blocks(lines) for event in block.events]


def receive(
    shard: AccountShard, scorer: ShardScorer, now_us: int, first_us: int, events: EventColumns | None = None
) -> None:
    """Give a shard the time and events, and its scorer what follows; what is not the scorer's is dropped."""
    for emission in shard.receive([ShardBatch(shard.number, PARTITION, now_us, first_us, False, events)]):
        if isinstance(emission, ScorerInput):
            scorer.take(emission)


class Shards:
    """The shards with their scorers, and one encoder per topic; there is one partition.

    Parameters
    ----------
    settings
        Settings.
    """

    def __init__(self, settings: Settings) -> None:
        pipeline = Pipeline(settings, (PARTITION,))
        self._shards, self.scorers = pipeline.shards, pipeline.models.scorers
        accounts = KnownAccounts(settings.shards)
        self._encoders = {
            kind: EventEncoder(number, accounts, settings.core_actions, settings.category_prefixes)
            for number, kind in enumerate(INPUT_KINDS)
        }
        self._first_us: int | None = None

    def encode(self, kind: InputKind, events: Sequence[Event]) -> tuple[int, list[EventColumns | None]]:
        """The greatest event time of a batch, and its columns by shard."""
        encoder = self._encoders[kind]
        encoded = encoder.encode(events, times_us([event.occurred_at for event in events]))
        time_us = encoded.time_us
        if self._first_us is None:
            self._first_us = int(time_us[0])
        return int(time_us.max()), encoder.split(encoded)

    def receive(self, high_us: int, columns: Sequence[EventColumns | None] | None = None) -> Iterator[list[Emission]]:
        """Give every shard its part of a batch (or nothing but the time); what each emits."""
        first_us = self._first_us or 0
        for shard, events in zip(self._shards, columns or [None] * len(self._shards), strict=True):
            yield shard.receive([ShardBatch(shard.number, PARTITION, high_us, first_us, False, events)])

    def accounts(self) -> int:
        """Number of accounts seen."""
        return int(np.sum([len(shard.accounts) for shard in self._shards]))
