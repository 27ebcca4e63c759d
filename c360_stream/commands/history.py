"""One account's past, read from the input log again: its events before an as-of, and its features then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from c360_stream.connectors.ports import RawBatch, RecordReader, Transport
from c360_stream.errors import TransportError
from c360_stream.events import (
    US_PER_DAY,
    US_PER_SECOND,
    Decoder,
    Event,
    InputKind,
    Refused,
    is_heartbeat,
    time_us,
    times_us,
)
from c360_stream.features.accounts import Accounts
from c360_stream.features.columns import TOPICS, EventColumns
from c360_stream.features.dedupe import RecentIds
from c360_stream.features.early import EarlyEvents
from c360_stream.features.encoding import EventEncoder, KnownAccounts
from c360_stream.records import Trigger
from c360_stream.settings import INPUT_KINDS, Settings

READ_RECORDS_MAX = 8192
SILENCE_SECONDS_MAX = 30.0
PAUSE_SECONDS = 0.01

RefusedOffsets = Callable[[str, int], Collection[int]]
"""Topic and partition -> offsets of the records that the flow refused for their implausible time."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is rebuilt: the account, the as-of time in microseconds, and what made the flow score it then."""

    account: str
    as_of_us: int
    trigger: Trigger


@dataclass
class History:
    """An account's events before a moment, as columns: about 40 bytes an event.

    `late` holds those that stand in their partition behind the point at which it had passed the moment: a score
    need not have counted them.
    """

    in_time: list[EventColumns] = field(default_factory=list)
    late: list[EventColumns] = field(default_factory=list)
    partitions: int = 0

    @property
    def events(self) -> int:
        """Number of events, the late ones and duplicates included."""
        return sum(map(len, self.in_time)) + self.late_events

    @property
    def late_events(self) -> int:
        """Number of late events."""
        return sum(map(len, self.late))


def read_history(settings: Settings, transport: Transport, moment: Moment, refused: RefusedOffsets) -> History:
    """Stream the input topics and keep the account's events before the moment.

    Raises
    ------
    TransportError
        If a topic cannot be read.
    """
    history = History()
    for kind in INPUT_KINDS:
        topic = settings.input_topic(kind)
        encoder = EventEncoder(TOPICS.index(kind), KnownAccounts(1), settings.core_actions, settings.category_prefixes)
        for partition in transport.partitions(topic):
            history.partitions += 1
            scan = _Scan(settings, kind, moment, refused(topic, partition))
            with contextlib.closing(transport.reader(topic, partition, None, live=False)) as reader:
                for batch in _batches(reader):
                    in_time, late = scan.take(batch)
                    history.in_time.extend(_columns(encoder, in_time))
                    history.late.extend(_columns(encoder, late))
    return history


def _batches(reader: RecordReader) -> Iterator[RawBatch]:
    """Batches up to the end of a partition."""
    heard_at = time.monotonic()
    while True:
        batch = reader.read(READ_RECORDS_MAX)
        if batch.values:
            heard_at = time.monotonic()
            yield batch
        if reader.at_end:
            return
        if not batch.values:
            if time.monotonic() - heard_at > SILENCE_SECONDS_MAX:
                raise TransportError(
                    f"{reader.topic}/{reader.partition}: no records for {SILENCE_SECONDS_MAX:.0f} s", "check the broker"
                )
            time.sleep(PAUSE_SECONDS)


def _columns(encoder: EventEncoder, events: list[Event]) -> Iterator[EventColumns]:
    for columns in encoder.split(encoder.encode(events, times_us([event.occurred_at for event in events]))):
        if columns is not None:
            yield columns


class _Scan:
    """Picks the account's events out of one partition, in its order, and tells the late ones.

    A tick is over for a partition once an event of any account is past it by the allowed lateness; a score between
    ticks was made before any event of its own account from its as-of on was taken.
    """

    def __init__(self, settings: Settings, kind: InputKind, moment: Moment, refused: Collection[int]) -> None:
        self._moment = moment
        self._refused = refused
        self._decode = Decoder(kind).decode
        self._account = moment.account.encode()
        self._of_tick = moment.trigger == "tick"
        lateness_us = settings.allowed_lateness_seconds * US_PER_SECOND if self._of_tick else 0
        self._passed_from_us = moment.as_of_us + lateness_us
        self._passed = False

    def take(self, batch: RawBatch) -> tuple[list[Event], list[Event]]:
        """Events of the account before the moment: in time, and late."""
        in_time: list[Event] = []
        late: list[Event] = []
        for offset, value in zip(batch.offsets, batch.values, strict=True):
            # Only a line with an escape can name the account in other bytes than its own. Other accounts' events
            # matter only until they show that the partition has passed a tick.
            if self._account not in value and b"\\" not in value and (self._passed or not self._of_tick):
                continue
            event = self._event(value)
            if event is None or offset in self._refused:
                continue
            event_us = time_us(event.occurred_at)
            own = event.account_id == self._moment.account
            if own and event_us < self._moment.as_of_us:
                (late if self._passed else in_time).append(event)
            elif event_us >= self._passed_from_us and (own or self._of_tick) and not is_heartbeat(event):
                self._passed = True
        return in_time, late

    def _event(self, value: bytes) -> Event | None:
        try:
            return self._decode(value)
        except Refused:
            return None


def features_at(settings: Settings, moment: Moment, columns: list[EventColumns]) -> NDArray[np.float64]:
    """The account's features at the moment, from its events alone: the same code as the flow's, day by day.

    Parameters
    ----------
    columns
        Events before the moment, in any order; repeats count once.

    Returns
    -------
    float64, shape (21,), NaN for null.
    """
    waiting = EarlyEvents()
    for events in columns:
        waiting.put(events)
    accounts = Accounts()
    row = accounts.rows_of([moment.account])
    dedupe_days = -(-settings.dedupe_hours // 24)
    recent = [RecentIds(dedupe_days) for _ in TOPICS]
    # At midnight exactly the last day of every window is the one that ended.
    last = (moment.as_of_us - 1) // US_PER_DAY
    first = min((int(events.time_us.min()) // US_PER_DAY for events in columns), default=last)
    for day in range(first, last + 1):
        accounts.open_day(day)
        for ids in recent:
            ids.open_day(day)
        for events in waiting.take_until(day):
            fresh = recent[events.topic].fresh(events.event, day)
            once = events.take(np.flatnonzero(fresh))
            if len(once):
                accounts.apply(once, row[once.account], day)
    features: NDArray[np.float64] = accounts.matrix(row, moment.as_of_us)[0]
    return features
