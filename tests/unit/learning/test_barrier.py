"""Barriers: a day or an hour is closed when every shard has closed it, and not before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.learning.barrier import HourBarrier, TickBarrier
from c360_stream.state.codec import pack, unpack
from c360_stream.state.fields import fields

DAYS, SHARDS = 4, 3
turns = st.permutations([shard for shard in range(SHARDS) for _ in range(DAYS)])


class Barrier(TickBarrier[list[int]]):
    kept = fields(_days=dict[int, dict[int, list[int]]])


@given(turns, st.integers(0, DAYS * SHARDS))
def test_days_complete_in_order_with_the_parts_in_order_of_shard(order: list[int], cut: int) -> None:
    """Resuming in between included: what waits is in the state."""
    barrier, days, out = Barrier(SHARDS), [0] * SHARDS, []
    for position, shard in enumerate(order):
        if position == cut:
            state = pack("learn", barrier.state())
            barrier = Barrier(SHARDS)
            barrier.restore(unpack("learn", state))
        parts = barrier.put(days[shard], shard, [days[shard], shard])
        days[shard] += 1
        closed = min(days)
        if parts is not None:
            out.append(parts)
        assert len(out) == closed, "a day is given as soon as the last shard has closed it"
    assert out == [[[day, shard] for shard in range(SHARDS)] for day in range(DAYS)]


@given(st.lists(st.tuples(st.integers(0, SHARDS - 1), st.integers(1, 30)), max_size=30), st.integers(0, 29))
def test_hours_are_added_up_over_the_shards_once_each(closings: list[tuple[int, int]], cut: int) -> None:
    """Shards close hours in steps of their own; an hour comes out whole, in order, and once."""
    barrier, reached = HourBarrier(SHARDS, topics=2), [1_000] * SHARDS
    given_out: list[tuple[int, list[int]]] = []
    for position, (shard, hours) in enumerate(closings):
        if position == cut:
            state = pack("monitor", barrier.state())
            barrier = HourBarrier(SHARDS, topics=2)
            barrier.restore(unpack("monitor", state))
        first = reached[shard]
        counts = np.array([[shard + 1] * hours, range(first, first + hours)])
        reached[shard] += hours
        closed = barrier.put(shard, first, counts)
        if closed is not None:
            given_out += [(closed[0] + i, column) for i, column in enumerate(closed[1].T.tolist())]
    spoken = {shard for shard, _ in closings}
    due = range(1_000, min(reached)) if len(spoken) == SHARDS else range(0)
    assert given_out == [(hour, [6, SHARDS * hour]) for hour in due]
