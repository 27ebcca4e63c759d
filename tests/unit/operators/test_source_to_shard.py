"""Sources and shards together: whatever the times of the events, each is applied, a repeat, or a dead letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.contracts.records import DeadLetter
from c360_stream.features.columns import EventColumns, ShardBatch
from c360_stream.features.emissions import TickRows
from c360_stream.features.encoding import KnownAccounts
from c360_stream.features.shard import AccountShard, ShardConfig
from c360_stream.operators.alignment import ReadAlignment
from c360_stream.operators.ingest_partition import IngestPartition
from c360_stream.operators.rows import DeadLetters
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.shared_intake import SharedIntake
from c360_stream.settings import Settings
from c360_stream.state.codec import pack, unpack
from tests.unit.features.deliveries import Event, shard_config
from tests.unit.features.events import at, event
from tests.unit.operators.readers import MemoryReader

SHARDS = 2
Timed = tuple[float, str]  # day, account
Partitions = Mapping[str, Sequence[Timed]]  # name of the partition, as "c360.product.events.v1/0"


def partition(number: int, topic: str = "product") -> str:
    return f"c360.{topic}.events.v1/{number}"


def events_of(name: str, timed: Sequence[Timed]) -> list[Event]:
    """Events that any topic could have, with ids of their own."""
    topic = name.split(".")[1]
    kind = {"product": "task_created", "support": "ticket_solved", "billing": "invoice_paid"}[topic]
    further: dict[str, dict[str, Any]] = {"support": {"ticket_id": "1"}, "billing": {"amount_cents": 1}}
    fields = further.get(topic, {})
    return [event(f"{name}-{i}", account, at(day), kind, **fields) for i, (day, account) in enumerate(timed)]


@dataclass
class Flow:
    """Partitions that are read to their end, and the shards that hear of it; resumed, if they grow, as the flow is."""

    names: Sequence[str]
    set_to: Mapping[str, Any] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    shards: list[AccountShard] = field(default_factory=list)
    seed: int = 1
    read: int = 0
    applied: int = 0
    repeats: int = 0
    letters: list[DeadLetter] = field(default_factory=list)
    ticks: set[tuple[int, str]] = field(default_factory=set)

    def run(self, log: Partitions) -> Flow:
        """Read what the log has beyond what was read before."""
        settings = Settings(shards=SHARDS, live=False, late_share_max=1.0, **self.set_to)
        config = shard_config(self.names)
        kept, self.shards = self.shards, [self._shard(number, config) for number in range(SHARDS)]
        for old, new in zip(kept, self.shards, strict=False):
            new.restore(unpack("s", pack("s", old.state())))
        open_ = {}
        for name in self.names:
            topic = name.split("/")[0]
            reader = MemoryReader(topic, events_of(name, log.get(name, ())))
            (position,), *seen = self.sources.get(name, ((0,),))
            reader._next = position
            self.read -= position
            accounts = KnownAccounts(SHARDS)
            alignment = ReadAlignment((name,), 0)
            arguments: dict[str, Any] = {"accounts": accounts, "alone": len(self.names) == 1}
            open_[name] = IngestPartition(
                settings, reader, name, tuple(seen), SharedIntake(alignment, RunContext()), **arguments
            )
        draw = Random(self.seed)
        while open_:
            name = draw.choice(sorted(open_))
            try:
                items = list(open_[name].next_batch())
            except StopIteration:
                self.sources[name] = open_.pop(name).snapshot()
                self.read += self.sources[name][0][0]
                continue
            self.letters += [letter for item in items if isinstance(item, DeadLetters) for letter in item.letters]
            for _, message in (item for item in items if isinstance(item, tuple)):
                assert isinstance(message, ShardBatch)
                self._hear(message)
        return self

    def _shard(self, number: int, config: ShardConfig) -> AccountShard:
        shard = AccountShard(number, config)
        apply = shard.accounts.apply

        def counted(events: EventColumns, *further: Any) -> Any:
            self.applied += len(events)
            return apply(events, *further)

        shard.accounts.apply = counted  # type: ignore[assignment,method-assign]
        return shard

    def _hear(self, message: ShardBatch) -> None:
        shard = self.shards[message.shard]
        for emission in shard.receive([message]):
            if isinstance(emission, DeadLetter):
                self.letters.append(emission)
            elif isinstance(emission, TickRows):
                ids = [shard.accounts.ids[account] for account in emission.account.tolist()]
                self.ticks |= {(emission.day - 19_800, account) for account in ids}
        self.repeats += shard.tally.duplicates
        shard.tally.duplicates = 0

    def days(self) -> list[int]:
        """Days that have a tick with an account, counted from the first of the test's world."""
        return sorted({day for day, _ in self.ticks})

    def places(self) -> list[tuple[str, int]]:
        """Partition and offset of every dead letter, in order."""
        return sorted((f"{letter.topic}/{letter.partition}", letter.offset) for letter in self.letters)

    def accounted(self) -> int:
        """Events that were applied, or came again, or became dead letters."""
        assert [len(shard.early) for shard in self.shards] == [0] * SHARDS, "nothing waits for what never comes"
        return self.applied + self.repeats + len(self.letters)


def steady(first: float, last: float, spacing: float = 0.05, accounts: int = 20) -> list[Timed]:
    """Events of accounts in turn."""
    return [(first + i * spacing, f"a{i % accounts}") for i in range(round((last - first) / spacing))]


A, B, C = partition(0), partition(0, "billing"), partition(0, "support")


@pytest.mark.parametrize("ahead", [5.0, 30.0, 100.0, 300.0, 500.0])
@pytest.mark.parametrize("names", [[A], [A, B]])
def test_a_leap_before_a_long_history_is_lost_in_no_case(ahead: float, names: list[str]) -> None:
    """What follows is late in any case, and says nothing for the leap or against it."""
    history = [(5 + i / 100, "late") for i in range(1_100)]
    flow = Flow(names).run({A: [*steady(0, 60), (60 + ahead, "far"), *history], B: steady(0, 60, 1)})
    assert flow.accounted() == flow.read
    assert max(flow.days()) == (65 if ahead == 5 else 59)
    assert len(flow.letters) == (ahead != 5)


def test_a_leap_that_the_setting_allows_is_lost_in_no_case() -> None:
    """It is not refused for what follows it, but at the end it may be too far ahead of all."""
    for far, last in {75.0: 75, 119.0: 69}.items():
        log = {A: [*steady(0, 60), (far, "far"), *steady(60, 70)], B: steady(0, 70, 1)}
        flow = Flow([A, B], {"jump_days_max": 60}).run(log)
        assert flow.accounted() == flow.read
        assert len(flow.letters) == (last == 69)
        assert max(flow.days()) == last


def test_a_wrong_clock_after_a_silence_is_lost_in_no_case() -> None:
    log = {A: [*steady(0, 20), (420.0, "far"), *steady(270, 280)], B: [*steady(0, 20, 1), *steady(270, 280, 1)]}
    flow = Flow([A, B]).run(log)
    assert flow.accounted() == flow.read
    assert len(flow.letters) <= 1
    assert max(flow.days()) == 279


def test_a_zero_in_a_small_partition_begins_nothing() -> None:
    """Too little follows it to say so; the other partitions know the time."""
    for behind in range(1, 4):
        zero = (-19_800.0, "nobody")
        flow = Flow([A, B, C]).run({A: steady(0, 9), B: [zero, *steady(3, 3 + behind, 1)], C: []})
        assert flow.accounted() == flow.read
        assert flow.days() == list(range(1, 9))
        assert flow.places() == [(B, 0)]


def test_a_zero_in_a_partition_that_begins_after_a_resume_is_refused() -> None:
    flow = Flow([A, B, C]).run({A: steady(0, 9)})
    log: Partitions = {A: steady(0, 12), B: [(-19_800.0, "nobody"), *steady(10, 12, 1)]}
    assert flow.run(log).accounted() == flow.read
    assert flow.places() == [(B, 0)]
    assert "nobody" not in {account for _, account in flow.ticks}


def test_a_sparse_partition_comes_in_many_batches() -> None:
    """Every event asks those behind it; they are read on for, and given back."""
    settings = Settings(shards=SHARDS, live=False, batch_events=10)
    reader = MemoryReader(A.split("/")[0], events_of(A, steady(0, 100, 0.1)))
    source = IngestPartition(
        settings, reader, A, (), SharedIntake(ReadAlignment((A,), 0), RunContext()), accounts=KnownAccounts(SHARDS)
    )
    positions = list[int]()
    while (position := source.snapshot()[0][0]) < len(reader.values):
        source.next_batch()
        positions.append(position)
    assert len(set(positions)) > 10
    assert max(after - before for before, after in pairwise(positions)) <= 2 * 64


@pytest.mark.parametrize("count", [1, 4, 40])
def test_the_last_events_of_one_account_do_not_drag_the_end(count: int) -> None:
    """Its clock is a year ahead, and it has the end of a partition for itself."""
    wrong = [(400 + i / 100, "wrong") for i in range(count)]
    flow = Flow([A, B]).run({A: [*steady(0, 30), *wrong], B: steady(0, 30)})
    assert flow.accounted() == flow.read
    assert max(flow.days()) == 29
    assert len(flow.letters) == count


def test_an_event_that_the_others_bear_out_counts_after_all() -> None:
    log = {A: [*steady(0, 30), (80.0, "quiet")], B: [*steady(0, 30), *steady(78, 82)]}
    flow = Flow([A, B]).run(log)
    assert flow.accounted() == flow.read
    assert flow.letters == []
    assert (81, "quiet") in flow.ticks


@pytest.mark.parametrize("ahead", [30.0, 400.0])
def test_a_log_that_grows_is_judged_as_if_it_had_not_ended_between(ahead: float) -> None:
    """Dates that were refused at each of its ends do not bear each other out at the last."""
    grown, log = Flow([A, B]), {A: list[Timed](), B: list[Timed]()}
    for run in range(6):
        for name in (A, B):
            log[name] += steady(run * 10, run * 10 + 10)
        log[A].append((run * 10 + 10 + ahead, f"a{run}"))
        grown.run(log)
    whole = Flow([A, B]).run(log)
    assert grown.accounted() == grown.read == whole.accounted() == whole.read
    assert grown.places() == whole.places()
    assert len(grown.letters) == 6
    assert grown.ticks == whole.ticks


@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_read_nothing_decides_nothing(seed: int) -> None:
    log = {A: [(200.0, "x"), *steady(10, 20)], B: steady(5, 20)}
    flow = Flow([A, B], {"batch_events": 1}, seed=seed).run({}).run({A: [], B: []}).run(log)
    assert flow.accounted() == flow.read
    assert flow.ticks == Flow([A, B]).run(log).ticks
    assert flow.days() == list(range(6, 20))


@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("ahead", [200.0, 8980.0])
def test_a_wrong_clock_at_the_start_takes_nothing_from_the_others(count: int, ahead: float) -> None:
    log = {A: [*((ahead + i / 1000, "x") for i in range(count)), *steady(0, 30)], B: steady(0, 30)}
    for names in ([A], [A, B]):
        flow = Flow(names).run(log)
        assert flow.accounted() == flow.read
        assert flow.days() == list(range(1, 30))
        assert len(flow.letters) == count


def test_the_end_does_not_depend_on_which_partition_ends_last() -> None:
    few = [(i / 20, f"a{i % 7}") for i in range(200)]
    log = {A: [*few, (80.0, "a7")], B: [*((i / 20, f"a{i % 7}") for i in range(2_000)), *[(400.0, "a0")] * 4]}
    flows = [Flow([A, B], seed=seed).run(log) for seed in range(6)]
    assert {(tuple(flow.places()), max(flow.days())) for flow in flows} == {((), 400)}


_steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.01, 0.04, 0.2, 0.9, 3.0, 44.0, 60.0, 200.0, 420.0, -0.5, -3.0, -50.0, -4_000.0]),
        st.booleans(),
        st.integers(0, 9),
    ),
    max_size=20,
)


@hypothesis_settings(deadline=None, max_examples=25)
@given(st.lists(_steps, min_size=1, max_size=3), st.sampled_from([1, 60]), st.sampled_from([1, 3, 4_096]), st.data())
def test_nothing_is_lost_whatever_the_times(
    parts: list[list[tuple[float, bool, int]]], jump_days: int, batch: int, data: st.DataObject
) -> None:
    log: dict[str, list[Timed]] = {}
    for number, steps in enumerate(parts):
        now, timed = 1_000.0, list[Timed]()
        for step, stays, account in steps:
            timed.append((min(max(now + step, -19_000.0), 27_000.0), f"a{account}"))
            now += step if stays and step > 0 else 0.02
        log[partition(0, INPUT_KINDS[number])] = timed
    flow = Flow(sorted(log), {"jump_days_max": jump_days, "batch_events": batch})
    ends = data.draw(st.lists(st.integers(0, 20), max_size=2))
    for end in sorted(ends):
        flow.run({name: timed[:end] for name, timed in log.items()})
        assert flow.accounted() == flow.read
    assert flow.run(log).accounted() == flow.read == sum(map(len, log.values()))
    if not ends:
        other = Flow(flow.names, {"jump_days_max": jump_days, "batch_events": 7}).run(log)
        assert (other.places(), other.ticks) == (flow.places(), flow.ticks)
