"""The benchmarks' sample: the flaws that its counts name, otherwise valid and in order, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import pytest

from c360_stream.contracts.events import Decoder, Event, ProductEvent
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.tools.bench.flaws import LATE_MS_MAX
from c360_stream.tools.bench.sample import NEXT_TO_NOTHING, Counts, Sample, SampleSpec

SPEC = SampleSpec(accounts=300, product_events=20_000, days=2, partitions=3)


def accepted(kind: InputKind, by_partition: list[list[bytes]]) -> list[list[Event]]:
    decoder = Decoder(kind)
    return [[event for block in decoder.decode_blocks(lines) for event in block.events] for lines in by_partition]


@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_the_same_seed_gives_the_same_lines_and_another_one_others(kind: InputKind) -> None:
    drawn = Sample(SPEC).drawn(kind)
    assert drawn == Sample(SPEC).drawn(kind)
    assert drawn != Sample(SampleSpec(300, 20_000, days=2, partitions=3, seed=2)).drawn(kind)


@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_a_clean_sample_is_valid_and_in_order(kind: InputKind) -> None:
    spec = SampleSpec(accounts=30, product_events=600, days=2, partitions=3, clean=True)
    drawn = Sample(spec).drawn(kind)
    assert drawn.counts[2:] == (0, 0, 0)
    ids: set[str] = set()
    for events in accepted(kind, drawn.by_partition):
        times = [event.occurred_at for event in events]
        assert times == sorted(times)
        ids.update(event.event_id for event in events)
    assert len(ids) == drawn.counts.lines == sum(map(len, drawn.by_partition))


def test_late_duplicate_and_refused_lines_are_as_many_as_the_counts_say() -> None:
    drawn = Sample(SPEC).drawn("product")
    lines, size, late, duplicates, refused = drawn.counts
    events = accepted("product", drawn.by_partition)
    assert sum(map(len, events)) == drawn.counts.accepted == lines - refused
    assert size == sum(len(line) + 1 for part in drawn.by_partition for line in part)
    ids = Counter(event.event_id for part in events for event in part)
    assert ids.total() - len(ids) == duplicates
    assert (late / lines, duplicates / lines, refused / lines) == pytest.approx((0.05, 0.02, 0.01), rel=0.2)
    seconds = [(high - event.occurred_at).total_seconds() for part in events for high, event in with_high(part)]
    beyond = sum(behind > 3_600 for behind in seconds)
    assert beyond / lines == pytest.approx(0.01, rel=0.3)
    # A duplicate of a late event is an hour later at most.
    assert max(seconds) * 1_000 <= LATE_MS_MAX + 3_600_000


def with_high(events: list[Event]) -> list[tuple[datetime, Event]]:
    high, found = events[0].occurred_at, []
    for event in events:
        high = max(high, event.occurred_at)
        found.append((high, event))
    return found


def test_what_is_refused_is_so_for_several_reasons() -> None:
    decoder = Decoder("product")
    reasons = Counter(
        refusal.reason
        for lines in Sample(SPEC).lines("product")
        for block in decoder.decode_blocks(lines)
        for _, refusal in block.refused
    )
    assert len(reasons) == 5
    assert min(reasons.values()) > 20


def test_product_events_name_features_and_accounts_have_a_long_tail() -> None:
    [events] = accepted("product", Sample(SampleSpec(1_000, 20_000, days=1, partitions=1)).lines("product"))
    assert all(isinstance(event, ProductEvent) for event in events)
    named = sum(getattr(event, "feature", None) is not None for event in events)
    assert named / len(events) == pytest.approx(0.6, abs=0.05)
    largest = Counter(event.account_id for event in events).most_common(10)
    assert sum(count for _, count in largest) > len(events) / 4


def test_no_start_of_a_subscription_has_a_flaw() -> None:
    events = [event for part in accepted("billing", Sample(SPEC).lines("billing")) for event in part]
    starts = Counter(event.account_id for event in events if type(event).__name__ == "SubscriptionStarted")
    assert len(starts) == SPEC.accounts


@pytest.mark.parametrize("kind", INPUT_KINDS)
def test_days_of_a_sample_follow_each_other(kind: InputKind) -> None:
    spec = SampleSpec(accounts=30, product_events=600, days=3, partitions=2, clean=True)
    days = [
        [event for part in accepted(kind, Sample(spec).day_drawn(kind, n).by_partition) for event in part]
        for n in range(3)
    ]
    first = days[0][0].occurred_at.toordinal()
    assert [{event.occurred_at.toordinal() for event in day} for day in days] == [{first + n} for n in range(3)]
    ids = [event.event_id for day in days for event in day]
    assert len(set(ids)) == len(ids)


def test_next_to_nothing_has_every_partition() -> None:
    for kind in INPUT_KINDS:
        assert all(Sample(NEXT_TO_NOTHING).lines(kind))


def test_counts_add_up() -> None:
    assert Counts(1, 2, 3, 4, 5).plus(Counts(10, 10, 10, 10, 10)) == (11, 12, 13, 14, 15)
