"""The invariants of the account shards: order, silence, labels and resuming, over every delivery there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360_stream.contracts.events import EPOCH
from c360_stream.contracts.kinds import InputKind
from c360_stream.features.columns import ShardBatch
from c360_stream.features.definitions import FEATURES
from c360_stream.features.emissions import Emission
from c360_stream.features.shard import AccountShard
from c360_stream.labels.ledger import HAZARD_DAYS_MAX
from c360_stream.state.codec import pack, unpack
from tests.reference.oracle import Truth, truth_of
from tests.unit.features.deliveries import (
    HORIZON_DAYS,
    Delivery,
    Emitted,
    Event,
    deliver,
    plain,
    shard_config,
)
from tests.unit.features.events import event_sets

EventSet = Mapping[InputKind, list[Event]]

deliveries = st.builds(
    Delivery,
    seed=st.integers(0, 2**32),
    partitions=st.integers(1, 3),
    batch_events=st.sampled_from([1, 3, 100]),
    reorder=st.sampled_from([0.0, 1.0]),
    duplicates=st.sampled_from([0.0, 1.0]),
    shards=st.sampled_from([1, 2, 3]),
    aligned=st.booleans(),
)


def day_of(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(days=1)


def truth(events: EventSet) -> Truth:
    return truth_of({str(topic): found for topic, found in events.items()}, HORIZON_DAYS)


@settings(deadline=None, max_examples=30)
@given(event_sets(), deliveries)
def test_order_batches_partitions_shards_and_duplicates_do_not_matter(events: EventSet, delivery: Delivery) -> None:
    """Invariant 1: what shards say is a function of the set of events, to the last bit."""
    in_order, _ = deliver(events, Delivery())
    otherwise, shards = deliver(events, delivery)
    assert otherwise.comparable() == in_order.comparable()
    late = sum(shard.tally.late for shard in shards)
    assert delivery.duplicates or late == 0, "these deliveries stay within the allowed lateness"


@settings(deadline=None, max_examples=30)
@given(event_sets(), deliveries)
def test_features_are_those_of_the_definitions(events: EventSet, delivery: Delivery) -> None:
    emitted, _ = deliver(events, delivery)
    expected = {(account, day_of(as_of)): row for (account, as_of), row in truth(events).features.items()}
    assert emitted.rows.keys() == expected.keys()
    for key, packed in emitted.rows.items():
        due = [np.nan if expected[key][name] is None else expected[key][name] for name in FEATURES]
        np.testing.assert_allclose(np.frombuffer(packed), np.array(due, float), rtol=1e-9, atol=1e-9, err_msg=str(key))


@settings(deadline=None, max_examples=30)
@given(event_sets(), deliveries)
def test_labels_are_those_of_the_definition_and_known_when_they_can_be(events: EventSet, delivery: Delivery) -> None:
    emitted, _ = deliver(events, delivery)
    found = {key: (label.churned, label.known_on) for key, label in emitted.labels.items()}
    assert found == {
        (account, day_of(as_of)): (outcome.churned, day_of(outcome.known_at))
        for (account, as_of), outcome in truth(events).outcomes.items()
    }


@settings(deadline=None, max_examples=30)
@given(event_sets(), deliveries)
def test_examples_are_learnt_a_horizon_later_with_the_features_of_their_as_of(
    events: EventSet, delivery: Delivery
) -> None:
    """Invariant 4: test, then train."""
    emitted, _ = deliver(events, delivery)
    matured = emitted.of_kind("matured")
    for (account, as_of), (features, churned, learnt_on) in matured.items():
        assert learnt_on == as_of + HORIZON_DAYS
        assert features == emitted.rows[account, as_of], "the stored ones, not recomputed"
        label = emitted.labels[account, as_of]
        assert (churned, label.known_on <= learnt_on) == (label.churned, True)
    phases: dict[str, set[int]] = {}
    for account, as_of in matured:
        phases.setdefault(account, set()).add(as_of % 2)
    assert all(len(days) == 1 for days in phases.values()), "each account on its own days, one stride apart"
    last = day_of(truth(events).watermark)
    settled = {key for key in emitted.rows if key[1] + HORIZON_DAYS <= last and key[1] % 2 in phases.get(key[0], ())}
    assert settled == matured.keys(), "none is forgotten"


@settings(deadline=None, max_examples=30)
@given(event_sets(), deliveries)
def test_examples_are_emitted_week_old_and_churned_with_the_features_of_their_as_of(
    events: EventSet, delivery: Delivery
) -> None:
    """Schemes that do not wait for the horizon see what is known by the tick, and no more."""
    emitted, _ = deliver(events, delivery)
    opened, hazard_days = emitted.of_kind("opened"), min(HAZARD_DAYS_MAX, HORIZON_DAYS)
    for (account, as_of), (features, _, tick) in opened.items():
        assert (tick, features) == (as_of, emitted.rows[account, as_of])
    for kind in ("week_old", "churned_before_horizon", "matured"):
        for key, (features, _, _) in emitted.of_kind(kind).items():
            assert features == opened[key][0], kind
    for (_, as_of), (_, _, tick) in emitted.of_kind("week_old").items():
        assert tick == as_of + hazard_days
    last = day_of(truth(events).watermark)
    assert emitted.of_kind("week_old").keys() == {key for key in opened if key[1] + hazard_days <= last}
    churned = {key for key, label in emitted.labels.items() if label.churned and key in opened}
    assert emitted.of_kind("churned_before_horizon").keys() == churned
    for key, (_, _, tick) in emitted.of_kind("churned_before_horizon").items():
        assert tick == emitted.labels[key].known_on
    assert not emitted.of_kind("corrected"), "nothing is late here"


@settings(deadline=None, max_examples=60)
@given(event_sets(), deliveries)
def test_treated_is_who_was_contacted_before_it_cancelled(events: EventSet, delivery: Delivery) -> None:
    """In the horizon, by the tick that tells the example, and known no sooner."""
    emitted, _ = deliver(events, delivery)

    def moments(topic: InputKind, event_type: str, account: str, days: range) -> list[tuple[datetime, str]]:
        found = ((datetime.fromisoformat(one["occurred_at"]), one) for one in events[topic])
        return sorted(
            (when, one["event_id"])
            for when, one in found
            if (one["event_type"], one["account_id"]) == (event_type, account) and day_of(when) in days
        )

    for (kind, account, as_of), treated in emitted.treated.items():
        tick = emitted.examples[kind, account, as_of][2]
        known = range(as_of, min(tick, as_of + HORIZON_DAYS))
        contacts = moments("support", "success_contacted", account, known)
        ends = moments("billing", "subscription_cancelled", account, known)
        assert treated == bool(contacts and (not ends or contacts[0] < ends[0])), kind
        if kind == "matured" and emitted.groups[account, as_of]:
            assert day_of(contacts[0][0]) < as_of + 2, "before the next example"
            assert treated
    assert emitted.groups.keys() == emitted.of_kind("matured").keys()


@settings(deadline=None, max_examples=30)
@given(event_sets(), deliveries, st.data())
def test_a_resumed_shard_goes_on_identically(events: EventSet, delivery: Delivery, data: st.DataObject) -> None:
    """Invariant 5: a crash anywhere leaves no trace, not even in what is emitted between ticks."""
    delivery = replace(delivery, shards=1)
    config = shard_config(delivery.names())
    messages = [message[0] for message in delivery.messages(events)]
    everywhere = set(range(len(messages)))
    cuts = data.draw(st.just(everywhere) | st.sets(st.sampled_from(sorted(everywhere)), max_size=3))
    whole, resumed = AccountShard(0, config), AccountShard(0, config)
    for position, batch in enumerate(messages):
        if position in cuts:
            resumed = _resume(resumed, [each for each in messages[:position] if each.ended])
        assert _bytes(resumed.receive([batch])) == _bytes(whole.receive([batch]))


def _resume(shard: AccountShard, ended: list[ShardBatch]) -> AccountShard:
    """Take up the shard's state as the engine would; sources that had ended say so again, and nothing follows."""
    successor = AccountShard(shard.number, shard.config)
    successor.restore(unpack("accounts", pack("accounts", shard.state())))
    assert successor.receive(ended) == []
    return successor


def _bytes(emissions: list[Emission]) -> bytes:
    return pack("emissions", [plain(emission) for emission in emissions])


@settings(deadline=None, max_examples=30)
@given(event_sets(events_max=25), deliveries, st.integers(1, 4))
def test_time_moves_through_others(events: EventSet, delivery: Delivery, silent_days: int) -> None:
    """Invariant 2: accounts that say nothing more get their ticks while any other goes on."""
    last = truth(events).watermark + timedelta(days=silent_days)
    heartbeat: dict[str, Any] = {"event_id": "beat", "account_id": "other", "event_type": "search_run"}
    longer = {**events, "product": [*events["product"], heartbeat | {"occurred_at": last.isoformat()}]}
    before, after = deliver(events, delivery)[0], deliver(longer, delivery)[0]
    assert {key: row for key, row in after.rows.items() if key in before.rows} == before.rows
    active = {account for account, as_of in truth(longer).features if as_of == _midnight_of(last)}
    for account in active - {"other"}:
        assert (account, day_of(last)) in after.rows


def _midnight_of(moment: datetime) -> datetime:
    return EPOCH + timedelta(days=day_of(moment))


@settings(deadline=None, max_examples=30)
@given(event_sets(), deliveries, st.data())
def test_nothing_is_emitted_for_days_that_a_partition_still_holds(
    events: EventSet, delivery: Delivery, data: st.DataObject
) -> None:
    """The watermark is the least over all partitions: one that has sent nothing yet holds it."""
    mute = data.draw(st.sampled_from(delivery.names()))
    config = shard_config(delivery.names())
    shards = [AccountShard(number, config) for number in range(delivery.shards)]
    emitted = Emitted()
    for message in delivery.messages(events):
        if message[0].partition == mute:
            continue
        for shard, batch in zip(shards, message, strict=True):
            for emission in shard.receive([batch]):
                emitted.take(emission)
    assert emitted.comparable() == Emitted().comparable()


def test_the_strategy_meets_what_it_is_for() -> None:
    """Most of the properties above would be idle without cancellations, examples and moved accounts."""
    seen: set[str] = set()

    @settings(deadline=None, max_examples=80, derandomize=True, database=None)
    @given(event_sets(), deliveries)
    def look(events: EventSet, delivery: Delivery) -> None:
        emitted, shards = deliver(events, delivery, lambda emission: seen.add(type(emission).__name__))
        seen.update(["duplicate"] if any(shard.tally.duplicates for shard in shards) else [])
        seen.update(["gone"] if emitted.gone else [])
        seen.update(f"treated {kind}" for (kind, _, _), treated in emitted.treated.items() if treated)
        seen.update(f"group {group}" for group in emitted.groups.values())
        seen.update(f"example {churned}" for _, churned, _ in emitted.of_kind("matured").values())
        if emitted.gone and max(day for _, day in emitted.gone) < max((day for a, day in emitted.rows), default=0):
            seen.add("after a cancellation")

    look()
    due = {"TickRows", "TickExamples", "HourCounts", "IntradayRows", "duplicate", "gone", "after a cancellation"}
    groups = {"group ", "group check_in", "group unnamed", "group None"}
    assert seen >= due | groups | {"example True", "example False", "treated matured", "treated churned_before_horizon"}
    assert "treated opened" not in seen


@pytest.mark.parametrize("shards", [1, 3])
def test_an_empty_input_ends_without_a_tick(shards: int) -> None:
    emitted, _ = deliver({}, Delivery(partitions=2, shards=shards))
    assert emitted.comparable() == Emitted().comparable()
