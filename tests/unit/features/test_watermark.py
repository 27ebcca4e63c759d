"""The watermark: the least mark of all partitions, the greatest event time once all have ended."""

from __future__ import annotations

from collections.abc import Sequence

from c360_stream.contracts.events import US_PER_DAY, US_PER_HOUR
from c360_stream.features.columns import END_OF_TIME, NO_TIME, ShardBatch
from c360_stream.features.watermark import Watermark
from c360_stream.state.codec import pack, unpack


def says(
    partition: str,
    latest_us: int,
    *,
    first_us: int = 0,
    ended: bool = False,
    mark_us: int | None = None,
    doubtful: Sequence[tuple[int, int]] = (),
) -> ShardBatch:
    mark_us = latest_us if mark_us is None else mark_us
    return ShardBatch(
        shard=0,
        partition=partition,
        mark_us=mark_us,
        first_us=first_us,
        ended=ended,
        events=None,
        unsettled=(),
        doubtful=doubtful,
        latest_us=latest_us,
        events_read=100,
        accounts=range(8),
    )


def test_a_partition_that_has_sent_nothing_holds_it() -> None:
    watermark = Watermark(["a", "b"], 0)
    watermark.receive(says("a", 100))
    assert watermark.now_us == NO_TIME
    watermark.receive(says("b", 7))
    assert watermark.now_us == 7


def test_a_partition_that_has_ended_holds_nobody() -> None:
    watermark = Watermark(["a", "b"], 0)
    watermark.receive(says("b", 7, ended=True))
    watermark.receive(says("a", 100))
    assert watermark.now_us == 100


def test_at_the_end_of_the_input_it_moves_to_the_greatest_event_time_read() -> None:
    watermark = Watermark(["a", "b", "empty"], 50)
    watermark.receive(says("a", 100, mark_us=50, ended=True))
    watermark.receive(says("b", 90, mark_us=40))
    watermark.receive(says("empty", NO_TIME, mark_us=NO_TIME, ended=True))
    assert watermark.now_us == 40
    watermark.receive(says("b", 95, mark_us=45, ended=True))
    assert watermark.now_us == 100


def test_it_never_moves_back() -> None:
    watermark = Watermark(["a"], 0)
    watermark.receive(says("a", 100))
    watermark.receive(says("a", 100, mark_us=20))
    assert watermark.now_us == 100


def test_an_input_without_events_has_no_time() -> None:
    watermark = Watermark(["a"], 0)
    watermark.receive(says("a", NO_TIME, first_us=NO_TIME, ended=True))
    assert watermark.now_us == NO_TIME
    assert watermark.first_day() is None


def test_the_first_day_is_that_of_the_earliest_event_there_can_be() -> None:
    watermark = Watermark(["a", "b", "c"], US_PER_HOUR)
    watermark.receive(says("a", 0, first_us=10 * US_PER_DAY + US_PER_HOUR))
    watermark.receive(says("b", NO_TIME, first_us=NO_TIME, ended=True))
    assert watermark.first_day() is None, "c might begin earlier"
    watermark.receive(says("c", 0, first_us=20 * US_PER_DAY))
    assert watermark.first_day() == 10
    watermark.receive(says("c", 0, first_us=9 * US_PER_DAY))
    assert watermark.first_day() == 10, "of each partition the first message counts"
    early = Watermark(["a"], US_PER_HOUR)
    early.receive(says("a", 0, first_us=10 * US_PER_DAY + US_PER_HOUR - 1))
    assert early.first_day() == 9


def test_a_resumed_run_does_not_trust_that_partitions_have_ended() -> None:
    """More may have been written to them meanwhile."""
    watermark = Watermark(["a", "b"], 0)
    watermark.receive(says("a", 100, ended=True))
    watermark.receive(says("b", 7))
    resumed = Watermark(["a", "b"], 0)
    resumed.restore(unpack("s", pack("s", watermark.state())))
    resumed.receive(says("b", 500))
    assert resumed.now_us == 7
    resumed.receive(says("a", 200))
    assert resumed.now_us == 200


def test_new_partitions_hold_and_lost_ones_are_forgotten() -> None:
    watermark = Watermark(["a", "lost"], 0)
    watermark.receive(says("a", 100))
    watermark.receive(says("lost", 90))
    resumed = Watermark(["a", "new"], 0)
    resumed.restore(watermark.state())
    resumed.receive(says("a", 500))
    assert resumed.now_us == 90
    resumed.receive(says("new", 400))
    assert resumed.now_us == 400
    assert resumed.now_us < END_OF_TIME


def test_at_the_end_no_single_event_moves_it_far() -> None:
    """Whatever the partition of that event says: the others know the time."""
    for last_day, end_day in ((107, 107), (108, 100)):
        last, end = last_day * US_PER_DAY, end_day * US_PER_DAY
        watermark = Watermark(["a", "b"], 0)
        watermark.receive(says("a", 100 * US_PER_DAY, first_us=99 * US_PER_DAY, ended=True))
        watermark.receive(says("b", 99 * US_PER_DAY, first_us=99 * US_PER_DAY, ended=True, doubtful=[(last, 3)]))
        assert watermark.now_us == end


def test_the_first_day_of_partitions_that_cannot_confirm_their_first_event() -> None:
    """A lonely event at the zero of some program begins nothing."""
    watermark = Watermark(["a", "b", "c"], 0)
    day = 20_000 * US_PER_DAY
    watermark.receive(says("a", NO_TIME, first_us=NO_TIME, ended=True, doubtful=[(0, 1)]))
    watermark.receive(says("c", NO_TIME, first_us=NO_TIME, ended=True, doubtful=[(day - 3 * US_PER_DAY, 2)]))
    assert watermark.first_day() is None
    watermark.receive(says("b", day, first_us=day))
    assert watermark.first_day() == 19_997


def test_a_partition_whose_events_confirm_nothing_yet_holds_it() -> None:
    watermark = Watermark(["a", "b"], 0)
    watermark.receive(says("a", 100))
    watermark.receive(says("b", NO_TIME, first_us=NO_TIME))
    assert (watermark.now_us, watermark.first_day()) == (NO_TIME, None)
    watermark.receive(says("b", 50, first_us=20))
    assert (watermark.now_us, watermark.first_day()) == (50, 0)


def test_an_idle_partition_without_events_begins_with_the_clock() -> None:
    watermark = Watermark(["a"], US_PER_HOUR)
    watermark.receive(says("a", NO_TIME, mark_us=9 * US_PER_DAY, first_us=9 * US_PER_DAY + US_PER_HOUR))
    assert watermark.first_day() == 9
