"""One schedule: a world, and lives of the flow over it, of which the last comes to the end of the input."""

from __future__ import annotations

import atexit
import faulthandler
import functools
import random
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bytewax.recovery import RecoveryConfig
from bytewax.testing import cluster_main

from c360_stream.connectors.clickhouse.connection import connect
from c360_stream.operators.run_context import RunContext
from c360_stream.operators.shared_intake import HeldDeadLetters
from c360_stream.runtime.recovery import begun, recovery_store
from c360_stream.settings import Settings
from flows.churn import build
from tests.reference.files import keeping_in_files
from tests.reference.log import Mess
from tests.reference.worlds import WorldSpec, write_world
from tests.simulation import broker, tables
from tests.simulation.broker import MemoryTopics
from tests.simulation.directories import Directories
from tests.simulation.fate import Fate
from tests.simulation.model import Result, differences
from tests.simulation.tables import MemoryTables

WORLDS = 4
FLOODED = WORLDS
"""One more world: bursts of rubbish, more of it than of events."""
FIRST_WORLD = 5  # an account cancels in the next two
# Crashes here are of the program, not of the machine: no snapshot need reach a disk, which takes most of the time.
MEMORY = Path("/dev/shm")
LIVES_MAX = 6
DAYS = 18
CALLS_MEAN = 80
SCHEDULE_SECONDS_MAX = 300
"""Of a clock that other work on the machine does not stop for: a schedule takes a hundredth of it."""
WORKERS = (1, 1, 2, 2, 3)
EPOCHS_MS = {1: (20, 60, 200), 2: (100, 200, 400), 3: (250, 400, 1000)}
"""By workers: several spin while they wait for each other's snapshots, and shorter epochs cost five times as much."""
SETTINGS: dict[str, Any] = {
    "kafka_brokers": broker.BROKERS,
    "clickhouse_dsn": tables.DSN,
    "shards": 2,
    "horizon_days": 6,
    "example_stride_days": 1,
    "warmup_outcomes": 20,
    "warmup_churned": 2,
    "live": False,
}
SMALL: dict[str, Any] = {
    "c360_stream.runtime.recovery.RECOVERY_PARTITIONS": 2,
    "c360_stream.operators.sink.SERVER_PARTS": 1,
    "c360_stream.operators.topic_sink.SERVER_PARTS": 2,
    # A few dead letters, so that partitions wait for a snapshot before they read on.
    "c360_stream.operators.ingest.DEAD_LETTER_BYTES_MAX": 1_500,
}


class WatchedDeadLetters(HeldDeadLetters):
    """Dead letters that are held, within their bound."""

    def __init__(self, fate: Fate, bytes_max: float) -> None:
        super().__init__(bytes_max)
        self._fate = fate
        self._waited = False

    def add(self, partition: str, size: int) -> None:
        """Take more: of a partition alone there may be too many only after this."""
        assert self._bytes.get(partition, 0) <= self._bytes_max, f"{partition} is read on for all the letters held"
        super().add(partition, size)

    def must_wait(self, partition: str) -> bool:
        """As before; say so once."""
        waits = super().must_wait(partition)
        if waits and not self._waited:
            self._fate.trace.append(f"{partition} waits at call {self._fate.calls}: many dead letters are held")
            self._waited = True
        return waits


@contextmanager
def small(fate: Fate) -> Iterator[None]:
    """Bounds that small worlds come to."""
    with ExitStack() as patches:
        watched = {"c360_stream.operators.ingest.HeldDeadLetters": functools.partial(WatchedDeadLetters, fate)}
        for name, value in (SMALL | watched).items():
            patches.enter_context(patch(name, value))
        yield


@dataclass(frozen=True)
class Shape:
    """How a life runs."""

    workers: int = 1
    batch_events: int = 200
    epoch: timedelta = timedelta(seconds=1)

    def __str__(self) -> str:
        return f"{self.workers} workers, batches of {self.batch_events}, an epoch of {self.epoch}"


def run_undisturbed(world: Path) -> Result:
    """One life, one worker, and nothing happens."""
    settings = Settings(**SETTINGS)
    topics, stored = MemoryTopics(world, settings), MemoryTables()
    live(topics, stored, Fate(), None, Shape())
    return Result(topics, stored, [])


@functools.cache
def world_of(number: int) -> tuple[Path, Result]:
    """A messy world and its undisturbed run, kept as long as the process.

    Events are reordered, repeated and late, clocks are ahead (or, in every other world, behind), and among the rubbish
    are times years ahead and behind.
    """
    home = tempfile.TemporaryDirectory(prefix="c360-simulation-")
    atexit.register(home.cleanup)
    folder = Path(home.name)
    mess = Mess(
        seed=number,
        partitions={"product": 2, "billing": 1, "support": 1},
        rubbish_share=0.1 if number == FLOODED else 0.03,
        rubbish_burst=20 if number == FLOODED else 1,
        clocks_ahead=0.3,
        ahead_hours=23.0 if number % 2 else -23.0,
    )
    write_world(WorldSpec(seed=FIRST_WORLD + number, accounts=7, days=DAYS, product_events_a_day=2.0), folder, mess)
    return folder, run_undisturbed(folder)


def world_number(seed: int) -> int:
    """The world of a schedule."""
    return FLOODED if random.Random(f"flood {seed}").random() < 0.1 else seed % WORLDS


def run_schedule(seed: int) -> Result:
    """Live, die, wait, stop, rescale and resume as the seed says."""
    draw, faults = random.Random(seed), random.Random(f"faults {seed}")
    world, _ = world_of(world_number(seed))
    topics, stored = MemoryTopics(world, Settings(**SETTINGS)), MemoryTables()
    in_files = seed // WORLDS % 2 == 1
    story = [f"world {world_number(seed)}, state in {'files' if in_files else 'the store'}"]
    result = Result(topics, stored, story)
    with tempfile.TemporaryDirectory(prefix="c360-simulation-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        directories = Directories(Path(folder), result, faults)
        for number in range(LIVES_MAX):
            last = number == LIVES_MAX - 1
            shape, fate = _draw_life(draw, faults, last=last)
            if world_number(seed) == FLOODED:  # partitions wait for most of an epoch
                shape = replace(shape, epoch=timedelta(milliseconds=EPOCHS_MS[shape.workers][1]))
            story.append(f"life {number}: {shape}")
            with keeping_in_files() if in_files else nullcontext():
                ended = directories.live(
                    functools.partial(live, topics, stored, fate, shape=shape), fate, resumes=number > 0
                )
            story += [*fate.trace, f"{'came to the end' if ended else 'ended'} after {fate.calls} calls"]
            if ended:
                break
    return result


def _draw_life(draw: random.Random, faults: random.Random, *, last: bool) -> tuple[Shape, Fate]:
    workers = draw.choice(WORKERS)
    fate = Fate(
        dies_at=0 if last else int(draw.expovariate(1 / CALLS_MEAN)) + 1,
        # Threads of one process may not all hear a stop; processes do: tests/flows/test_stop.py.
        stops_at=int(draw.expovariate(1 / CALLS_MEAN)) + 1 if not last and workers == 1 and draw.random() < 0.5 else 0,
        waits_at=frozenset(draw.sample(range(1, 200), draw.randint(0, 5))),
        strangers_at=frozenset(faults.sample(range(1, 60), faults.choice((0, 0, 2, 10)))),
        unknown_offsets=faults.choice((0, 0, 1, 2, 6)),
    )
    epoch = timedelta(milliseconds=draw.choice(EPOCHS_MS[workers]))
    return Shape(workers, draw.choice((3, 20, 100)), epoch), fate


def live(
    topics: MemoryTopics,
    stored: MemoryTables,
    fate: Fate,
    recovery: Path | None,
    shape: Shape,
    *,
    republish: bool = False,
) -> bool:
    """Run the flow once, as `c360 run` does; whether it came to the end of the input.

    Raises
    ------
    C360Error
        What made it fail; `StateError` if it refuses the recovery directory.
    """
    run = RunContext()
    fate.stop = run.shutdown.request
    settings = Settings(**SETTINGS, batch_events=shape.batch_events)
    with small(fate), broker.serving(topics, fate), tables.serving(stored, fate):
        try:
            with recovery_store(recovery, settings, republish=republish):
                began = begun(recovery)
                topics.store = began.store
                flow = build(
                    settings,
                    run=run,
                    exactly_once=recovery is not None,
                    recovery=recovery,
                    begun=began,
                    open_store=lambda _: connect(tables.DSN, patience_seconds=60, waiting=run.shutdown.waiting),
                )
                cluster_main(
                    flow,
                    [],
                    0,
                    epoch_interval=shape.epoch,
                    recovery_config=RecoveryConfig(str(recovery)) if recovery else None,
                    worker_count_per_proc=shape.workers,
                )
                if run.shutdown.requested:
                    return False
                run.outboxes.finish()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            if fate.dead or run.shutdown.requested:
                return False
            if (failure := run.shutdown.first_failure) is not None:
                raise failure from None
            raise
    return not fate.dead


def check(seed: int) -> Result:
    """Run a schedule and raise AssertionError, with its seed and story, if anything is lost, doubled or different."""
    # A hang is a failure too: it ends the process, and says where.
    faulthandler.dump_traceback_later(SCHEDULE_SECONDS_MAX, exit=True)
    try:
        result = run_schedule(seed)
    finally:
        faulthandler.cancel_dump_traceback_later()
    wrong = differences(result, world_of(world_number(seed))[1])
    story = "\n  ".join([*wrong, *result.story])
    assert not wrong, f"python -m tests.simulation --seed {seed} --trace\n  {story}"
    return result
