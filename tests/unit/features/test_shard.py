"""The account shard, case by case: silence, cancellation, reactivation, lateness, and scores between ticks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from c360_stream.contracts.events import time_us
from c360_stream.features.definitions import INDEX
from c360_stream.features.emissions import Emission, IntradayRows, TickRows
from c360_stream.features.shard import AccountShard, ShardTally
from c360_stream.features.subscriptions import EVENTS_MAX
from c360_stream.state.codec import pack, unpack
from tests.unit.features.deliveries import HORIZON_DAYS, Emitted, Event, Partition, shard_config
from tests.unit.features.events import FIRST_DAY, at, event

PLAN: dict[str, Any] = {"plan": "team", "mrr_cents": 9_900, "seats": 5}


@dataclass
class OneShard:
    """A shard that listens to one partition of product and one of billing."""

    emitted: Emitted = field(default_factory=Emitted)
    moved: list[IntradayRows] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shard = AccountShard(0, shard_config(["p", "b"]))
        self.product = Partition("product", "p", 1)
        self.billing = Partition("billing", "b", 1)

    def feed(self, partition: Partition, *events: Event, ended: bool = False) -> list[Emission]:
        out = self.shard.receive(partition.say(events, ended=ended))
        for emission in out:
            self.emitted.take(emission)
            if isinstance(emission, IntradayRows):
                self.moved.append(emission)
        return out

    def until(self, day: float) -> list[Emission]:
        """Time passes through another account, in both partitions."""
        one = event(f"p{day}", "clock", at(day, 1), "search_run")
        two = event(f"b{day}", "clock", at(day, 1), "invoice_paid", amount_cents=1)
        return self.feed(self.product, one) + self.feed(self.billing, two)

    def ticks_of(self, account: str) -> list[int]:
        return [day - FIRST_DAY for name, day in self.emitted.rows if name == account]

    def feature(self, name: str, account: str, day: int) -> float:
        return float(np.frombuffer(self.emitted.rows[account, FIRST_DAY + day])[INDEX[name]])


def test_an_account_that_goes_quiet_keeps_its_ticks() -> None:
    """Silence is a signal: its usage falls to zero in front of everybody."""
    one = OneShard()
    one.feed(one.product, event("e", "acme", at(0, 6), "task_created", user_id="u"))
    one.until(0)
    one.until(40)
    assert one.ticks_of("acme") == list(range(1, 41))
    assert one.feature("avg_dau_7d", "acme", 7) > one.feature("avg_dau_7d", "acme", 8) == 0.0
    assert [one.feature("active_days_30d", "acme", day) for day in (30, 31)] == [1.0, 0.0]
    assert one.feature("days_since_last_activity", "acme", 40) == 39.75


def test_a_partition_that_falls_silent_holds_the_ticks_of_all() -> None:
    one = OneShard()
    one.until(0)
    one.feed(one.product, event("e", "acme", at(20), "search_run"))
    assert one.ticks_of("clock") == []
    one.feed(one.billing, event("i", "acme", at(3, 1), "invoice_paid", amount_cents=1))
    assert one.ticks_of("clock") == [1, 2, 3]


def test_no_tick_before_the_lateness_is_over() -> None:
    one = OneShard()
    one.until(0)
    for partition in (one.product, one.billing):
        kind = (
            {"event_type": "search_run"}
            if partition is one.product
            else {"event_type": "invoice_paid", "amount_cents": 1}
        )
        one.feed(partition, event("x", "clock", at(1, 0.999), **kind))
    assert one.ticks_of("clock") == []
    one.until(1)
    assert one.ticks_of("clock") == [1]


def test_cancelled_gone_and_back() -> None:
    """From its first event until a cancellation, and again from a later start; labels follow."""
    one = OneShard()
    one.feed(one.billing, event("s", "acme", at(0, 1), "subscription_started", **PLAN))
    one.until(2)
    one.feed(one.billing, event("c", "acme", at(3, 12), "subscription_cancelled"))
    one.until(6)
    one.feed(one.billing, event("s2", "acme", at(6, 12), "subscription_started", **PLAN))
    one.until(14)
    assert one.ticks_of("acme") == [1, 2, 3, 7, 8, 9, 10, 11, 12, 13, 14]
    assert one.emitted.gone == {("acme", FIRST_DAY + 4)}
    assert one.emitted.late_days == {FIRST_DAY + 4: [0]}
    labels = {as_of - FIRST_DAY: label.churned for (name, as_of), label in one.emitted.labels.items() if name == "acme"}
    assert labels == {1: True, 2: True, 3: True} | dict.fromkeys(range(7, 11), False)
    assert one.shard.ledger.pending > 0, "the as-ofs whose horizon has not passed are censored"


def test_a_cancellation_at_midnight_ends_with_the_tick_of_that_midnight() -> None:
    """Only events before the as-of count: the account is still active at it, and churns by its label."""
    one = OneShard()
    one.feed(one.billing, event("s", "acme", at(0), "subscription_started", **PLAN))
    one.feed(one.billing, event("c", "acme", at(2), "subscription_cancelled"))
    one.until(4)
    assert one.ticks_of("acme") == [1, 2]
    assert one.emitted.labels["acme", FIRST_DAY + 2] == (True, FIRST_DAY + 3)


def test_a_very_late_cancellation_corrects_the_outcome() -> None:
    one = OneShard()
    one.feed(one.billing, event("s", "acme", at(0), "subscription_started", **PLAN))
    one.until(6)
    assert one.emitted.labels["acme", FIRST_DAY + 1].churned is False
    one.feed(one.billing, event("c", "acme", at(3), "subscription_cancelled"))
    one.until(7)
    assert one.emitted.labels["acme", FIRST_DAY + 1] == (True, FIRST_DAY + 7)
    assert one.shard.tally.late == 1
    assert one.ticks_of("acme") == [1, 2, 3, 4, 5, 6], "ticks already emitted stay"


def test_a_late_event_counts_in_the_as_ofs_to_come() -> None:
    one = OneShard()
    one.until(0)
    one.until(5)
    one.feed(one.product, event("late", "clock", at(2), "invite_sent"))
    one.until(7)
    assert [one.feature("invites_sent_30d", "clock", day) for day in (5, 6, 7)] == [0.0, 1.0, 1.0]


def test_late_events_are_counted_and_those_that_came_after_the_tick_of_their_day() -> None:
    """On time, late and still of the day in progress, and of a day whose tick is over."""
    one = OneShard()
    one.until(5.5)
    one.shard.tally = ShardTally()
    for number, day in enumerate((5.55, 5.52, 5.49, 5.0, 4.999, 2)):
        one.feed(one.product, event(f"e{number}", "clock", at(day), "search_run"))
    assert (one.shard.tally.late, one.shard.tally.after_tick) == (4, 2)
    one.until(6)
    assert one.feature("active_days_30d", "clock", 6) == 3.0


def test_a_storm_of_subscription_events_in_reverse_changes_no_tick() -> None:
    """A price that rose right after the start, then hundreds of changes of seats, within minutes."""
    start = event("start", "acme", at(1, 2), "subscription_started", **PLAN)
    price = event("price", "acme", at(1, 2 + 1 / 3600), "subscription_changed", mrr_cents=19_900)
    seats = [
        event(f"seats-{number}", "acme", at(1, 2 + (2 + number) / 3600), "subscription_changed", seats=number)
        for number in range(300)
    ]
    found = []
    for batches in (
        [[start, price, *seats]],
        [[*seats[::-1], price, start]],
        [[each] for each in (*seats, price, start)],
    ):
        one = OneShard()
        one.until(0)
        for batch in batches:
            one.feed(one.billing, *batch)
        one.until(2)
        assert one.feature("mrr_cents", "acme", 2) == 19_900
        found.append(one.emitted.comparable())
    assert found[0] == found[1] == found[2]


def test_a_subscription_event_that_cannot_be_placed_any_more_is_counted() -> None:
    one = OneShard()
    one.until(0)
    one.until(1)
    later = [
        event(f"{number}", "acme", at(1, 2 + number / 36_000), "subscription_changed", seats=number)
        for number in range(EVENTS_MAX + 1)
    ]
    one.feed(one.billing, *later)
    assert one.shard.tally.misplaced == 0
    one.feed(one.billing, event("late", "acme", at(1, 1), "subscription_changed", mrr_cents=5))
    assert one.shard.tally.misplaced == 1
    one.until(2)
    assert one.feature("mrr_cents", "acme", 2) == 5


def test_an_account_can_appear_late() -> None:
    one = OneShard()
    one.until(5)
    one.feed(one.product, event("late", "acme", at(2), "search_run"))
    one.until(6)
    assert one.ticks_of("acme") == [6]
    assert one.feature("account_age_days", "acme", 6) == 4.0


def test_moved_accounts_are_told_between_ticks_once_an_interval() -> None:
    one = OneShard()
    one.until(0)
    one.until(1)
    one.moved.clear()
    for second in (0, 30, 59, 61):
        one.feed(one.product, event(f"m{second}", "acme", at(1, 2 + second / 3600), "search_run"))
    after_ms = [(int(rows.as_of_us[0]) - time_us(at(1, 2))) / 1000 for rows in one.moved]
    assert after_ms == [1, 61_001], "just after the event that it counts"
    (age,) = one.moved[1].features[:, INDEX["account_age_days"]] * 86_400
    assert abs(age - 61.001) < 1e-6


def test_the_interval_between_scores_outlives_a_restart() -> None:
    one = OneShard()
    one.until(0)
    one.until(1)
    one.feed(one.product, event("m0", "acme", at(1, 2), "search_run"))
    one.moved.clear()
    one.feed(one.product, event("m1", "acme", at(1, 2 + 50 / 3600), "search_run"))
    state = pack("accounts", one.shard.state())
    one.shard = AccountShard(0, one.shard.config)
    one.shard.restore(unpack("accounts", state))
    one.feed(one.product, event("m2", "acme", at(1, 2 + 65 / 3600), "search_run"))
    one.feed(one.product, event("m3", "acme", at(1, 2 + 70 / 3600), "search_run"))
    assert [int(rows.as_of_us[0]) - time_us(at(1, 2)) for rows in one.moved] == [65_001_000]


def test_a_cancelled_account_is_not_scored_between_ticks() -> None:
    one = OneShard()
    one.until(0)
    one.until(1)
    one.moved.clear()
    one.feed(one.billing, event("c", "clock", at(1, 2), "subscription_cancelled"))
    assert one.moved == []


def test_repeats_are_counted_and_count_once() -> None:
    one = OneShard()
    invite = event("i", "clock", at(0, 23), "invite_sent")
    one.feed(one.product, invite, invite)
    one.until(0)
    one.feed(one.product, event("x", "clock", at(1, 22), "search_run"), invite)
    one.until(2)
    assert one.shard.tally.duplicates == 2
    assert one.feature("invites_sent_30d", "clock", 2) == 1.0


def test_the_same_id_in_another_topic_or_account_is_another_event() -> None:
    one = OneShard()
    one.feed(one.product, event("i", "clock", at(0), "search_run"), event("i", "acme", at(0), "search_run"))
    one.feed(one.billing, event("i", "clock", at(0), "invoice_payment_failed", amount_cents=1))
    one.until(1)
    assert one.shard.tally.duplicates == 0
    assert one.feature("payment_failures_30d", "clock", 1) == 1.0


def test_the_latest_nps_answer_counts_whatever_came_last() -> None:
    shard = AccountShard(0, shard_config(["s"]))
    support = Partition("support", "s", 1)
    answers = [("b", at(1), 7), ("a", at(1), 3), ("c", at(0), 9)]
    events = [event(name, "acme", when, "nps_submitted", score=score) for name, when, score in answers]
    last = event("z", "acme", at(2), "success_contacted")
    ticks = [each for each in shard.receive(support.say([*events, last], ended=True)) if isinstance(each, TickRows)]
    assert [tick.features[:, INDEX["nps_score"]].tolist() for tick in ticks if len(tick.account)] == [[9.0], [7.0]]


def test_examples_come_one_stride_apart_and_accounts_spread_over_it() -> None:
    one = OneShard()
    accounts = [f"a{i}" for i in range(40)]
    one.feed(one.product, *(event(name, name, at(0), "search_run") for name in accounts))
    one.until(0)
    one.until(12)
    days = {name: {as_of for account, as_of in one.emitted.of_kind("matured") if account == name} for name in accounts}
    assert {day % 2 for found in days.values() for day in found} == {0, 1}
    for found in days.values():
        assert max(np.diff(sorted(found))) == 2
        assert max(found) <= FIRST_DAY + 12 - HORIZON_DAYS
