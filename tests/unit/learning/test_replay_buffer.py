"""The replay buffer: the newest examples, whole days, bounded."""

from __future__ import annotations

from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.replay_buffer import ReplayBuffer
from c360_stream.state.codec import pack, unpack
from c360_stream.state.fields import codec_of
from tests.unit.models.test_catalogue import block


def test_keeps_the_newest_whole_days() -> None:
    buffer = ReplayBuffer(25)
    buffer.add(ExampleBlock.none())
    for day in range(10):
        buffer.add(block(10, seed=day, day=day))
    assert len(buffer) == len(buffer.examples()) == 30
    assert sorted(set(buffer.examples().as_of_day.tolist())) == [7, 8, 9]


def test_goes_on_from_a_packed_state() -> None:
    buffer, resumed = ReplayBuffer(25), ReplayBuffer(25)
    for day in range(4):
        buffer.add(block(10, seed=day, day=day))
    resumed.restore(unpack("learn", pack("learn", buffer.state())))
    for each in (buffer, resumed):
        each.add(block(7, seed=9, day=9))
    assert len(resumed) == len(buffer)
    stored = codec_of(ExampleBlock)
    assert pack("b", stored.dump(resumed.examples())) == pack("b", stored.dump(buffer.examples()))
