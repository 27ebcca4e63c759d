"""A decoded batch: events and refusals of one partition, with the records that were refused as they were."""

from __future__ import annotations

import json
import time
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.connectors.ports import TOMBSTONE, RawBatch, RecordReader
from c360_stream.contracts.events import HEARTBEAT_ACCOUNT, HEARTBEAT_TYPE, Decoder, Refused, time_us
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.features.columns import NO_TIME, PRODUCT
from c360_stream.features.encoding import EventEncoder, KnownAccounts
from c360_stream.operators import decode
from c360_stream.operators.decode import DecodedBatch, ReturningReader
from c360_stream.operators.rows import TableRows, TopicRecords, dead_letter_outputs
from c360_stream.operators.run_context import RunContext
from c360_stream.settings import Settings
from tests.unit.features.deliveries import Event
from tests.unit.features.events import at, event
from tests.unit.operators.readers import MemoryReader

TOPIC = "c360.product.events.v1"
DECODER = Decoder("product")
NO_EVENT = b'{"event_id":'


def viewed(number: int, hours: float = 0.0) -> Event:
    return event(f"e{number}", "acme", at(0, hours or number), "page_viewed")


def ids(*names: str) -> list[int]:
    """Hashes of event ids."""
    events = [DECODER.decode(json.dumps({**viewed(0), "event_id": name}).encode()) for name in names]
    encoded = EventEncoder(PRODUCT, KnownAccounts(1), (), {}).encode(events, np.zeros(len(names), np.int64))
    return [int(hashed) for hashed in encoded.event]


def batch_of(
    reader: RecordReader | ReturningReader, records_max: int = 100, run: RunContext | None = None
) -> DecodedBatch:
    reader = reader if isinstance(reader, ReturningReader) else ReturningReader(reader)
    return DecodedBatch(
        reader, DECODER, EventEncoder(PRODUCT, KnownAccounts(1), (), {}), run or RunContext(), records_max
    )


def test_every_record_becomes_an_event_or_a_refusal() -> None:
    batch = batch_of(MemoryReader(TOPIC, [viewed(0), NO_EVENT, viewed(2), b"[]"]))
    assert batch.read == 4
    assert batch.events.event.tolist() == ids("e0", "e2")
    assert [position for position, _ in batch.refusals] == [1, 3]
    assert batch.times().tolist() == [time_us(at(0, 0)), time_us(at(0, 2))]


def test_a_dead_letter_is_the_record_unchanged_with_its_reason() -> None:
    reader = MemoryReader(TOPIC, [viewed(0), b"\xff\x00rubbish"], partition=3, keyed=True)
    batch = batch_of(reader)
    ((position, refusal),) = batch.refusals
    letter = batch.dead_letter(position, refusal, time_us(at(1)))
    assert (letter.topic, letter.partition, letter.offset) == (TOPIC, 3, 1)
    assert (letter.key, letter.value, letter.headers) == (b"key1", b"\xff\x00rubbish", [("h", b"1")])
    assert (letter.stage, letter.exception_class, letter.refused_us) == ("decode", "Refused", time_us(at(1)))
    assert letter.exception_message


def test_the_dead_letter_of_a_tombstone_is_one() -> None:
    """Only the mark that a reader added counts, and it is no header of the record."""
    forged = [("h", b"1"), ("c360.tombstone", b"true")]
    reader = RawReader(RawBatch([b"", b"", b""], range(3), None, [[("h", b"1"), TOMBSTONE], forged, None]))
    batch = batch_of(reader)
    letters = [batch.dead_letter(position, refusal, 0) for position, refusal in batch.refusals]
    assert [letter.value for letter in letters] == [None, b"", b""]
    assert [letter.headers for letter in letters] == [[("h", b"1")], forged, []]
    assert "tombstone" in letters[0].exception_message
    settings = Settings(kafka_brokers="broker:9092")
    rows, records = dead_letter_outputs(settings, letters)
    assert isinstance(rows, TableRows)
    assert isinstance(records, TopicRecords)
    assert rows.columns["value"] == [None, b"", b""]
    published = records.records
    assert [record.value for record in published] == [None, b"", b""]
    assert [name for name, _ in published[0].headers if not name.startswith("__connect")] == ["h"]


class RawReader(MemoryReader):
    """Gives one batch as it is."""

    def __init__(self, batch: RawBatch) -> None:
        super().__init__(TOPIC, batch.values)
        self._batch = batch

    def read(self, records_max: int) -> RawBatch:
        return self._batch if super().read(records_max).values else RawBatch([], [])


def test_an_event_can_be_refused_after_all() -> None:
    batch = batch_of(MemoryReader(TOPIC, [viewed(0), NO_EVENT, viewed(2), viewed(3), viewed(4)]))
    batch.refuse([(1, Refused("absurd")), (3, Refused("absurd"))])
    assert batch.events.event.tolist() == ids("e0", "e3")
    assert [position for position, _ in batch.refusals] == [1, 2, 4]
    assert batch.dead_letter(4, batch.refusals[2][1], 0).value == MemoryReader(TOPIC, [viewed(4)]).values[0]


def test_heartbeats_are_no_events() -> None:
    """The reserved type and account together make one; neither does alone."""
    beats = [event(f"h{number}", HEARTBEAT_ACCOUNT, at(0, number), HEARTBEAT_TYPE) for number in range(3)]
    others = [{**viewed(7), "account_id": HEARTBEAT_ACCOUNT}, {**viewed(8), "event_type": HEARTBEAT_TYPE}]
    batch = batch_of(MemoryReader(TOPIC, [beats[2], viewed(0), NO_EVENT, *others, beats[0], viewed(2), beats[1]]))
    assert batch.read == 8
    assert batch.events.event.tolist() == ids("e0", "e7", "e8", "e2")
    assert batch.heartbeats == [(0, time_us(at(0, 2))), (5, time_us(at(0, 0))), (7, time_us(at(0, 1)))]
    batch.refuse([(3, Refused("absurd"))])
    batch.refuse_heartbeats(time_us(at(0, 1)), Refused("absurd"))
    assert [position for position, _ in batch.refusals] == [0, 2, 6]
    assert [position for position, _ in batch.heartbeats] == [5, 7]
    assert batch.dead_letter(0, batch.refusals[0][1], 0).offset == 0


@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_a_batch_of_nothing_but_heartbeats(kind: InputKind) -> None:
    beats = [event(f"h{number}", HEARTBEAT_ACCOUNT, at(0, number), HEARTBEAT_TYPE) for number in range(600)]
    encoder = EventEncoder(INPUT_KINDS.index(kind), KnownAccounts(1), (), {})
    batch = DecodedBatch(ReturningReader(MemoryReader(TOPIC, beats)), Decoder(kind), encoder, RunContext(), 1000)
    assert batch.heartbeats == [(number, time_us(at(0, number))) for number in range(600)]
    assert (len(batch.events), encoder.split(batch.events)) == (0, [None])


def test_a_batch_ends_where_its_bytes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large records must not fill the memory: all of a batch are held until it is done."""
    monkeypatch.setattr(decode, "READ_AT_ONCE", 10)
    monkeypatch.setattr(decode, "BATCH_BYTES_MAX", 1)
    reader = MemoryReader(TOPIC, [viewed(number) for number in range(100)])
    assert [batch_of(reader, 50).read for _ in range(2)] == [10, 10]
    monkeypatch.setattr(decode, "BATCH_BYTES_MAX", 1_000_000)
    assert [batch_of(reader, 50).read for _ in range(2)] == [50, 30]


def test_reading_on_gives_at_least_one_more_event_or_reaches_the_end() -> None:
    reader = MemoryReader(TOPIC, [viewed(0), *[NO_EVENT] * 200, viewed(2)])
    batch = batch_of(reader, 1)
    assert len(batch.more()) == 2
    assert (batch.read, len(batch.refusals)) == (202, 200)
    assert len(batch.more()) == 2
    assert batch.dead_letter(201 - 1, batch.refusals[-1][1], 0).offset == 200


@pytest.mark.parametrize("records_max", [1, 2, 40, 90])
@pytest.mark.parametrize("refused", [100, 101, 100_000])
def test_reading_on_through_a_flood_has_an_end(monkeypatch: pytest.MonkeyPatch, records_max: int, refused: int) -> None:
    """The same one wherever the batch ends: what a verdict rests on must not depend on that."""
    monkeypatch.setattr(decode, "READ_ON_BYTES_MAX", 100 * (len(NO_EVENT) + decode.RECORD_BYTES))
    monkeypatch.setattr(decode, "_REFUSED_BYTES_MAX", len(NO_EVENT) + decode.RECORD_BYTES)
    batch = batch_of(MemoryReader(TOPIC, [viewed(0), *[NO_EVENT] * refused, viewed(2)]), records_max)
    for _ in range(2):
        assert len(batch.more()) == (2 if refused <= 100 else 1)
    assert batch.read == (102 if refused <= 100 else 1 + 101)
    assert batch.due() == 1
    batch.give_back()
    assert batch.read == records_max


def test_reading_on_through_years_of_heartbeats_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "HEARTBEATS_MAX", 100)
    beats = [event(f"h{number}", HEARTBEAT_ACCOUNT, at(0, number), HEARTBEAT_TYPE) for number in range(1000)]
    batch = batch_of(MemoryReader(TOPIC, [viewed(0), NO_EVENT, *beats, NO_EVENT, viewed(2)]), 1)
    assert len(batch.more()) == 2
    assert batch.heartbeats_forgotten + len(batch.heartbeats) == 1000
    assert batch.heartbeats_forgotten >= 900 - 2 * decode._READ_ON
    assert batch.heartbeats[-1] == (1001, time_us(at(0, 999)))
    held = sum(len(part.values) for part in batch._parts)
    assert held < 100 + 4 * decode._READ_ON, "they are held in memory"
    assert [batch.dead_letter(position, why, 0).offset for position, why in batch.refusals] == [1, 1002]


def test_what_was_read_on_for_is_given_back() -> None:
    """Whole reads of it: with what they hold besides events, at the position where they began."""
    many = [viewed(number) for number in range(3, 70)]
    reader = ReturningReader(MemoryReader(TOPIC, [viewed(0), NO_EVENT, viewed(2), *many, NO_EVENT, viewed(71)]))
    encoder = EventEncoder(PRODUCT, KnownAccounts(1), (), {})
    batch = DecodedBatch(reader, DECODER, encoder, RunContext(), 3)
    for _ in range(3):
        batch.more()
    assert (len(batch.events), batch.due(), reader.at_end) == (70, 2, True)
    batch.give_back()
    assert (batch.read, len(batch.events), [place for place, _ in batch.refusals]) == (3, 2, [1])
    assert (reader.position(), reader.at_end) == ((3,), False)
    second = DecodedBatch(reader, DECODER, encoder, RunContext(), 100)
    assert second.events.event.tolist() == ids(*(f"e{number}" for number in [*range(3, 70), 71]))
    assert (second.dead_letter(67, second.refusals[0][1], 0).offset, second.offset_of(67)) == (70, 71)
    assert (reader.position(), reader.at_end) == ((72,), True)
    second.give_back()
    assert reader.at_end, "there was nothing to give back"


def test_heartbeats_that_are_forgotten_are_not_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "HEARTBEATS_MAX", 300)
    beats = [event(f"h{number}", HEARTBEAT_ACCOUNT, at(0, number), HEARTBEAT_TYPE) for number in range(200)]
    reader = ReturningReader(MemoryReader(TOPIC, [viewed(0), *beats, viewed(2), *beats, viewed(4)]))
    batch = batch_of(reader, 1)
    batch.more()
    batch.more()
    assert (len(batch.events), batch.due()) == (3, 2)
    batch.give_back()
    batches = [batch]
    while not reader.at_end:
        batches.append(batch_of(reader, 1))
    assert sum(len(each.events) for each in batches) == 3
    assert sum(each.read for each in batches) == 403
    assert sum(len(each.heartbeats) + each.heartbeats_forgotten for each in batches) == 400


def test_reading_on_can_be_stopped() -> None:
    run = RunContext()
    batch = batch_of(MemoryReader(TOPIC, [viewed(0), viewed(1)]), 1, run)
    run.shutdown.request()
    assert len(batch.more()) == 1


def test_reading_on_waits_while_there_is_nothing_yet() -> None:
    """An empty read is not the end: what a verdict rests on must not depend on a broker's pace."""
    reader = MemoryReader(TOPIC, [viewed(0), viewed(1)], pauses=[1])
    batch = batch_of(reader, 1)
    assert len(batch.more()) == 2


def test_reading_on_while_a_broker_is_silent_keeps_nothing_and_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    reader = MemoryReader(TOPIC, [viewed(0)])
    batch = batch_of(reader, 1)
    reader.told_end_after(100)
    assert len(batch.more()) == 1
    assert len(slept) == 99
    assert min(slept) > 0
    assert len(batch._parts) <= 2
    batch.give_back()
    assert reader.position() == (1,)


@given(
    st.lists(st.sampled_from(["event", "rubbish", "absurd"]), max_size=30),
    st.lists(st.integers(0, 50), min_size=30, max_size=30),
    st.integers(0, 2**32),
)
def test_the_clock_of_a_refusal_does_not_depend_on_the_batches(kinds: list[str], hours: list[int], seed: int) -> None:
    """In a replay a dead letter's time is the greatest event time accepted before it."""
    absurd_us = time_us(at(900))
    values = [
        NO_EVENT if kind == "rubbish" else viewed(i, 900 * 24 if kind == "absurd" else hours[i] + 1)
        for i, kind in enumerate(kinds)
    ]
    expected, high_us = {}, NO_TIME
    for i, kind in enumerate(kinds):
        if kind == "event":
            high_us = max(high_us, time_us(at(0, hours[i] + 1)))
        else:
            expected[i] = high_us

    reader, draw, found, high_us = MemoryReader(TOPIC, values), Random(seed), dict[int, int](), NO_TIME
    while reader.lag():
        start = reader.position()[0]
        batch = batch_of(reader, draw.randint(1, 6))
        times = batch.times()
        batch.refuse([(i, Refused("absurd")) for i in np.flatnonzero(times == absurd_us).tolist()])
        remaining = times[times != absurd_us]
        clocks = batch.clocks(np.maximum.accumulate(np.concatenate([[high_us], remaining])))
        found |= {start + position: clock for (position, _), clock in zip(batch.refusals, clocks, strict=True)}
        high_us = max([high_us, *remaining.tolist()])
    assert found == expected
