"""Declared fields: both directions follow from the types, and every change of them changes the layout."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from c360_stream.errors import StateError
from c360_stream.state.codec import pack, unpack
from c360_stream.state.fields import Codec, Kept, copied, fields, of_kind, paged_by_account, paged_list, record
from c360_stream.state.layout import differences, digest


class Point(NamedTuple):
    x: int
    name: str | None


@dataclass(slots=True)
class Block:
    points: list[Point]
    rows: NDArray[np.int32]
    how: Literal["a", "b"]


class Inner(Kept):
    kept = fields(_level=int)

    def __init__(self, level: int = 0) -> None:
        self._level = level


class Other(Inner):
    kept = fields(_level=float)


class Outer(Kept):
    kept = fields(
        number=float,
        _first=int | None,
        _inner=Inner,
        _pair=tuple[Inner, Inner],
        _by_name=dict[str, Inner],
        _days=dict[int, tuple[int, float]],
        _ring=deque[Point],
        _blocks=list[Block],
        _names=tuple[str, ...],
        _weights=copied(NDArray[np.float64]),
        _ids=paged_list(str, 2),
        _events=paged_by_account(list[Point]),
        _kind=of_kind("inner part"),
    )

    def __init__(self) -> None:
        self.number = 0.0
        self._first: int | None = None
        self._inner, self._kind = Inner(), Inner()
        self._pair = (Inner(), Inner())
        self._by_name = {"a": Inner(), "b": Inner()}
        self._days: dict[int, tuple[int, float]] = {}
        self._ring: deque[Point] = deque(maxlen=3)
        self._blocks: list[Block] = []
        self._names: tuple[str, ...] = ()
        self._weights = np.zeros(0)
        self._ids: list[str] = []
        self._events: dict[int, list[Point]] = {}
        self.sum = 0

    def restored(self) -> None:
        self.sum = sum(events for events, _ in self._days.values())


def filled() -> Outer:
    outer = Outer()
    outer.number, outer._first = 0.5, 7
    outer._inner, outer._kind, outer._pair = Inner(1), Inner(5), (Inner(2), Inner(3))
    outer._by_name["b"] = Inner(4)
    outer._days = {9: (1, 0.5), 8: (2, 1.0)}
    outer._ring.extend(Point(x, None) for x in range(4))
    outer._blocks = [Block([Point(1, "p")], np.arange(3, dtype=np.int32), "b")]
    outer._names, outer._weights = ("u", "v"), np.array([np.nan, 2.0])
    outer._ids, outer._events = ["a", "b", "c"], {0: [Point(1, "e")], 5000: []}
    return outer


def test_everything_comes_back_as_what_it_was() -> None:
    before, after = filled(), Outer()
    packed = pack("s", before.state())
    after.restore(unpack("s", packed))
    assert pack("s", after.state()) == packed
    assert (after._ring, after._ring.maxlen) == (before._ring, 3)
    assert [(type(each), each.points) for each in after._blocks] == [(Block, [Point(1, "p")])]
    assert (after._names, list(after._days.items()), after._events) == (
        before._names,
        [*before._days.items()],
        before._events,
    )
    assert ([each._level for each in after._pair], after._by_name["b"]._level) == ([2, 3], 4)
    assert after.sum == 3


def test_parts_are_restored_where_they_are() -> None:
    """Others may hold them."""
    after = Outer()
    inner, named = after._inner, after._by_name["b"]
    after.restore(filled().state())
    assert (after._inner, after._by_name["b"]) == (inner, named)
    assert (inner._level, named._level) == (1, 4)


def test_who_has_a_state_keeps_what_a_copied_array_was() -> None:
    outer = filled()
    state = outer.state()
    outer._weights += 1
    again = Outer()
    again.restore(state)
    again._weights += 1
    assert state["weights"].tolist()[1] == 2.0


def test_the_layout_names_every_field() -> None:
    assert Outer.layout() == (
        "number: number",
        "first: integer or none",
        "inner: part",
        "inner.level: integer",
        "pair: (part, part)",
        "pair.0.level: integer",
        "pair.1.level: integer",
        "by_name: dict of text to part",
        "by_name.*.level: integer",
        "days: dict of integer to (integer, number)",
        "ring: list of record",
        "ring.*.x: integer",
        "ring.*.name: text or none",
        "blocks: list of record",
        "blocks.*.points: list of record",
        "blocks.*.points.*.x: integer",
        "blocks.*.points.*.name: text or none",
        "blocks.*.rows: int32 array",
        "blocks.*.how: text",
        "names: list of text",
        "weights: float64 array",
        "ids: pages of text",
        "events: pages of list of record by account",
        "events.*.*.x: integer",
        "events.*.*.name: text or none",
        "kind: inner part with its layout",
    )


def test_an_array_of_another_dtype_is_no_state() -> None:
    outer = filled()
    outer._weights = outer._weights.astype(np.float32)
    with pytest.raises(TypeError, match="declared as float64 is of float32"):
        outer.state()
    state = filled().state() | {"weights": np.zeros(1, np.int8)}
    with pytest.raises(StateError, match="an array of int8 where float64 belongs"):
        Outer().restore(state)


def test_a_part_of_a_chosen_class_is_refused_if_that_is_kept_otherwise() -> None:
    other = Outer()
    other._kind = Other()
    with pytest.raises(StateError, match="inner part has another layout: level: number, was integer"):
        other.restore(filled().state())


@pytest.mark.parametrize("each", [object, int | str, set[int], complex, Any, paged_list])
def test_what_cannot_be_stored_cannot_be_declared(each: Any) -> None:
    with pytest.raises(TypeError, match="cannot be stored"):
        fields(_each=each)


def test_pages_are_of_plain_values() -> None:
    with pytest.raises(TypeError, match="cannot be stored in pages"):
        paged_by_account(Inner)


types: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([int, float, str, bool, int | None, Point, Block, Inner, NDArray[np.int8], NDArray[np.float64]]),
    lambda inner: (
        st.builds(lambda item: list[item], inner)  # type: ignore[valid-type]
        | st.builds(lambda key, value: dict[key, value], st.sampled_from([int, str]), inner)  # type: ignore[valid-type]
        | st.builds(lambda *items: tuple[items], inner, inner)  # type: ignore[valid-type]
    ),
    max_leaves=4,
)
declared = st.dictionaries(st.sampled_from("abcdef"), types, max_size=4)


def layout_of(declaration: dict[str, Any]) -> tuple[str, ...]:
    return type("Made", (Kept,), {"kept": fields(**declaration)}).layout()  # type: ignore[attr-defined, no-any-return]


@given(declared, declared)
def test_the_digest_changes_with_every_field_type_and_place(one: dict[str, Any], other: dict[str, Any]) -> None:
    before, now = layout_of(one), layout_of(other)
    same = list(one.items()) == list(other.items())
    assert (digest(before) == digest(now)) is same
    assert (differences(before, now) == "") is same


def test_differences_are_told_once_and_not_without_end() -> None:
    before = ("learn.inner: part", "learn.inner.a: integer", "learn.b: text")
    assert differences(before, ("learn.b: text",)) == "learn: field 'inner' is gone"
    assert differences(before[2:], before) == "learn: field 'inner' is new"
    assert differences(before, (*before[2:], *before[:2])) == "learn: field 'b' stands elsewhere"
    assert differences([], [f"a.f{number}: text" for number in range(9)]).endswith("a: field 'f4' is new; and 4 more")


def test_given_codecs_stand_before_the_types() -> None:
    codec = record(Block, rows=Codec("rows as text", lambda rows: rows.tolist(), lambda plain, _: np.array(plain)))
    assert codec.below[-2:] == ("rows: rows as text", "how: text")
