"""Reasons agree in direction with what a person would expect or are left out; a topic appears once; parts add up."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from c360_stream.contracts.records import Move, Reason
from c360_stream.features.definitions import GROUPS, INDEX, SPECS
from c360_stream.models.shipped import SHIPPED_BREAKPOINTS
from c360_stream.scoring.reason_groups import changes, tones, topics
from c360_stream.scoring.reasons import MODEL, MOVE_MIN, Reasons, RiskDeltas, reasons, risk_deltas
from tests.unit.scoring.plain_reasons import plain_moves, plain_reasons

Floats = NDArray[np.float64]


KINDS = 3  # of values in a matrix


@st.composite
def matrices(draw: st.DrawFn, count: int = 1) -> list[Floats]:
    """Some matrices of features, of as many rows, with nulls; values reach over the whole of each feature's curve.

    From two bytes a value: a draw of its own for each of a hundred takes twenty times as long.
    """
    shape = draw(st.integers(1, 6)), len(SPECS)
    size = 2 * shape[0] * shape[1]
    codes = [np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint16) for _ in range(count)]
    return [features_of(each.reshape(shape)) for each in codes]


def features_of(codes: NDArray[np.uint16]) -> Floats:
    """A third of the values each: where something changes, or null; any; a whole number."""
    kinds, places = codes % KINDS, codes // KINDS
    features = np.empty(codes.shape)
    for column, spec in enumerate(SPECS):
        points = SHIPPED_BREAKPOINTS[spec.name]
        turns = np.array([*points, *(each for each in (spec.bad_at, spec.good_at) if each is not None), np.nan])
        place = places[:, column]
        value = place / (2**16 // KINDS) * 1.2 * points[-1]
        features[:, column] = np.choose(kinds[:, column], [turns[place % len(turns)], value, np.round(value)])
    return features


def parts_of(features: Floats, seed: int) -> Floats:
    """Contributions with ties and zeros, in the middle small, rarely large."""
    random = np.random.default_rng(seed)
    return np.round(random.standard_t(2, features.shape) * 0.2, 2)


def check_direction(found: Reason, raising: bool) -> None:
    """Not good news where it raises, not bad news or a middling figure where it lowers: by the declaration alone."""
    spec = SPECS[INDEX[found.feature]]
    if spec.bad is None:
        assert " more often)" in found.text if raising else " less often)" in found.text
        return
    if found.value is None:
        assert raising
        return
    side = 1.0 if spec.bad == "low" else -1.0
    if raising and spec.good_at is not None:
        assert found.value * side < spec.good_at * side, found
    if not raising:
        assert spec.good_at is not None
        assert found.value * side >= spec.good_at * side, found


def strengths(found: list[Any]) -> list[float]:
    return [abs(each.contribution) for each in found]


@settings(deadline=None, max_examples=200)
@given(matrices(), st.integers(0, 2**32), st.booleans())
def test_reasons(found: list[Floats], seed: int, needed: bool) -> None:
    """Reasons raise, mitigations lower, each agrees with sense; a topic speaks once; the strongest first."""
    (features,) = found
    parts = parts_of(features, seed)
    raising, lowering = (each.by_row() for each in reasons(features, parts, np.full(len(parts), needed)))
    for row, (up_and_model, down) in enumerate(zip(raising, lowering, strict=True)):
        assert all(each.contribution > 0 for each in up_and_model)
        assert all(each.contribution < 0 for each in down)
        assert max(len(up_and_model), len(down)) <= 3
        up = [each for each in up_and_model if each.feature != MODEL]
        assert up == up_and_model or (needed and len(up_and_model) == 1)
        for each in up:
            check_direction(each, raising=True)
        for each in down:
            check_direction(each, raising=False)
        groups = [SPECS[INDEX[each.feature]].group for each in (*up, *down)]
        assert len(groups) == len(set(groups))
        for each, group in zip((*up, *down), groups, strict=True):
            members = [column for column, spec in enumerate(SPECS) if spec.group == group]
            assert np.isclose(each.contribution, parts[row, members].sum(), atol=1e-12)
        actionable = [SPECS[INDEX[each.feature]].actionable for each in up]
        assert actionable == sorted(actionable, reverse=True)
        for kind in (True, False):
            some = strengths([each for each, acts in zip(up, actionable, strict=True) if acts is kind])
            assert some == sorted(some, reverse=True)
        assert strengths(down) == sorted(strengths(down), reverse=True)


@settings(deadline=None, max_examples=100)
@given(matrices(2), st.integers(0, 2**32))
def test_parts_of_topics_add_up_and_do_not_depend_on_company(found: list[Floats], seed: int) -> None:
    """Shown and left-out parts together are the whole, and a row's bits are the same alone and among others."""
    features, before = found
    parts = parts_of(features, seed)
    for sounds in ((tones(features),), changes(before, features)):
        whole = topics(parts, *sounds)
        assert whole.part.shape == (len(GROUPS), len(parts))
        assert np.allclose(whole.part.sum(axis=0), parts.sum(axis=1), atol=1e-9)
    for row in range(len(parts)):
        one = slice(row, row + 1)
        for together, alone in zip(reasons(features, parts), reasons(features[one], parts[one]), strict=True):
            assert together.by_row()[row] == alone.by_row()[0]


@settings(deadline=None, max_examples=100)
@given(matrices(2), st.integers(0, 2**32))
def test_the_arrays_say_what_a_loop_over_topics_says(found: list[Floats], seed: int) -> None:
    features, before = found
    parts, needed = parts_of(features, seed), np.arange(len(features)) % 2 == 0
    model_part = parts_of(features, seed + 1)[:, 0]
    both = reasons(features, parts, needed)
    moved = risk_deltas(features, before, parts, model_part).by_row()
    for row in range(len(parts)):
        now, then = plain(features[row]), plain(before[row])
        wanted = plain_reasons(now, parts[row].tolist(), bool(needed[row]))
        assert [fields(each.by_row()[row]) for each in both] == [[tuple(one) for one in some] for some in wanted]
        wanted_moves = plain_moves(then, now, parts[row].tolist(), float(model_part[row]))
        assert fields(moved[row]) == [tuple(one) for one in wanted_moves]


@settings(deadline=None, max_examples=200)
@given(matrices(2), st.integers(0, 2**32), st.booleans())
def test_moves(found: list[Floats], seed: int, keep_strongest: bool) -> None:
    """What moved a risk is explained by a change that agrees, by the declared direction; a topic appears once."""
    features, before = found
    parts = parts_of(features, seed)
    for some in risk_deltas(features, before, parts, np.zeros(len(parts)), keep_strongest=keep_strongest).by_row():
        groups = [SPECS[INDEX[each.feature]].group for each in some]
        assert len(groups) == len(set(groups))
        assert strengths(some) == sorted(strengths(some), reverse=True)
        for place, each in enumerate(some):
            assert abs(each.contribution) >= MOVE_MIN or (keep_strongest and place == 0)
            spec = SPECS[INDEX[each.feature]]
            if spec.bad is not None and each.value is not None and each.before is not None:
                worse = each.value > each.before if spec.bad == "high" else each.value < each.before
                assert worse is (each.contribution > 0), each
            if spec.bad is None:
                assert f"({'raises' if each.contribution > 0 else 'lowers'} the risk; before: " in each.text


def plain(row: Floats) -> list[float | None]:
    return [None if np.isnan(each) else float(each) for each in row]


def fields(some: list[Reason] | list[Move]) -> list[tuple[Any, ...]]:
    return [tuple(getattr(each, name) for name in each.__struct_fields__) for each in some]


def test_columns_and_rows_say_the_same() -> None:
    features = np.full((2, len(SPECS)), 1.0)
    parts = np.zeros(features.shape)
    parts[1] = 0.3
    up, down = reasons(features, parts)
    assert isinstance(up, Reasons)
    assert up.offsets.tolist() == [0, 0, 3]
    assert [each.text for each in up.by_row()[1]] == up.text
    assert down.by_row() == [[], []]
    assert isinstance(risk_deltas(features, features, parts, np.zeros(2)), RiskDeltas)
