"""Hash tables, and what is kept in them, say the same as dicts and sets would."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from c360_stream.arrays import hash_table as hashtable
from c360_stream.arrays.hash_table import GROWTH, LOAD_MAX, HashTable
from c360_stream.features.presence import Presence
from c360_stream.features.recent_ids import RecentIds
from c360_stream.features.windows import WINDOW_DAYS
from c360_stream.state.codec import pack, unpack


@pytest.fixture(autouse=True, scope="module")
def _factor_of_one() -> Iterator[None]:
    """Homes are what the keys say, so that hard ones can be chosen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashtable, "randbits", lambda _: 0)
        yield


# Small numbers all have their home in the first slot and large ones in the last; 0 marks an empty slot.
HARD = st.one_of(st.integers(0, 90), st.integers(2**64 - 90, 2**64 - 1))
KEYS = st.one_of(HARD, st.integers(0, 2**64 - 1))
# Numbers that many keys are made of, so that tables grow.
MANY = st.tuples(st.integers(0, 2**32), st.sampled_from((1, 100, 700)))


def array(keys: list[int]) -> NDArray[np.uint64]:
    return np.array(keys, np.uint64)


def hashes(seed: int, count: int) -> list[int]:
    """Evenly spread keys, the same for the same seed."""
    keys: list[int] = np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64).tolist()
    return keys


def owner(key: int) -> int:
    return key % 7


BATCHES = st.one_of(st.lists(KEYS, max_size=60), MANY.map(lambda spec: hashes(*spec)))


@given(st.lists(st.tuples(BATCHES, st.booleans()), max_size=8))
@settings(deadline=None, max_examples=150)
def test_a_table_finds_what_was_put_in_and_nothing_else(steps: list[tuple[list[int], bool]]) -> None:
    table = HashTable(np.int64, np.uint8)
    known: dict[int, int] = {}
    for number, (keys, thin_out) in enumerate(steps):
        slots, absent = table.place(array(keys))
        assert table.keys[slots].tolist() == keys
        assert sorted(absent.tolist()) == [i for i, key in enumerate(keys) if key not in known]
        assert table.columns[0][slots].tolist() == [known.get(key, 0) for key in keys]
        table.columns[0][slots] = number + 1
        known |= dict.fromkeys(keys, number + 1)
        if thin_out:
            slots = table.slots()
            table.keep(slots[table.keys[slots] % np.uint64(3) == 0])
            known = {key: value for key, value in known.items() if key % 3 == 0}
        slots = table.slots()
        assert len(table) == len(known)
        assert dict(zip(table.keys[slots].tolist(), table.columns[0][slots].tolist(), strict=True)) == known
        assert not table.columns[1].any()


@given(st.lists(KEYS, min_size=1, max_size=200, unique=True), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_what_is_found_does_not_depend_on_the_order_of_arrival(keys: list[int], random: Any) -> None:
    shuffled = random.sample(keys, len(keys))
    table = HashTable(np.int64)
    for key in shuffled:
        slots, _ = table.place(array([key]))
        table.columns[0][slots] = owner(key)
    slots, absent = table.place(array(keys))
    assert not len(absent)
    assert table.columns[0][slots].tolist() == [owner(key) for key in keys]


def test_a_table_is_no_larger_than_it_says() -> None:
    table = HashTable(np.uint8)
    spare = 64 + 32  # the least capacity, and what is behind the homes
    for start in range(0, 40_000, 400):
        table.place(array(hashes(start, 400)))
        assert len(table) / LOAD_MAX - 1 <= len(table.keys) <= len(table) * GROWTH / LOAD_MAX + spare
    table.keep(table.slots()[::100])
    assert len(table.keys) <= len(table) * GROWTH / LOAD_MAX + spare


def test_keys_that_repeat_within_batches_do_not_make_it_grow() -> None:
    table = HashTable()
    keys = array(hashes(1, 40))
    for _ in range(50):
        table.place(np.repeat(keys, 30))
    before = len(table.keys)
    table = HashTable()
    table.place(keys)
    assert len(table.keys) == before


THINGS = st.one_of(HARD, st.sampled_from(hashes(5, 40)))
MARKS = st.lists(st.tuples(THINGS, st.integers(0, 2) | st.integers(0, WINDOW_DAYS - 1)), max_size=50)
PRESENCE_STEPS = st.one_of(
    st.tuples(st.just("mark"), MARKS),
    st.tuples(st.just("mark"), MANY.map(lambda spec: [(key, 0) for key in hashes(*spec)])),
    st.tuples(st.just("open_day"), st.integers(1, 12)),
    st.tuples(st.just("resume"), st.none()),
)


def mark(presence: Presence, marks: list[tuple[int, int]]) -> list[tuple[int, int]]:
    keys, ages = [key for key, _ in marks], [age for _, age in marks]
    account, age = presence.mark(
        array(keys), np.array([owner(key) for key in keys], np.int32), np.array(ages, np.int64)
    )
    return sorted(zip(account.tolist(), age.tolist(), strict=True))


@given(st.lists(PRESENCE_STEPS, max_size=14))
@settings(deadline=None, max_examples=200)
def test_presence_is_a_set_of_days_a_thing(steps: list[tuple[str, Any]]) -> None:
    presence = Presence()
    presence.reserve(7)
    model: dict[int, set[int]] = {}
    today = 100
    for step, given_ in steps:
        if step == "mark":
            fresh = {(key, age) for key, age in given_ if today - age not in model.get(key, ())}
            assert mark(presence, given_) == sorted((owner(key), age) for key, age in fresh)
            for key, age in given_:
                model.setdefault(key, set()).add(today - age)
        elif step == "open_day":
            for _ in range(given_):
                today += 1
                presence.open_day()
            model = {key: kept for key, days in model.items() if (kept := {d for d in days if d > today - WINDOW_DAYS})}
        else:
            state = unpack("s", pack("s", presence.state()))
            presence = Presence()
            presence.restore(state)
            presence.reserve(7)
        assert len(presence) == len(model)
        assert presence.distinct[:7].tolist() == [sum(owner(key) == account for key in model) for account in range(7)]


ID_STEPS = st.one_of(
    st.tuples(st.just("fresh"), st.lists(THINGS, max_size=50)),
    st.tuples(st.just("fresh"), MANY.map(lambda spec: hashes(*spec))),
    st.tuples(st.just("open_day"), st.integers(1, 3)),
    st.tuples(st.just("resume"), st.none()),
)


@given(st.integers(1, 3), st.lists(ID_STEPS, max_size=14))
@settings(deadline=None, max_examples=200)
def test_recent_ids_are_a_set_a_day(days: int, steps: list[tuple[str, Any]]) -> None:
    recent = RecentIds(days)
    model: dict[int, set[int]] = {}
    today = 0
    for step, given_ in steps:
        if step == "fresh":
            expected = []
            for key in given_:
                expected.append(not any(key in seen for seen in model.values()))
                model.setdefault(today, set()).add(key)
            assert recent.fresh(array(given_), today).tolist() == expected
        elif step == "open_day":
            today += given_
            recent.open_day(today)
            model = {day: seen for day, seen in model.items() if day >= today - days}
        else:
            state = unpack("s", pack("s", recent.state()))
            recent = RecentIds(days)
            recent.restore(state)
        assert len(recent) == len(set().union(*model.values()))


def test_repeats_of_an_id_in_a_large_batch_are_known_for_repeats() -> None:
    ids = hashes(3, 5_000)
    batch = [*ids, 0, *ids[::-1], 0]
    assert RecentIds(1).fresh(array(batch), 10).tolist() == [True] * 5_001 + [False] * 5_001


def test_who_chooses_keys_does_not_choose_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that would all have one home would make each new one look through all before it."""
    chosen = np.arange(1, 20_001, dtype=np.uint64)
    monkeypatch.setattr(hashtable, "randbits", lambda _: 0x9E3779B97F4A7C15)
    table = HashTable(room=len(chosen))
    assert len(set(table._homes(chosen).tolist())) > 10_000
    slots, _ = table.place(chosen)
    resumed = HashTable()
    resumed.restore(unpack("s", pack("s", table.state())))
    assert (resumed.place(chosen)[0] == slots).all()


def test_each_table_has_a_factor_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashtable, "randbits", secrets.randbits)
    assert HashTable()._factor != HashTable()._factor
