"""Where an input begins and ends: what the last and the first events of all partitions are held against."""

from __future__ import annotations

from collections.abc import Sequence

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.columns import NO_TIME
from c360_stream.features.plausibility import (
    VOTERS,
    VOTERS_MIN,
)
from c360_stream.features.span import plausible_end, plausible_start


def end(
    unsettled: Sequence[tuple[int, int]],
    *,
    latest: int | None = 100,
    events: int = 10_000,
    accounts: Sequence[int] = range(VOTERS),
) -> int:
    """Day of the end that is plausible; times are days, and the first one is 0."""
    latest_us = NO_TIME if latest is None else latest * US_PER_DAY
    times = [(day * US_PER_DAY, account) for day, account in unsettled]
    return plausible_end(latest_us, times, 0, events, accounts) // US_PER_DAY


class TestAllPartitionsTogether:
    """What the last and the first events are held against."""

    def test_the_end(self) -> None:
        for last_day, end_day in {145: 145, 146: 100}.items():
            assert end([(last_day, 1), (last_day, 2)]) == end_day
        assert end([(120, 1), (140, 2), (160, 3), (165, 2)]) == 165
        assert end([(120, 1), (166, 1), (140, 2), (90, 1)]) == 140

    def test_one_account_says_little(self) -> None:
        for last_day, end_day in {107: 107, 108: 100}.items():
            assert end([(last_day, 1)]) == end_day
        assert end([(100 + days, 1) for days in range(1, 40, 3)]) == 107
        assert end([(140, 1), (141, 2), (147, 2), (148, 2)]) == 147
        assert end([(500, account) for account in range(VOTERS_MIN)]) == 500
        assert end([(500, account) for account in range(VOTERS_MIN - 1)]) == 100
        assert end([]) == 100

    def test_many_events_of_an_account_are_one_witness(self) -> None:
        """In an input of several accounts; where there are few, each may be the only one left."""
        year_ahead = [(500, 1)] * 9
        assert end(year_ahead) == 100
        assert end(year_ahead, accounts=range(VOTERS - 1)) == 500
        assert end([*year_ahead, (600, 2), (700, 3), (480, 4)]) == 500

    def test_of_few_events_no_rhythm_is_known(self) -> None:
        assert end([(300, 1)], latest=0, events=4, accounts=range(2)) == 300
        assert end([(401, 1)], latest=0, events=4, accounts=range(2)) == 0
        assert end([(10, 1), (75, 1)], latest=None, events=0, accounts=()) == 75
        assert end([(0, 1), (10, 1), (900, 1)], latest=None, events=0, accounts=()) == 10
        assert end([(5, 1)], latest=None, events=0, accounts=()) == 5

    def test_a_sparse_input_may_be_silent_for_long(self) -> None:
        assert end([(300, 1)], latest=100, events=20) == 100
        assert end([(300, 1)], latest=100, events=16) == 300

    def test_the_start(self) -> None:
        year = 365 * US_PER_DAY
        assert plausible_start([], []) is None
        assert plausible_start([50 * year, 51 * year], [0]) == 50 * year
        assert plausible_start([50 * year], [45 * year, 55 * year]) == 45 * year
        assert plausible_start([], [0, 50 * year, 50 * year]) == 50 * year
        assert plausible_start([], [49 * year, 50 * year, 51 * year]) == 49 * year
