"""The watchdog: what it takes for a hang, for an outage and for a night's sleep."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping

import pytest

from c360_stream import metrics
from c360_stream.errors import TransportError
from c360_stream.operators.health import Health
from c360_stream.runtime.watchdog import (
    PARTITIONS_SECONDS,
    CollectorWatch,
    PartitionWatch,
    ProgressWatch,
    Watchdog,
)

STALL_SECONDS = 120


class Ended(Exception):  # noqa: N818
    """The process was ended."""


class Process:
    """A process whose seconds pass when told, with a broker that can be away."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.away = ""
        self.health = Health(STALL_SECONDS, self.clock)
        self.watch = ProgressWatch(STALL_SECONDS, lambda: self.away, self.end, self.health, self.clock)

    def clock(self) -> float:
        return self.now

    def end(self, message: str) -> None:
        raise Ended(message)

    def live(self, seconds: int, *, beats: bool = False) -> None:
        """Let time pass, with a look a second."""
        for _ in range(seconds):
            self.now += 1
            if beats:
                self.health.progress()
            self.watch.look()


@pytest.fixture
def process() -> Process:
    process = Process()
    process.health.sources_opened()
    process.live(10, beats=True)
    return process


def test_a_flow_that_starts_or_has_ended_may_take_its_time() -> None:
    process = Process()
    process.live(10 * STALL_SECONDS)
    process.health.sources_opened()
    process.live(10 * STALL_SECONDS, beats=True)
    process.health.stopped()
    process.live(10 * STALL_SECONDS)


def test_silence_ends_it(process: Process) -> None:
    process.live(STALL_SECONDS)
    with pytest.raises(Ended, match="no progress for 121 s: a process of the cluster hangs"):
        process.live(1)


def test_a_big_tick_does_not(process: Process) -> None:
    for _ in range(5):
        process.live(STALL_SECONDS - 1)
        process.live(1, beats=True)


def test_an_outage_explains_silence_and_is_told_once(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    process.away = "Kafka at broker:9092: no answer"
    process.live(10 * STALL_SECONDS)
    assert not process.health.unlive_reason(), "nobody shall restart it for that"
    assert "Kafka at broker:9092" in process.health.unready_reason()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    process.live(1, beats=True)
    process.live(STALL_SECONDS)
    assert len(caplog.records) == 2, "another one"
    process.away = ""
    process.live(STALL_SECONDS - 10)
    with pytest.raises(Ended):
        process.live(20)


def test_a_process_that_was_suspended_gets_its_time_again(process: Process) -> None:
    process.now += 100_000
    process.live(STALL_SECONDS - 1)
    process.live(10, beats=True)
    process.now += 100_000
    with pytest.raises(Ended):
        process.live(STALL_SECONDS + 2)


class Topics:
    """A broker that says how many partitions there are."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts = counts
        self.asked = 0
        self.away = False

    def __call__(self) -> Mapping[str, int]:
        self.asked += 1
        if self.away:
            raise TransportError("away")
        return self.counts


def test_partitions_that_nobody_reads_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    topics, now = Topics({"grown": 6, "same": 4, "unknown": 1}), [0.0]
    metrics.INPUT_PARTITIONS.labels("grown").set(4)
    metrics.INPUT_PARTITIONS.labels("same").set(4)
    try:
        watch = PartitionWatch(topics, lambda: now[0])
        watch.look()
        assert topics.asked == 0
        topics.away = True
        now[0] += PARTITIONS_SECONDS
        watch.look()
        watch.look()
        assert (topics.asked, caplog.records) == (1, []), "an outage is told by others"
        topics.away = False
        for _ in range(3):
            now[0] += PARTITIONS_SECONDS
            watch.look()
        assert topics.asked == 4
        assert [record.getMessage() for record in caplog.records] == [
            "this run reads 4 partitions of grown, which has 6: restart it"
        ]
        topics.counts = {"grown": 8}
        now[0] += PARTITIONS_SECONDS
        watch.look()
        found = metrics.REGISTRY.get_sample_value("c360_input_partitions_found", {"topic": "grown"})
        assert found == 8, "told in words once, in the metrics for as long as it lasts"
    finally:
        metrics.INPUT_PARTITIONS.clear()
        metrics.INPUT_PARTITIONS_FOUND.clear()


def test_it_looks_until_it_is_closed() -> None:
    class Looks:
        count = 0

        def look(self) -> None:
            self.count += 1
            watchdog.close()

    looks = Looks()
    watchdog = Watchdog(looks)
    watchdog._thread.join(30)
    assert not watchdog._thread.is_alive()
    assert looks.count == 1


def test_cycles_are_collected_again_once_the_flow_moves() -> None:
    """Not before: resuming makes millions of objects that stay."""
    before = gc.get_threshold()
    health = Health()
    watch = CollectorWatch(health)
    gc.disable()
    try:
        watch.look()
        assert not gc.isenabled()
        health.sources_opened()
        health.progress()
        watch.look()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
        gc.enable()
