"""Read alignment: whoever is far ahead pauses, whoever is furthest behind never does."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from c360_stream.features.columns import NO_TIME
from c360_stream.operators.alignment import ReadAlignment

NAMES = ("a", "b", "c")


def test_one_that_is_far_ahead_of_the_one_furthest_behind_waits() -> None:
    alignment = ReadAlignment(NAMES, ahead_us=10)
    for name, high_us in (("a", 111), ("b", 110), ("c", 100)):
        alignment.reached(name, high_us)
    assert [alignment.must_wait(name) for name in NAMES] == [True, False, False]
    alignment.reached("c", 101)
    assert not alignment.must_wait("a")


def test_one_that_has_not_been_read_yet_holds_the_others() -> None:
    alignment = ReadAlignment(NAMES, ahead_us=10)
    for name in NAMES:
        alignment.reached(name, NO_TIME)
    alignment.reached("a", 0)
    assert [alignment.must_wait(name) for name in NAMES] == [True, False, False]


def test_partitions_of_other_processes_hold_nobody_where_nothing_is_shared() -> None:
    alignment = ReadAlignment(NAMES, ahead_us=10)
    alignment.reached("a", 1_000)
    assert not alignment.must_wait("a")


def test_one_without_backlog_holds_nobody_but_waits_for_those_that_have() -> None:
    alignment = ReadAlignment(NAMES, ahead_us=10)
    alignment.reached("a", 1_000)
    alignment.reached("b", 5, at_end=True)
    alignment.reached("c", 7, at_end=True)
    assert not any(alignment.must_wait(name) for name in NAMES)
    alignment.reached("b", 5)
    assert alignment.must_wait("a"), "it has backlog again"
    alignment.reached("a", 1_000, at_end=True)
    assert alignment.must_wait("a"), "else it would fill the shards while that one is away"


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(-100, 100) | st.none()), max_size=20))
def test_somebody_can_always_be_read(reports: list[tuple[str, int | None]]) -> None:
    alignment = ReadAlignment(NAMES, ahead_us=0)
    for name, high_us in reports:
        alignment.reached(name, 0 if high_us is None else high_us, at_end=high_us is None)
    assert not all(alignment.must_wait(name) for name in NAMES)


def test_processes_share_a_file(tmp_path: Path) -> None:
    """Each process has its own object over the same file; one that starts later empties nothing."""
    shared = tmp_path / "alignment"
    one = ReadAlignment(NAMES, 10, shared)
    one.reached("a", 500)
    other = ReadAlignment(NAMES[::-1], 10, shared)
    assert one.must_wait("a")
    other.reached("b", 499)
    other.reached("c", 0, at_end=True)
    assert not one.must_wait("a")
    other.reached("b", 100)
    assert one.must_wait("a")
    assert not other.must_wait("b")


def test_a_single_partition_never_waits(tmp_path: Path) -> None:
    for alignment in (ReadAlignment(("only",), 0), ReadAlignment(("only",), 0, tmp_path / "shared")):
        alignment.reached("only", 1_000)
        assert not alignment.must_wait("only")
