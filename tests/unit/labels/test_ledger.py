"""The label ledger: pending, then stayed or churned, corrected by a late cancellation, censored at the end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.labels.ledger import CORRECTION_DAYS, KnownLabels, LabelLedger
from c360_stream.state.codec import pack, unpack

HORIZON = 5
ACME, BOLT = 0, 1
Known = dict[tuple[int, int], bool]


class Ticks:
    """A ledger whose days are closed and opened as a shard does it."""

    def __init__(self) -> None:
        self.ledger = LabelLedger(HORIZON)
        self.known: Known = {}

    def until(self, first: int, last: int, *scored: int, example: bool = False) -> Known:
        """Run the ticks `first` to `last`, at which these accounts are scored; give what became known."""
        before = dict(self.known)
        rows = np.array(scored, np.int32)
        for day in range(first, last + 1):
            closed = self.ledger.close(day)
            known, matured = closed.known, closed.matured
            for account, as_of, churned in zip(
                known.account.tolist(), known.as_of_day.tolist(), known.churned.tolist(), strict=True
            ):
                self.known[account, as_of] = churned
            if matured is not None:
                assert matured.as_of_day == day - HORIZON
                for account, churned in zip(matured.account.tolist(), matured.churned.tolist(), strict=True):
                    assert self.known[account, matured.as_of_day] == churned
            self.ledger.open(day, rows)
            if example:
                self.ledger.store(day, rows, np.full((len(rows), 21), float(day)))
        return {key: churned for key, churned in self.known.items() if before.get(key) != churned}


def test_stayed_once_the_horizon_has_passed() -> None:
    ticks = Ticks()
    assert ticks.until(100, 104, ACME) == {}, "unknown until then"
    assert ticks.until(105, 106, ACME) == {(ACME, 100): False, (ACME, 101): False}


@pytest.mark.parametrize(
    ("time_us", "churned"),
    [
        (104 * US_PER_DAY - 1, range(100, 104)),
        (104 * US_PER_DAY, range(100, 105)),
        (104 * US_PER_DAY + 1, range(100, 105)),
        (105 * US_PER_DAY - 1, range(100, 105)),
    ],
    ids=["just before midnight", "at midnight", "just after", "at the end of the day"],
)
def test_churned_from_the_as_of_on_and_within_the_horizon(time_us: int, churned: range) -> None:
    """as-of <= occurred_at < as-of + horizon: the bounds of the definition, to the microsecond."""
    ticks = Ticks()
    last = time_us // US_PER_DAY
    ticks.until(98, last, ACME, BOLT)
    ticks.ledger.cancelled(ACME, time_us)
    known = {key: label for key, label in ticks.until(last + 1, last + 1, BOLT).items() if label}
    assert known == {(ACME, as_of): True for as_of in churned if as_of > last - HORIZON} | (
        {(ACME, 99): True} if last == 103 else {}
    )


def test_a_late_cancellation_corrects_what_was_taken_for_stayed() -> None:
    ticks = Ticks()
    ticks.until(100, 110, ACME)
    assert ticks.known[ACME, 100] is False
    ticks.ledger.cancelled(ACME, 103 * US_PER_DAY + 7)
    assert ticks.until(111, 111) == {(ACME, as_of): True for as_of in range(100, 104)} | {(ACME, 106): False}


def test_corrections_end_some_days_after_maturity() -> None:
    ticks = Ticks()
    last = 100 + HORIZON + CORRECTION_DAYS
    ticks.until(100, last, ACME)
    ticks.ledger.cancelled(ACME, 101 * US_PER_DAY)
    corrected = ticks.until(last + 1, last + 1, ACME)
    assert (ACME, 100) not in corrected, "its slot is about to be another day's"
    assert corrected[ACME, 101] is True


def test_a_reactivated_account_has_labels_of_its_own() -> None:
    """As-ofs between the cancellation and the new start have none; those after it are pending afresh."""
    ticks = Ticks()
    ticks.until(100, 102, ACME)
    ticks.ledger.cancelled(ACME, 102 * US_PER_DAY + 1)
    ticks.until(103, 105, BOLT)
    ticks.until(106, 112, ACME, BOLT)
    mine = {as_of: churned for (account, as_of), churned in ticks.known.items() if account == ACME}
    assert mine == {100: True, 101: True, 102: True, 106: False, 107: False}


def test_a_cancellation_is_late_by_the_whole_days_that_have_ended_since_its_own() -> None:
    ticks = Ticks()
    ticks.until(100, 103, ACME)
    for time_us in (103 * US_PER_DAY, 104 * US_PER_DAY - 1, 103 * US_PER_DAY - 1, 90 * US_PER_DAY + 5):
        ticks.ledger.cancelled(ACME, time_us)
    assert ticks.ledger.close(104).late_days == [0, 0, 1, 13]
    assert ticks.ledger.close(105).late_days == []


def test_two_cancellations_tell_a_label_once() -> None:
    ticks = Ticks()
    ticks.until(100, 102, ACME)
    for time_us in (101 * US_PER_DAY, 102 * US_PER_DAY):
        ticks.ledger.cancelled(ACME, time_us)
    known = ticks.ledger.close(103).known
    assert sorted(known.as_of_day.tolist()) == [100, 101, 102]


def test_examples_mature_with_the_features_that_were_stored() -> None:
    ticks = Ticks()
    ticks.until(100, 104, ACME, BOLT, example=True)
    ticks.ledger.cancelled(BOLT, 103 * US_PER_DAY)
    closed = ticks.ledger.close(105)
    known, matured = closed.known, closed.matured
    assert matured is not None
    assert (matured.as_of_day, matured.account.tolist(), matured.churned.tolist()) == (100, [0, 1], [False, True])
    assert (matured.features == 100.0).all()
    assert (BOLT, True) in set(zip(known.account.tolist(), known.churned.tolist(), strict=True))


def test_examples_are_censored_where_the_data_end() -> None:
    """They stay pending: never learnt from, and no outcome is emitted, until time goes on."""
    ticks = Ticks()
    ticks.until(100, 107, ACME, example=True)
    assert ticks.ledger.pending == HORIZON
    assert {as_of for _, as_of in ticks.known} == {100, 101, 102}
    ticks.until(108, 112, ACME)
    assert ticks.ledger.pending == 0


def test_accounts_that_join_later_have_no_earlier_labels() -> None:
    ticks = Ticks()
    ticks.until(100, 103, ACME)
    ticks.ledger.reserve(1000)
    ticks.until(104, 104, ACME, 999)
    ticks.ledger.cancelled(999, 104 * US_PER_DAY)
    assert {key for key, churned in ticks.until(105, 105).items() if churned} == {(999, 104)}


def test_goes_on_from_a_packed_state() -> None:
    whole, resumed = Ticks(), Ticks()
    for ticks in (whole, resumed):
        ticks.until(100, 104, ACME, BOLT, example=True)
        ticks.ledger.cancelled(BOLT, 103 * US_PER_DAY)
    state = unpack("accounts", pack("accounts", resumed.ledger.state()))
    resumed.ledger = LabelLedger(HORIZON)
    resumed.ledger.restore(state)
    for ticks in (whole, resumed):
        ticks.ledger.reserve(3)
        ticks.until(105, 120, ACME, 2)
    assert resumed.known == whole.known
    assert resumed.ledger.pending == whole.ledger.pending == 0


REACH = 9


def settled(*cancellations: tuple[int, int, int], keep: bool = False) -> dict[int, list[int]]:
    """Days to the cancellation of each example, by as-of; cancellations are (day it became known, account, day)."""
    ledger, found = LabelLedger(HORIZON, REACH), {}
    for day in range(100, 125):
        for known_on, account, cancelled in cancellations:
            if known_on == day - 1:
                ledger.cancelled(account, cancelled * US_PER_DAY + 5)
        closed = ledger.close(day)
        if closed.fully_observed is not None:
            assert closed.fully_observed.as_of_day == day - REACH
            found[day - REACH] = closed.fully_observed.cancelled_after.tolist()
        ledger.open(day, np.array([ACME, BOLT], np.int32))
        ledger.store(day, np.array([ACME, BOLT], np.int32), np.zeros((2, 21)))
        if keep:
            kept, ledger = unpack("s", pack("s", ledger.state())), LabelLedger(HORIZON, REACH)
            ledger.restore(kept)
    return found


def churned(labels: KnownLabels) -> set[tuple[int, int]]:
    """Account and as-of day of those who left."""
    chosen = labels.churned
    return set(zip(labels.account[chosen].tolist(), labels.as_of_day[chosen].tolist(), strict=True))


@given(st.lists(st.tuples(st.integers(100, 160), st.integers(0, 2), st.integers(-40, 0)), max_size=8))
def test_what_arrives_on_a_day_is_known_at_its_midnight(cancellations: list[tuple[int, int, int]]) -> None:
    """However late: at the end of a log nothing is emitted that the next tick would not emit."""
    ledger = LabelLedger(HORIZON)
    for day in range(100, 162):
        for known_on, account, before in cancellations:
            if known_on == day - 1:
                ledger.cancelled(account, (known_on + before) * US_PER_DAY + 5)
        assert churned(ledger.labels_before_close(day - 1)) == churned(ledger.close(day).known)
        ledger.open(day, np.arange(3, dtype=np.int32))


def test_examples_are_settled_when_the_longest_horizon_has_passed() -> None:
    found = settled((110, ACME, 110))
    assert sorted(found) == list(range(100, 116))
    # The first midnight whose horizon reaches the day of the cancellation is nine days before its end.
    assert [after[ACME] for after in found.values()] == [0, 0, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0]
    assert {after[BOLT] for after in found.values()} == {0}


def test_the_first_cancellation_settles_whatever_came_first() -> None:
    expected = settled((105, ACME, 105), (108, ACME, 108))
    assert settled((108, ACME, 108), (108, ACME, 105)) == expected, "known late, and out of order"
    assert [expected[as_of][ACME] for as_of in (104, 105, 106, 108, 109)] == [2, 1, 3, 1, 0]


def test_a_snapshot_keeps_what_is_not_settled() -> None:
    assert settled((110, ACME, 110), (112, BOLT, 111), keep=True) == settled((110, ACME, 110), (112, BOLT, 111))


def test_without_a_longer_horizon_nothing_is_settled() -> None:
    ledger = LabelLedger(HORIZON)
    ledger.store(100, np.array([ACME], np.int32), np.zeros((1, 21)))
    assert all(ledger.close(day).fully_observed is None for day in range(100, 120))


def test_a_shorter_reach_leaves_nothing_over() -> None:
    long, short = LabelLedger(HORIZON, 2 * REACH), LabelLedger(HORIZON, REACH)
    for day in range(100, 120):
        long.close(day)
        long.store(day, np.array([ACME], np.int32), np.zeros((1, 21)))
    short.restore(unpack("s", pack("s", long.state())))
    short.close(120)
    assert [*short.state()["unsettled"]] == list(range(120 - REACH + 1, 120))
