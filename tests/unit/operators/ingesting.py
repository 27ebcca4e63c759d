"""A source partition over records in memory, and what it tells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from c360_stream.contracts.events import HEARTBEAT_ACCOUNT, HEARTBEAT_TYPE, US_PER_DAY
from c360_stream.contracts.records import DeadLetter
from c360_stream.features.columns import NO_TIME, ShardBatch
from c360_stream.features.encoding import KnownAccounts
from c360_stream.logs.pace import Pace
from c360_stream.operators.alignment import ReadAlignment
from c360_stream.operators.ingest_partition import IngestPartition, Item, shard_key
from c360_stream.operators.rest import Rest
from c360_stream.operators.rows import DeadLetters
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.shared_intake import SharedIntake
from c360_stream.settings import Settings
from c360_stream.state.outbox import PULSE_SECONDS
from tests.unit.features.deliveries import Event
from tests.unit.features.events import at, event
from tests.unit.operators.readers import MemoryReader

TOPIC = "c360.product.events.v1"
NAME = f"{TOPIC}/0"
SHARDS = 2


def viewed(number: int, day: float) -> Event:
    return event(f"e{number}", f"a{number}", at(day), "page_viewed")


# A replay reads a few events on before it believes the first.
SOON = [viewed(number, 5) for number in range(100, 120)]


def partition(
    reader: MemoryReader,
    alignment: ReadAlignment | None = None,
    seen: tuple[Any, ...] = (),
    rest: Rest | None = None,
    pulses: Pace | None = None,
    run: RunContext | None = None,
    **set_to: Any,
) -> IngestPartition:
    settings = Settings(**{"shards": SHARDS, "live": False, "idle_seconds": 1e-9, **set_to})
    accounts = KnownAccounts(settings.shards)
    shared = SharedIntake(
        alignment or ReadAlignment((NAME,), 0),
        run or RunContext(),
        rest or Rest(None),
        pulses=pulses or Pace(PULSE_SECONDS),
    )
    return IngestPartition(settings, reader, NAME, seen, shared, accounts=accounts)


def beat(number: int, day: float) -> Event:
    return event(f"h{number}", HEARTBEAT_ACCOUNT, at(day), HEARTBEAT_TYPE)


def split(items: Iterable[Item]) -> tuple[list[ShardBatch], list[DeadLetter]]:
    """Messages to shards, but for heartbeats, and dead letters."""
    found = list(items)
    keyed = [item for item in found if isinstance(item, tuple)]
    assert [key for key, _ in keyed] == [shard_key(each.shard) for _, each in keyed]
    messages = [each for _, each in keyed if isinstance(each, ShardBatch)]
    return messages, [letter for item in found if isinstance(item, DeadLetters) for letter in item.letters]


def read_all(source: IngestPartition) -> tuple[list[ShardBatch], list[DeadLetter]]:
    """Everything up to the end."""
    messages, letters = list[ShardBatch](), list[DeadLetter]()
    while True:
        try:
            items = source.next_batch()
        except StopIteration:
            return messages, letters
        more, refused = split(items)
        messages += more
        letters += refused


def told(source: IngestPartition, us: int) -> ShardBatch:
    """The message to shard 0 that first tells a mark of at least `us`."""
    mark_us = NO_TIME
    while True:
        for message in split(source.next_batch())[0]:
            assert message.mark_us - mark_us <= US_PER_DAY or mark_us == NO_TIME, "a day at a time"
            mark_us = message.mark_us
            if mark_us >= us:
                return message


kinds_of_records = st.integers(0, 40).flatmap(
    lambda size: st.lists(
        st.sampled_from(["event", "event", "event", "late", "absurd", "rubbish", "gap"]), min_size=size, max_size=size
    )
)
