"""One account's past, read from the input log again: its events before an as-of, and its features then."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from c360_stream.connectors.ports import RawBatch, RecordReader, Transport
from c360_stream.connectors.reading import read_within
from c360_stream.contracts.events import (
    US_PER_DAY,
    US_PER_SECOND,
    Decoder,
    Event,
    Refused,
    is_heartbeat,
    time_us,
    times_us,
)
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.contracts.records import Trigger
from c360_stream.errors import TransportError
from c360_stream.features.accounts import Accounts
from c360_stream.features.columns import EventColumns
from c360_stream.features.early_events import EarlyEvents
from c360_stream.features.encoding import EventEncoder, KnownAccounts
from c360_stream.features.plausibility import TimeJudge
from c360_stream.features.recent_ids import RecentIds
from c360_stream.operators.decode import DecodedBatch, ReturningReader
from c360_stream.operators.run_context import RunContext
from c360_stream.settings import Settings

READ_RECORDS_MAX = 8192
SILENCE_SECONDS_MAX = 30.0

RefusedOffsets = Callable[[str, int], Collection[int]]
"""Topic and partition -> offsets of the records that the flow refused for their implausible time."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The score to rebuild: its account, its as-of time in microseconds, and its trigger."""

    account: str
    as_of_us: int
    trigger: Trigger


@dataclass
class History:
    """An account's events before a moment, as columns: about 40 bytes per event.

    `late` holds the events behind the point at which their partition had passed the moment: a score need not have
    counted them.
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
    places = [(kind, number) for kind in INPUT_KINDS for number in transport.partitions(settings.input_topic(kind))]
    history.partitions = len(places)
    lateness_us, jump_us = settings.allowed_lateness_seconds * US_PER_SECOND, settings.jump_days_max * US_PER_DAY
    for kind, number in places:
        topic = settings.input_topic(kind)
        accounts = KnownAccounts(1)
        encoder = EventEncoder(INPUT_KINDS.index(kind), accounts, settings.core_actions, settings.category_prefixes)
        offsets = refused(topic, number)
        with contextlib.closing(ReturningReader(transport.reader(topic, number, None, live=False))) as reader:
            if moment.trigger == "tick":
                judge = TimeJudge(lateness_us, jump_us, alone=len(places) == 1)
                for batch, late in _until_passed(_decoded(reader, kind, encoder), judge, moment):
                    own = batch.events.account == accounts.get(moment.account, -1)
                    chosen = np.flatnonzero(own & (batch.times() < moment.as_of_us))
                    chosen = chosen[[batch.offset_of(i) not in offsets for i in chosen.tolist()]]
                    # One split, since the encoder may begin its numbers anew with each; one shard, so the order stays.
                    for columns in _present(encoder.split(batch.events.keep(chosen))):
                        for found, those in ((history.in_time, ~late[chosen]), (history.late, late[chosen])):
                            if those.any():
                                found.append(columns.take(np.flatnonzero(those)))
            scan = _Scan(kind, moment, offsets)
            for values in _batches(reader):
                before, behind = scan.take(values)
                history.in_time.extend(_columns(encoder, before))
                history.late.extend(_columns(encoder, behind))
    return history


def _until_passed(
    batches: Iterator[DecodedBatch], judge: TimeJudge, moment: Moment
) -> Iterator[tuple[DecodedBatch, NDArray[np.bool_]]]:
    """Batches, and which events are too late for a tick, up to where the mark has passed it.

    The flow's own judge determines the partition's time, and so the time at which each event arrived. Dead letters hold
    what the flow refused: a live run judges by the clock of its time.
    """
    while judge.high_us - judge.lateness_us < moment.as_of_us and (batch := next(batches, None)) is not None:
        verdicts = judge.judge(batch)
        batch.give_back()
        yield batch, verdicts.high_us - judge.lateness_us >= moment.as_of_us


def _decoded(reader: ReturningReader, kind: InputKind, encoder: EventEncoder) -> Iterator[DecodedBatch]:
    """Decoded batches up to the end of a partition."""
    decoder, run = Decoder(kind), RunContext()
    while not reader.at_end:
        batch = DecodedBatch(reader, decoder, encoder, run, READ_RECORDS_MAX, wait_seconds=SILENCE_SECONDS_MAX)
        if batch.read:
            yield batch
        else:
            _refuse_silence(reader)


def _batches(reader: RecordReader) -> Iterator[RawBatch]:
    """Batches up to the end of a partition."""
    while (batch := read_within(reader, READ_RECORDS_MAX, SILENCE_SECONDS_MAX)).values:
        yield batch
        if reader.at_end:
            return
    _refuse_silence(reader)


def _refuse_silence(reader: RecordReader) -> None:
    """End a read from a partition that gave nothing for long, if that is not its end."""
    if not reader.at_end:
        place = f"{reader.topic}/{reader.partition}"
        raise TransportError(f"{place}: no records for {SILENCE_SECONDS_MAX:.0f} s", "check the broker")


def _present(columns: list[EventColumns | None]) -> Iterator[EventColumns]:
    return (each for each in columns if each is not None)


def _columns(encoder: EventEncoder, events: list[Event]) -> Iterator[EventColumns]:
    return _present(encoder.split(encoder.encode(events, times_us([event.occurred_at for event in events]))))


class _Scan:
    """Picks the account's events from the rest of a partition, in its order, and separates the late ones.

    Behind the point at which the partition has passed a tick, all of them are late. A score between ticks was made
    before any event of its own account from its as-of on was taken.
    """

    def __init__(self, kind: InputKind, moment: Moment, refused: Collection[int]) -> None:
        self._moment = moment
        self._refused = refused
        self._decode = Decoder(kind).decode
        self._account = moment.account.encode()
        self._passed = moment.trigger == "tick"

    def take(self, batch: RawBatch) -> tuple[list[Event], list[Event]]:
        """Events of the account before the moment: in time, and late."""
        in_time: list[Event] = []
        late: list[Event] = []
        for offset, value in zip(batch.offsets, batch.values, strict=True):
            # Only a line with an escape can name the account in other bytes than its own.
            if self._account not in value and b"\\" not in value:
                continue
            event = self._event(value)
            if event is None or offset in self._refused or event.account_id != self._moment.account:
                continue
            if time_us(event.occurred_at) < self._moment.as_of_us:
                (late if self._passed else in_time).append(event)
            elif not is_heartbeat(event):
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
    recent = [RecentIds(dedupe_days) for _ in INPUT_KINDS]
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
