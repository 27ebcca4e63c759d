"""The jump guard: absurd times are refused, real gaps are believed, however the partition was batched."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.events import US_PER_DAY
from c360_stream.features import plausibility
from c360_stream.features.columns import NO_TIME
from c360_stream.features.plausibility import FOLLOWERS, UNCONFIRMED_DAYS, JumpGuard

JUMP_DAYS = 7


def refused(days: list[float], cut: Random | None = None) -> list[int]:
    """Positions refused of a partition with these event times, in days; read in batches of any size."""
    guard = JumpGuard(JUMP_DAYS * US_PER_DAY)
    times = np.array([round(day * US_PER_DAY) for day in days], np.int64)
    found: list[int] = []
    start, high_us = 0, NO_TIME
    while start < len(times):
        end = start + (cut.randint(1, 5) if cut else len(times))

        def more(start: int = start) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
            nonlocal end
            end = min(end + (cut.randint(1, 3) if cut else 1), len(times))
            return times[start:end]

        batch, positions = guard.refused(high_us, times[start:end], more)
        found += (start + positions).tolist()
        high_us = max([high_us, *np.delete(batch, positions).tolist()])
        start += len(batch)
    return found


STEADY = [100 + i / 10 for i in range(30)]


def test_a_steady_partition_is_believed() -> None:
    assert refused(STEADY) == []
    assert refused([]) == []


def test_one_absurd_time_is_refused_wherever_it_is() -> None:
    for place in (0, 1, 15, 29):
        assert refused([*STEADY[:place], 20_000.0, *STEADY[place:]]) == [place]


def test_a_few_absurd_times_in_a_row_are_refused() -> None:
    absurd = [20_000.0] * (FOLLOWERS // 2)
    assert refused([*STEADY[:10], *absurd, *STEADY[10:]]) == [10, 11, 12, 13]


def test_a_real_gap_is_believed() -> None:
    """An account-based business may sleep over the summer: what follows confirms the leap."""
    after = [160 + i / 10 for i in range(30)]
    assert refused([*STEADY, *after]) == []
    assert refused([*STEADY, 20_000.0, *after]) == [30]


def test_a_leap_that_nothing_follows_is_believed_within_reason() -> None:
    near, far = 102.9 + UNCONFIRMED_DAYS, 103.0 + UNCONFIRMED_DAYS + JUMP_DAYS
    assert refused([*STEADY, near]) == []
    assert refused([*STEADY, far]) == [30]
    assert refused([20_000.0]) == [], "a first event alone has nothing to leap from"


def test_times_that_fall_back_are_no_leap() -> None:
    assert refused([*STEADY, 3.0, 103.0]) == []


@given(
    st.lists(st.sampled_from([0.0, 0.1, 6.9, 7.1, 30.0, 500.0, 9_000.0]), max_size=40),
    st.lists(st.booleans(), min_size=40, max_size=40),
    st.integers(0, 2**32),
)
def test_the_verdict_does_not_depend_on_how_the_partition_was_read(
    steps: list[float], lasting: list[bool], seed: int
) -> None:
    days, now = [], 100.0
    for step, stays in zip(steps, lasting, strict=False):
        days.append(now + step)
        now += step if stays else 0.1
    assert refused(days, Random(seed)) == refused(days)


@given(st.lists(st.sampled_from([0.1, 0.2, 30.0, -5.0, 500.0]), max_size=40), st.integers(1, 5))
def test_how_many_are_looked_at_together_changes_nothing(steps: list[float], at_once: int) -> None:
    days = (100 + np.cumsum(steps)).tolist()
    together = refused(days)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plausibility, "_AT_ONCE", at_once)
        assert refused(days) == together
