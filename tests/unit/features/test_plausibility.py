"""Which times move time: a wrong clock or date harms nobody else, and a real gap is believed, however it was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY, US_PER_HOUR
from c360_stream.features import plausibility
from c360_stream.features.columns import NO_TIME
from c360_stream.features.plausibility import (
    AHEAD_OF_CLOCK,
    BEHIND,
    BEHIND_DAYS_MAX,
    LOOK_AHEAD_EVENTS,
    VOTERS,
    JudgeState,
    TimeJudge,
)

JUMP_DAYS = 1
HOUR = 1 / 24


@dataclass
class Batch:
    """Part of a partition, of which more can be read."""

    all_us: NDArray[np.int64]
    of_accounts: NDArray[np.uint64]
    start: int
    end: int
    step: int = 1

    def __post_init__(self) -> None:
        self.own = self.end - self.start

    def times(self) -> NDArray[np.int64]:
        return self.all_us[self.start : self.end]

    def accounts(self, window: slice) -> NDArray[np.uint64]:
        return self.of_accounts[self.start : self.end][window]

    def due(self) -> int:
        return self.own

    def more(self) -> NDArray[np.int64]:
        self.end = min(self.end + self.step, len(self.all_us))
        return self.times()


@dataclass
class Judged:
    """What became of a partition: positions are those in the partition."""

    refused: dict[int, str] = field(default_factory=dict)
    unsettled: list[int] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)
    state: tuple[object, ...] = ()

    @property
    def high(self) -> float:
        """Day that the partition has come to."""
        return int(self.state[0]) / US_PER_DAY  # type: ignore[call-overload,no-any-return]

    @property
    def latest(self) -> float:
        """Day of the latest settled event."""
        return int(self.state[2]) / US_PER_DAY  # type: ignore[call-overload,no-any-return]


def judge(
    days: Sequence[float],
    accounts: Sequence[int] | None = None,
    *,
    cut: Random | None = None,
    now: float | None = None,
    alone: bool = True,
    jump_days: int = JUMP_DAYS,
) -> Judged:
    """Judge a partition with these event times, in days; `cut` reads it in batches of any size."""
    times = np.array([round(day * US_PER_DAY) for day in days], np.int64)
    numbers = np.array(accounts if accounts is not None else range(len(days)), np.uint64)
    found, start = Judged(), 0
    state: JudgeState | tuple[()] = ()
    while start < len(times):
        judge = TimeJudge(US_PER_HOUR, jump_days * US_PER_DAY, state, alone=alone)
        end = min(start + cut.randint(1, 5), len(times)) if cut else len(times)
        batch = Batch(times, numbers, start, end, cut.randint(1, 3) if cut else 1)
        verdicts = judge.judge(batch, None if now is None else lambda: round(now * US_PER_DAY))
        assert len(verdicts.high_us) == batch.due()
        found.refused |= {start + position: reason for position, reason in verdicts.refused}
        found.unsettled += [start + position for position in verdicts.unsettled]
        found.highs += [us / US_PER_DAY for us in verdicts.high_us.tolist()]
        state, start = judge.state(), start + batch.due()
    found.state = state
    return found


STEADY = [20_000 + i / 50 for i in range(60)]  # an event every half hour


def test_a_steady_partition_is_believed_but_for_what_too_little_follows() -> None:
    found = judge(STEADY)
    assert (found.refused, found.unsettled) == ({}, [])
    assert found.high == pytest.approx(STEADY[-1])
    assert judge([]).highs == []


@pytest.mark.parametrize("place", [0, 1, 15, 50])
@pytest.mark.parametrize("absurd", [20_003.0, 20_089.0, 40_000.0])
def test_one_absurd_date_is_refused_alone_and_moves_nothing(place: int, absurd: float) -> None:
    found = judge([*STEADY[:place], absurd, *STEADY[place:]])
    assert found.refused.keys() | set(found.unsettled) == {place}, "the very first is left to all partitions"
    assert (place in found.unsettled) == (place == 0)
    assert found.high == pytest.approx(STEADY[-1])


def test_absurd_dates_in_a_row_are_refused_alone() -> None:
    absurd = [40_000.0 + i for i in range(VOTERS // 2)]
    assert judge([*STEADY[:10], *absurd, *STEADY[10:]]).refused.keys() == {10, 11, 12, 13}


def test_a_clock_a_day_ahead_counts_at_its_own_time_and_moves_nothing() -> None:
    """Within a day an event may be right; but the others of its partition say what time it is."""
    for ahead in (2 * HOUR, 11 * HOUR, 23 * HOUR):
        days = [*STEADY[:20], STEADY[20] + ahead, *STEADY[20:]]
        found = judge(days)
        assert (found.refused, found.unsettled) == ({}, [])
        assert all(high <= max(STEADY[: max(i - 1, 1)]) + 1e-9 for i, high in enumerate(found.highs) if i > 20)


@pytest.mark.parametrize("burst", [1, 5, 12])
def test_bursts_of_an_account_whose_clock_is_ahead_move_nothing(burst: int) -> None:
    """Its own events have the same clock: they are no witnesses."""
    days, accounts = list[float](), list[int]()
    for i, day in enumerate(STEADY):
        days.append(day)
        accounts.append(1 + i % 5)
        if i % 10 == 5:
            days += [day + 23 * HOUR + j / 10_000 for j in range(burst)]
            accounts += [0] * burst
    found = judge(days, accounts)
    assert (found.refused, found.unsettled) == ({}, [])
    assert found.high == pytest.approx(STEADY[-1])


def test_an_account_alone_in_its_partition_is_its_own_witness() -> None:
    quiet = [20_000.0, 20_005.0, 20_010.5, 20_020.0, 20_021.0, 20_033.0, 20_034.0, 20_035.0, 20_036.0]
    found = judge(quiet, [7] * len(quiet))
    assert found.refused == {}
    assert found.unsettled == []
    assert found.high == quiet[-1]


def test_a_real_gap_is_believed() -> None:
    """An account-based business may sleep over the summer: what follows confirms the leap."""
    after = [20_060 + i / 50 for i in range(30)]
    assert judge([*STEADY, *after]).refused == {}
    assert judge([*STEADY, 40_000.0, *after]).refused.keys() == {60}
    assert judge([*STEADY, *after]).high == pytest.approx(after[-1])


def test_followers_that_are_late_themselves_do_not_vote_a_leap_out() -> None:
    """Three days late behind a leap of thirty: still witness that time has gone on."""
    late = [20_028.0, 20_027.5, 20_028.2, 20_027.0, 20_026.0, 20_027.3, 20_028.8, 20_026.4]
    found = judge([20_000.0] * 9 + [20_030.0, *late, 20_030.1, 20_030.2])
    assert found.refused == {}
    assert found.highs[10] == pytest.approx(20_000.0), "it moves the time only if nobody comes late by it"


def test_a_history_sent_behind_does_not_vote() -> None:
    """However long: it is far behind the time before, too."""
    for length in (9, 300):
        history = [19_900 + i / 10 for i in range(length)]
        found = judge([*STEADY, 20_004.0, *history, *(20_004.0 + i / 50 for i in range(1, 9))])
        assert found.refused == {}
        assert found.highs[61] == pytest.approx(20_004.0)


def test_a_history_behind_the_first_events_refuses_none_of_them() -> None:
    current = [20_059.0, 20_059.1, 20_060.1, 20_062.5]
    history = [20_019.5 + i for i in range(9)]
    found = judge([*current, *history, 20_062.6, 20_063.6], [0] * 4 + [1] * 9 + [0] * 2)
    assert (found.refused, found.unsettled) == ({}, [])
    assert found.highs[4] == pytest.approx(20_062.5), "the history is late"


def test_more_history_than_is_looked_at_says_nothing_against_a_leap() -> None:
    history = [19_900 + i / 1000 for i in range(LOOK_AHEAD_EVENTS)]
    leaps = {20_030.0: {}, 25_000.0: {60: "occurred_at: more than 1 days ahead of its partition"}}
    for leap, refused in leaps.items():
        assert judge([*STEADY, leap, *history, *STEADY[-9:]]).refused == refused


def test_a_zero_of_some_program_is_refused_wherever_it_is() -> None:
    for place in (0, 1, 30, 60):
        days = [*STEADY[:place], 0.0, *STEADY[place:]]
        assert judge(days).refused == {place: BEHIND}
        assert judge(days, now=20_010.0).refused == {place: BEHIND}
    old = STEADY[-1] - BEHIND_DAYS_MAX + 1
    assert judge([*STEADY, old]).refused == {}, "a customer's history may be long"


def test_times_that_fall_back_are_no_leap() -> None:
    assert judge([*STEADY, 19_900.0, STEADY[-1] + 0.01]).refused == {}


def test_newest_first_is_not_absurd() -> None:
    for spacing in (0.005, 0.3, 2.0):
        days = [20_100 - i * spacing for i in range(40)]
        assert judge(days).refused == {}


def test_the_end_of_a_partition_is_left_to_all_partitions() -> None:
    assert judge([*STEADY, STEADY[-1] + 0.9]).high == pytest.approx(STEADY[-1] + 0.9), "within a day it is believed"
    for leap in (20_002.5, 20_030.0, 40_000.0):
        found = judge([*STEADY, leap])
        assert (found.refused, found.unsettled) == ({}, [60])
        assert found.high == found.latest == pytest.approx(STEADY[-1])
    one = judge([20_000.0])
    assert (one.unsettled, one.state[:4]) == ([0], (NO_TIME, NO_TIME, NO_TIME, 0))
    few = judge([20_000.0, 20_030.0, 20_080.0, 20_080.1])
    assert (few.refused, few.unsettled) == ({}, [2, 3])
    assert few.high == pytest.approx(20_030.0)
    assert judge([20_000.0, 20_050.0, 20_048.0]).unsettled == [1, 2], "the one that follows says no"


def test_what_is_unsettled_begins_nothing() -> None:
    found = judge([0.0, 20_000.0, 20_000.0])
    assert (found.unsettled, found.state[1]) == ([0], 20_000 * US_PER_DAY)


def test_beside_other_partitions_an_account_is_no_witness_of_its_own_far_leap() -> None:
    """Its clock may be a year ahead; within a partition of its own nobody else says so."""
    steady = [1 + i % 5 for i in range(60)]
    for ahead, count, believed in [(6, 6, True), (30, 6, False), (30, 70, True), (365, 70, False), (365, 1_100, True)]:
        days = [*STEADY, *(20_001.0 + ahead + i / 50 for i in range(count))]
        found = judge(days, [*steady, *[9] * count], alone=False)
        assert found.refused == {}
        assert (60 not in found.unsettled) == believed
        assert judge(days, [*steady, *[9] * count]).high == pytest.approx(days[-1]), "alone in a log, who else should"
    days, accounts = [*STEADY, *(20_366.0 + i / 50 for i in range(6))], [*steady, *range(10, 16)]
    assert judge(days, accounts, alone=False).high == pytest.approx(days[-1])
    assert judge(days[:63], accounts[:63], alone=False).unsettled == [60, 61, 62]


def test_the_first_events_of_one_account_are_no_proof_against_all_others() -> None:
    others = [(20_000 + i / 50, 1 + i % 20) for i in range(200)]
    for count in (1, 2, 5, 70):
        first = [(20_200 + i / 100, 0) for i in range(count)]
        days, accounts = zip(*[*first, *others], strict=True)
        found = judge(days, accounts, alone=False)
        assert (found.refused, found.unsettled) == ({}, list(range(count)))
        assert found.state[1] == 20_000 * US_PER_DAY
    begun = judge([20_060.0, 20_060.1, *(20_000 + i for i in range(9))], [0, 0, *[1] * 9], alone=False)
    assert begun.high == 20_060.1, "one account's history, sent late, is no proof against it"


def test_a_long_burst_of_an_account_hides_nobody_behind_it() -> None:
    steady = [(20_000 + i / 50, 1 + i % 20) for i in range(200)]
    burst = [(20_044 + i / 10_000, 0) for i in range(1_100)]
    days, accounts = zip(*[*steady[:100], *burst, *steady[100:]], strict=True)
    found = judge(days, accounts, alone=False)
    assert found.high == pytest.approx(steady[-1][0])


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("every", [4, 7])
def test_regular_stragglers_do_not_stop_time(every: int, alone: bool) -> None:
    """Every few events come hours behind the others, after a night's silence: time goes on, and they are late."""
    days = list[float]()
    for i in range(3_000):
        day = 20_000 + i // 100 + 0.3 + (i % 100) / 300
        days.append(day - (0.25 if i % every == 3 else 0.0))
    found = judge(days, alone=alone)
    assert (found.refused, found.unsettled) == ({}, [])
    late = sum(high - HOUR > day for high, day in zip(found.highs, days, strict=True))
    assert late > 0.7 * len(days) / every
    assert found.high > 20_029.5


def test_a_tenth_of_the_clocks_ahead_leaves_the_others_in_time() -> None:
    draw = Random(3)
    clocks = [23 * HOUR if draw.random() < 0.1 else 0.0 for _ in range(300)]
    events = sorted((20_000 + draw.random() * 30, draw.randrange(300)) for _ in range(20_000))
    days, accounts = [day + clocks[account] for day, account in events], [account for _, account in events]
    for alone in (True, False):
        found = judge(days, accounts, alone=alone)
        assert (found.refused, found.unsettled) == ({}, [])
        late = [
            high - HOUR > day for high, (day, account) in zip(found.highs, events, strict=True) if not clocks[account]
        ]
        assert sum(late) <= 0.001 * len(late)


def test_a_sparse_partition_is_judged_in_the_batches_in_which_it_is_read() -> None:
    """Every event leaps, and asks those behind it; they are judged with the batch that they come with."""
    days = np.array([round((20_000 + i / 12) * US_PER_DAY) for i in range(1_000)], np.int64)
    batch = Batch(days, np.arange(1_000, dtype=np.uint64), 0, 10)
    verdicts = TimeJudge(US_PER_HOUR, US_PER_DAY).judge(batch)
    assert len(verdicts.high_us) == 10
    assert batch.end == 10 + VOTERS


def test_live_the_wall_clock_decides_where_nothing_follows() -> None:
    now = STEADY[-1] + 0.1
    assert judge([*STEADY, now], now=now).high == pytest.approx(now)
    ahead = judge([*STEADY, now + 23 * HOUR], now=now)
    assert ahead.refused == {}
    assert ahead.high == pytest.approx(STEADY[-1]), "it counts at its own time"
    assert judge([*STEADY, now + 1.1], now=now).refused == {60: AHEAD_OF_CLOCK}
    assert judge([now], now=now).high == pytest.approx(now)


def test_advancing_and_beginning() -> None:
    judge = TimeJudge(US_PER_HOUR, US_PER_DAY)
    judge.advance(5)
    judge.advance(3)
    assert (judge.high_us, judge.begin(7), judge.begin(9), judge.begin(6)) == (5, 7, 7, 6)


steps = st.lists(st.sampled_from([0.0, 0.01, 0.03, 0.9, 7.1, 30.0, 500.0, 9_000.0, -0.02, -3.0, -5_000.0]), max_size=40)


@given(steps, st.lists(st.booleans(), min_size=40, max_size=40), st.integers(1, 4), st.integers(0, 2**32))
def test_the_verdict_does_not_depend_on_how_the_partition_was_read(
    steps: list[float], lasting: list[bool], accounts: int, seed: int
) -> None:
    days, now = [], 10_000.0
    for step, stays in zip(steps, lasting, strict=False):
        days.append(now + step)
        now += step if stays and step > 0 else 0.02
    numbers = [i % accounts for i in range(len(days))]
    assert judge(days, numbers, cut=Random(seed)) == judge(days, numbers)


@given(steps, st.integers(1, 12), st.integers(1, 5), st.booleans(), st.sampled_from([None, 10_001.0]))
def test_how_many_are_looked_at_together_changes_nothing(
    steps: list[float], accounts: int, at_once: int, alone: bool, now: float | None
) -> None:
    days = (10_000 + np.cumsum(steps)).clip(0, 47_000).tolist()
    numbers = [i % accounts for i in range(len(days))]
    together = judge(days, numbers, alone=alone, now=now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plausibility, "_AT_ONCE", at_once)
        assert judge(days, numbers, alone=alone, now=now) == together
        patch.setattr(TimeJudge, "_confirmed_leaps", lambda *_: np.zeros(0, np.bool_))
        assert judge(days, numbers, alone=alone, now=now) == together, "one by one"


@given(st.lists(st.floats(0, 60), min_size=20, max_size=200), st.floats(0.05, 0.99), st.data())
def test_a_single_event_ahead_makes_no_more_than_one_other_late(
    days: list[float], ahead: float, data: st.DataObject
) -> None:
    """Put one event up to a day ahead anywhere among others that are in order."""
    days = sorted(20_000 + day / 20 for day in days)
    place = data.draw(st.integers(0, len(days) - VOTERS - 1))
    found = judge([*days[:place], days[place] + ahead, *days[place:]])
    assert found.refused.keys() <= {place}, "behind a silence it may be more than a day ahead"
    late = [high - HOUR > day + 1e-9 for high, day in zip(found.highs[place + 1 :], days[place:], strict=True)]
    assert sum(late) <= 1
