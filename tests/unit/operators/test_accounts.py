"""The accounts step: the bound on waiting events, snapshots, and what it counts."""

from __future__ import annotations

import pytest

from c360_stream import metrics
from c360_stream.errors import StateError
from c360_stream.features.columns import Heartbeats, ShardBatch
from c360_stream.features.subscriptions import EVENTS_MAX
from c360_stream.operators.accounts import AccountsLogic, AccountsStep
from c360_stream.operators.run_context import RunContext
from c360_stream.state.backend import StateBackend
from tests.unit.features.deliveries import Partition, plain, shard_config
from tests.unit.features.events import at, event


def step(early_events_max: int = 1_000) -> AccountsStep:
    return AccountsStep(
        shard_config(["p", "b"], early_events_max=early_events_max),
        StateBackend(enabled=True, layout=("C360_SHARDS: 1",)),
        RunContext(),
    )


def heard(logic: AccountsLogic, batch: ShardBatch) -> list[object]:
    emissions, discard = logic.on_batch([batch])
    assert not discard
    return [plain(emission) for emission in emissions]


def test_too_many_waiting_events_stop_the_flow_with_a_way_out() -> None:
    """Memory is bounded; the message says what to do."""
    logic, product = step(early_events_max=3)(None), Partition("product", "p", 1)
    for number in range(3):
        heard(logic, *product.say([event(f"e{number}", "a", at(0), "x")]))
    with pytest.raises(StateError, match=r"shard 0: 4 events wait .* raise C360_EARLY_EVENTS_MAX"):
        heard(logic, *product.say([event("e9", "a", at(0), "x")]))


def test_events_that_wait_no_longer_do_not_count() -> None:
    logic, product, billing = step(3)(None), Partition("product", "p", 1), Partition("billing", "b", 1)
    for day in range(12):
        heard(logic, *product.say([event(f"e{day}", "a", at(day), "x")]))
        heard(logic, *billing.say([event(f"e{day}", "a", at(day), "subscription_cancelled")]))


def test_heartbeats_pass_behind_what_follows_from_the_events_ahead_of_them() -> None:
    logic, product, billing = step()(None), Partition("product", "p", 1), Partition("billing", "b", 1)
    beats = [Heartbeats(0, "p", (7,)), Heartbeats(0, "b", (8, 9))]
    assert logic.on_batch([beats[0]]) == ([beats[0]], False)
    first = [
        *product.say([event("e", "a", at(0), "x")]),
        *billing.say([event("s", "a", at(0), "subscription_cancelled")]),
    ]
    logic.on_batch([*first])
    out, _ = logic.on_batch(
        [*product.say([event("f", "a", at(3), "x")]), beats[0], *billing.say([], ended=True), beats[1]]
    )
    assert out[-2:] == beats
    assert [type(each).__name__ for each in out[:3]] == ["HourCounts", "TickRows", "TickExamples"]


def test_a_shard_that_knows_nothing_but_heartbeats_can_be_kept() -> None:
    logic = step()(None)
    logic.on_batch([Heartbeats(0, "p", (7,))])
    assert step()(logic.snapshot()).on_batch([Heartbeats(0, "p", (8,))])[0] == [Heartbeats(0, "p", (8,))]


def test_a_snapshot_takes_up_where_it_was() -> None:
    logic, product = step()(None), Partition("product", "p", 1)
    billing = Partition("billing", "b", 1)
    heard(logic, *product.say([event("e", "a", at(0), "x", user_id="u")]))
    resumed = step()(logic.snapshot())
    batches = [
        *billing.say([event("i", "a", at(0), "invoice_paid", amount_cents=1)]),
        *product.say([event("f", "b", at(3), "x")]),
        *billing.say([], ended=True),
    ]
    for batch in batches:
        assert str(heard(resumed, batch)) == str(heard(logic, batch))
    assert resumed.snapshot() == logic.snapshot()


def test_without_a_recovery_store_nothing_is_packed() -> None:
    logic = AccountsStep(shard_config(["p", "b"]), StateBackend(enabled=False, layout=()), RunContext())(None)
    heard(logic, *Partition("product", "p", 1).say([event("e", "a", at(0), "x")]))
    assert logic.snapshot() == b""


def test_a_damaged_snapshot_is_refused() -> None:
    logic = step()(None)
    heard(logic, *Partition("product", "p", 1).say([event("e", "a", at(0), "x")]))
    with pytest.raises(StateError, match="damaged"):
        step()(logic.snapshot()[:-1])


def test_a_snapshot_of_another_layout_is_refused() -> None:
    """With another number of shards the accounts would lie elsewhere."""
    logic = step()(None)
    heard(logic, *Partition("product", "p", 1).say([event("e", "a", at(0), "x")]))
    with pytest.raises(StateError, match="of step accounts is of layout"):
        AccountsStep(shard_config(["p", "b"]), StateBackend(enabled=True, layout=("C360_SHARDS: 2",)), RunContext())(
            logic.snapshot()
        )


def test_repeats_and_late_events_are_counted() -> None:
    names = ("c360_duplicate_events_total", "c360_late_events_total", "c360_late_events_after_tick_total")
    before = [metrics.total(name) for name in names]
    logic, product, billing = step()(None), Partition("product", "p", 1), Partition("billing", "b", 1)
    one = event("e", "a", at(5, 2), "x")
    heard(logic, *product.say([one, one]))
    heard(logic, *billing.say([event("i", "a", at(5, 2), "invoice_paid", amount_cents=1)]))
    heard(logic, *product.say([event("late", "a", at(4), "x")]))
    assert [metrics.total(name) - was for name, was in zip(names, before, strict=True)] == [1, 1, 1]


def test_subscription_events_without_a_place_are_counted() -> None:
    before = metrics.total("c360_subscription_events_misplaced_total")
    logic, billing = step()(None), Partition("billing", "b", 1)
    heard(logic, *Partition("product", "p", 1).say([event("e", "a", at(5, 2), "x")]))
    changes = [
        event(f"{n}", "a", at(5, 2 + n / 36_000), "subscription_changed", seats=n) for n in range(EVENTS_MAX + 1)
    ]
    heard(logic, *billing.say(changes))
    heard(logic, *billing.say([event("late", "a", at(5, 1), "subscription_changed", seats=1)]))
    assert metrics.total("c360_subscription_events_misplaced_total") - before == 1
