"""The replay buffer: the newest examples, whole days, bounded."""

from __future__ import annotations

from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.replay_buffer import ReplayBuffer
from c360_stream.state.codec import pack, unpack
from c360_stream.state.fields import codec_of
from tests.unit.models.test_catalogue import block


def test_keeps_the_newest_whole_days() -> None:
    buffer = ReplayBuffer(300)
    buffer.add(ExampleBlock.none())
    for day in range(30):
        assert buffer.complete
        buffer.add(block(10, seed=day, day=day))
    buffer.add(block(10, seed=30, day=30))
    assert len(buffer) == len(buffer.examples()) == 300
    assert sorted(set(buffer.examples().as_of_day.tolist())) == [*range(1, 31)]
    assert buffer.newest_day == 30
    assert not buffer.complete


def test_of_many_examples_a_day_it_keeps_so_many_that_four_weeks_fit() -> None:
    buffer = ReplayBuffer(28)
    buffer.add(block(10, seed=0, day=0))
    assert len(buffer) == 1
    assert not buffer.complete


def test_goes_on_from_a_packed_state() -> None:
    buffer, resumed = ReplayBuffer(280), ReplayBuffer(280)
    for day in range(4):
        buffer.add(block(10, seed=day, day=day))
    resumed.restore(unpack("learn", pack("learn", buffer.state())))
    for each in (buffer, resumed):
        each.add(block(7, seed=9, day=9))
    assert len(resumed) == len(buffer)
    stored = codec_of(ExampleBlock)
    assert pack("b", stored.dump(resumed.examples())) == pack("b", stored.dump(buffer.examples()))
