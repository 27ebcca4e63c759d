"""Contacts: what is kept, which examples are treated, and which group an example belongs to."""

from __future__ import annotations

import zlib
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.contracts.events import US_PER_DAY, US_PER_HOUR
from c360_stream.labels.contacts import NOT_CONTACTED, UNNAMED, Cohorts, Contacts, Occurrence
from c360_stream.state.codec import pack, unpack

AS_OF = 20_000
HORIZON, STRIDE = 60, 7
COHORTS = Cohorts(HORIZON, STRIDE)
KEEP_DAYS = 2 * HORIZON + STRIDE + 8
ACCOUNT = np.zeros(1, np.int32)


def moment(day: float, event_id: str = "e", playbook: str = "check_in") -> Occurrence:
    """Some days after the as-of."""
    return Occurrence(AS_OF * US_PER_DAY + round(day * US_PER_DAY), event_id, playbook)


def contacts(*contacted: Occurrence, cancelled: tuple[Occurrence, ...] = ()) -> Contacts:
    """One account, number 0."""
    found = Contacts(KEEP_DAYS)
    found.open_day(AS_OF + HORIZON)
    for contact in contacted:
        found.contacted(0, contact)
    for cancellation in cancelled:
        found.cancelled(0, cancellation)
    return found


def is_treated(found: Contacts) -> bool:
    return bool(found.treated(ACCOUNT, AS_OF, AS_OF + HORIZON)[0])


@pytest.mark.parametrize(
    ("day", "treated"),
    [(-0.001, False), (0, True), (30, True), (59.999, True), (60, False)],
    ids=["the day before", "at the as-of", "inside", "at the last moment", "a horizon later"],
)
def test_treated_is_who_was_contacted_within_the_horizon(day: float, treated: bool) -> None:
    assert is_treated(contacts(moment(day))) is treated


@pytest.mark.parametrize(
    ("contact", "cancellation", "treated"),
    [
        (moment(10.5), moment(10.6), True),
        (moment(10.6), moment(10.5), False),
        (moment(10.5, "a"), moment(10.5, "b"), True),
        (moment(10.5, "b"), moment(10.5, "a"), False),
        (moment(0.5), moment(-1), True),
        (moment(20), moment(10), False),
        (moment(20), moment(70), True),
    ],
    ids=[
        "before it cancelled",
        "the same day, after it had cancelled",
        "the same moment, by event id",
        "the same moment, the other way",
        "a cancellation before the as-of",
        "won back, but not kept",
        "a cancellation after the horizon",
    ],
)
def test_before_it_cancelled(contact: Occurrence, cancellation: Occurrence, treated: bool) -> None:
    assert is_treated(contacts(contact, cancelled=(cancellation,))) is treated


occurrences = st.builds(
    Occurrence,
    st.integers(AS_OF * 24 - 24 * 200, AS_OF * 24 + 24 * 70).map(lambda hour: hour * US_PER_HOUR),
    st.sampled_from(["e1", "e2", "e3"]),
    st.sampled_from(["", "a", "b"]),
)
many = st.lists(st.tuples(st.booleans(), st.integers(0, 2), occurrences), max_size=60)


def filled(events: list[tuple[bool, int, Occurrence]], *, restart_at: int = -1) -> Contacts:
    found = Contacts(KEEP_DAYS)
    found.open_day(AS_OF + HORIZON)
    for position, (is_contact, account, occurrence) in enumerate(events):
        if position == restart_at:
            state, found = pack("c", found.state()), Contacts(KEEP_DAYS)
            found.restore(unpack("c", state))
        (found.contacted if is_contact else found.cancelled)(account, occurrence)
    return found


def kept(found: Contacts) -> list[list[Any]]:
    """Rows of contacts, and of cancellations, that a snapshot holds."""
    return [
        [[account, *each] for page in firsts["by_day"] for account, each in page] for firsts in found.state().values()
    ]


def answers(found: Contacts) -> list[object]:
    accounts, phase = np.arange(3, dtype=np.int32), np.array([3, 70, 71])
    return [
        *(found.first(account, AS_OF + day, AS_OF + day + 7) for account in range(3) for day in range(-80, 60, 3)),
        *(found.groups(accounts, ["a", "b", "c"], phase, AS_OF + day, COHORTS) for day in range(-7, 7)),
    ]


@given(many, st.randoms(use_true_random=False), st.integers(0, 60))
def test_neither_the_order_of_arrival_nor_repeats_nor_a_restart_matter(
    events: list[tuple[bool, int, Occurrence]], draw: Random, restart_at: int
) -> None:
    shuffled = [*events, *events[: len(events) // 2]]
    draw.shuffle(shuffled)
    again = filled(shuffled, restart_at=restart_at)
    assert answers(again) == answers(filled(events))
    assert [sorted(rows) for rows in kept(again)] == [sorted(rows) for rows in kept(filled(events))]


def test_what_is_kept_is_bounded_by_days_and_accounts_not_by_contacts() -> None:
    found = Contacts(keep_days=30)
    for day in range(100):
        found.open_day(AS_OF + day)
        for number in range(24):
            hour = moment(day + number / 24, f"e{number}", f"playbook {day} {number}")
            found.contacted(0, hour)
            found.cancelled(0, hour)
    found.contacted(1, moment(2))  # very late: no window reaches it any more
    contacts, ended = kept(found)
    assert len(contacts) == len(ended) == 31
    assert {row[3] for row in contacts} == {f"playbook {day} 0" for day in range(69, 100)}, "the first of each day"
    found.open_day(AS_OF + 500)
    assert kept(found) == [[], []]
    assert found._contacts._of == {}, "nothing is left of an account without contacts"


def group(found: Contacts, *, turn: int = 0, as_of: int = AS_OF, cohorts: Cohorts = COHORTS) -> str | None:
    phase = next(p for p in range(1_000) if cohorts.turn(p, as_of) == turn and (p + as_of) % cohorts.stride_days == 0)
    (found_group,) = found.groups(ACCOUNT, ["acme"], np.array([phase]), as_of, cohorts)
    return found_group


def test_contacted_is_who_was_contacted_before_the_next_example() -> None:
    assert group(contacts(moment(0))) == "check_in"
    assert group(contacts(moment(6.99))) == "check_in"
    assert group(contacts(moment(6.99, playbook=""))) == UNNAMED
    assert group(contacts(moment(5, "b", "second"), moment(3, "a", "first"))) == "first"
    assert group(contacts(moment(7))) == NOT_CONTACTED, "that contact is the next example's"
    assert group(contacts(moment(7)), as_of=AS_OF + 7, turn=1) == "check_in"


def test_an_account_counts_once_a_horizon_as_contacted_and_once_as_not() -> None:
    assert [group(contacts(), turn=turn) for turn in range(COHORTS.turns)] == [NOT_CONTACTED] + [None] * 8
    every_week = contacts(*(moment(day, f"e{day}") for day in range(-70, 70, 7)))
    assert [group(every_week, turn=turn) for turn in range(COHORTS.turns)] == ["check_in"] + [None] * 8
    before = contacts(moment(-20, "old"), moment(3))
    assert [group(before, turn=turn) for turn in (0, 2, 3, 8)] == ["check_in", "check_in", None, None]


def test_turns_follow_each_other_and_accounts_begin_on_days_of_their_own() -> None:
    phases = [zlib.crc32(f"a{number}".encode()) for number in range(2_000)]
    for phase in phases[:50]:
        first = -(phase + AS_OF) % STRIDE + AS_OF
        turns = [COHORTS.turn(phase, first + 7 * week) for week in range(20)]
        assert np.diff(turns).tolist() == [1 if turn < 8 else -8 for turn in turns[:-1]]
    share = np.bincount([COHORTS.turn(phase, AS_OF) for phase in phases]) / len(phases)
    assert share == pytest.approx(1 / 9, abs=0.03)


def test_who_could_not_be_contacted_any_more_is_no_control() -> None:
    """A moment is drawn in the window; who had cancelled by then could not have been contacted at it."""
    kept = []
    for number in range(1_000):
        gone = Contacts(KEEP_DAYS)
        gone.cancelled(0, moment(3.5))
        (found,) = gone.groups(ACCOUNT, [f"a{number}"], np.array([-AS_OF]), AS_OF, COHORTS)
        kept.append(found == NOT_CONTACTED)
    assert np.mean(kept) == pytest.approx(0.5, abs=0.05), "half of the moments are before the middle of the window"
    assert group(contacts(cancelled=(moment(7.5),))) == NOT_CONTACTED
    assert group(contacts(moment(2), cancelled=(moment(2.5),))) == "check_in", "cancelling after a contact counts"
    late = group(contacts(moment(2.5), cancelled=(moment(2),)))
    assert late in (None, NOT_CONTACTED), "a contact after it cancelled is none"


def test_a_fair_coin_shows_no_effect_of_contacts_that_have_none() -> None:
    """Hazard is even, contacts come at an even rate and change nothing: groups churn alike.

    Had the control been everybody without a contact in the horizon, it would churn a quarter more often.
    """
    rng, churned = np.random.default_rng(5), {"check_in": list[bool](), NOT_CONTACTED: list[bool]()}
    naive = []
    for number in range(30_000):
        found = Contacts(KEEP_DAYS)
        end, at = rng.exponential(250.0), rng.exponential(100.0)
        found.cancelled(0, moment(end, "c"))
        found.contacted(0, moment(at, "d"))
        (of,) = found.groups(ACCOUNT, [f"a{number}"], np.array([-AS_OF]), AS_OF, COHORTS)
        if of is not None:
            churned[of].append(end < HORIZON)
        if not found.treated(ACCOUNT, AS_OF, AS_OF + HORIZON)[0]:
            naive.append(end < HORIZON)
    contacted, not_contacted = (float(np.mean(churned[name])) for name in ("check_in", NOT_CONTACTED))
    error = np.sqrt(0.2 * 0.8 / len(churned["check_in"]))
    assert abs(contacted - not_contacted) < 3 * error
    assert np.mean(naive) > 1.2 * not_contacted


@pytest.mark.parametrize(("horizon", "stride"), [(1, 7), (4, 2), (7, 7), (5, 60), (365, 1)])
def test_any_settings_have_groups(horizon: int, stride: int) -> None:
    cohorts = Cohorts(horizon, stride)
    assert 1 <= cohorts.window_days <= max(horizon // 2, 1)
    assert group(contacts(), cohorts=cohorts) == NOT_CONTACTED
    at_once = group(contacts(moment(0)), cohorts=cohorts)
    assert at_once == "check_in"
