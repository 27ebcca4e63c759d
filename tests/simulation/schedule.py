"""One schedule: a world, and lives of the flow over it, of which the last comes to the end of the input."""

from __future__ import annotations

import atexit
import faulthandler
import functools
import json
import random
import tempfile
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from c360_stream.commands.recovery import forget_incomplete_epoch
from c360_stream.operators import outbox, stop
from c360_stream.settings import Settings
from flows.churn import build
from tests.reference.files import keeping_in_files
from tests.reference.log import Mess
from tests.reference.worlds import WorldSpec, write_world
from tests.simulation.places import Fate, MemoryStore, MemoryTables, MemoryTopics, MemoryTransport

WORLDS = 4
FIRST_WORLD = 5  # an account cancels in the next two
# Crashes here are of the program, not of the machine: no snapshot need reach a disk, which takes most of the time.
MEMORY = Path("/dev/shm")
RISK_TOPIC = "c360.risk.scores.v1"
LIVES_MAX = 6
SCHEDULE_SECONDS_MAX = 60
WORKERS_MAX = 3
RECOVERY_PARTITIONS = 2
EPOCH_FACTORS = {1: 1, 2: 2, 3: 5}
SETTINGS: dict[str, Any] = {
    "shards": 3,
    "horizon_days": 10,
    "example_stride_days": 2,
    "warmup_outcomes": 20,
    "warmup_churned": 2,
    "live": False,
}
EXACT_KEYS = {
    "account_features": ("account_id", "as_of"),
    "outcomes": ("account_id", "as_of", "known_at"),
    "drift_alarms": ("alarm_id",),
    "interventions": ("as_of", "contacted", "playbook", "tier"),
    "model_metrics": ("model_name", "metric", "segment", "as_of", "model_version"),
    "model_versions": ("model_name", "model_version"),
    "dead_letters": ("topic", "partition", "offset"),
    "risk_scores": ("score_id",),
}


@dataclass
class Result:
    """What is in the places in the end."""

    topics: MemoryTopics
    tables: MemoryTables
    story: list[str]


def run_undisturbed(world: Path) -> Result:
    """One life, one worker, and nothing happens."""
    topics, tables = MemoryTopics(world), MemoryTables()
    live(topics, tables, Fate(), None, workers=1, batch_events=200, epoch=timedelta(seconds=1))
    return Result(topics, tables, [])


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
        rubbish_share=0.03,
        clocks_ahead=0.3,
        ahead_hours=23.0 if number % 2 else -23.0,
    )
    write_world(WorldSpec(seed=FIRST_WORLD + number, accounts=7, days=26, product_events_a_day=2.0), folder, mess)
    return folder, run_undisturbed(folder)


def run_schedule(seed: int) -> Result:
    """Live, die, wait, stop, rescale and resume as the seed says."""
    draw = random.Random(seed)
    world, _ = world_of(seed % WORLDS)
    topics, tables = MemoryTopics(world), MemoryTables()
    story: list[str] = []
    with tempfile.TemporaryDirectory(prefix="c360-simulation-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        recovery = Path(folder)
        init_db_dir(recovery, RECOVERY_PARTITIONS)
        in_files = seed // WORLDS % 2 == 1
        story.append(f"state in {'files' if in_files else 'the store'}")
        for number in range(LIVES_MAX):
            last = number == LIVES_MAX - 1
            workers = draw.randint(1, WORKERS_MAX)
            fate = Fate(
                dies_at=0 if last else int(draw.expovariate(1 / 120)) + 1,
                # Threads of one process may not all hear a stop; processes do: tests/flows/test_stop.py.
                stops_at=int(draw.expovariate(1 / 120)) + 1 if not last and workers == 1 and draw.random() < 0.5 else 0,
                waits_at=frozenset(draw.sample(range(1, 200), draw.randint(0, 5))),
                stop=stop.request_stop,
            )
            # Workers of one process spin while they wait for each other's snapshots, which come the later for it.
            epoch = timedelta(milliseconds=draw.choice((20, 60, 200)) * EPOCH_FACTORS[workers])
            batch = draw.choice((3, 20, 100))
            story.append(f"life {number}: {workers} workers, batches of {batch}, an epoch of {epoch}")
            forget_incomplete_epoch(recovery)  # as `c360 run` does
            with keeping_in_files() if in_files else nullcontext():
                ended = live(topics, tables, fate, recovery, workers=workers, batch_events=batch, epoch=epoch)
            story += [*fate.trace, f"{'came to the end' if ended else 'ended'} after {fate.calls} calls"]
            if ended:
                break
    return Result(topics, tables, story)


def live(
    topics: MemoryTopics,
    tables: MemoryTables,
    fate: Fate,
    recovery: Path | None,
    *,
    workers: int,
    batch_events: int,
    epoch: timedelta,
) -> bool:
    """Run the flow once; whether it came to the end of the input."""
    # What a new process does not have.
    stop._stop.clear()
    stop._given_up.clear()
    stop._failures.clear()
    outbox._unfinished.clear()
    settings = Settings(**SETTINGS, batch_events=batch_events)
    flow = build(
        settings,
        exactly_once=recovery is not None,
        recovery=recovery,
        transport=MemoryTransport(topics, fate),
        open_store=lambda _: MemoryStore(tables, fate, stop.waiting),
    )
    try:
        cluster_main(
            flow,
            [],
            0,
            epoch_interval=epoch,
            recovery_config=RecoveryConfig(str(recovery)) if recovery else None,
            worker_count_per_proc=workers,
        )
        if stop.stop_requested():
            return False
        outbox.finish_outboxes()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        if fate.dead or stop.stop_requested():
            return False
        raise
    return not fate.dead


def differences(result: Result, undisturbed: Result) -> list[str]:
    """What the model says is wrong; empty if all is well."""
    found: list[str] = []
    for table, key in EXACT_KEYS.items():
        found += _compare(table, _rows(result.tables, table), _rows(undisturbed.tables, table), key)
    ours, theirs = (
        Counter((topic, record.key, record.value, record.headers) for topic, record in _exact(each.topics))
        for each in (result, undisturbed)
    )
    found += [f"topic record lost: {record}" for record in list((theirs - ours).elements())[:3]]
    found += [f"topic record doubled or wrong: {record}" for record in list((ours - theirs).elements())[:3]]
    return found + _overtaken(result.topics)


def _rows(tables: MemoryTables, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tables.rows(table)
    return [row for row in rows if row["trigger"] == "tick"] if table == "risk_scores" else rows


def _compare(table: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]], key: tuple[str, ...]) -> list[str]:
    by_key = {tuple(row[name] for name in key): row for row in theirs}
    counts = Counter(tuple(row[name] for name in key) for row in ours)
    found = [f"{table}: lost {each}" for each in by_key.keys() - counts.keys()][:3]
    found += [f"{table}: {number} times {each}" for each, number in counts.items() if number > 1][:3]
    found += [f"{table}: never due {each}" for each in counts.keys() - by_key.keys()][:3]
    for row in ours:
        each = tuple(row[name] for name in key)
        if each in by_key and repr(row) != repr(by_key[each]):  # repr: NaN equals itself, floats to the bit
            found.append(f"{table}: {row} is not {by_key[each]}")
            break
    return found


def _score(value: bytes | None) -> dict[str, Any]:
    with suppress(ValueError):
        score = json.loads(value or b"null")
        if isinstance(score, dict):
            return score
    return {}


def _exact(topics: MemoryTopics) -> list[tuple[str, Any]]:
    """Everything published but scores that events triggered."""
    return [
        (topic, record)
        for topic, record in topics.seen
        if topic != RISK_TOPIC or record.value is None or _score(record.value).get("trigger") == "tick"
    ]


def _overtaken(topics: MemoryTopics) -> list[str]:
    """Scores on the compacted topic after which an older tick score came: the newest record must be the newest."""
    newest: dict[Any, str] = {}
    found = []
    for topic, record in topics.seen:
        if topic != RISK_TOPIC or record.value is None:
            continue
        score = _score(record.value)
        if score["trigger"] == "tick" and score["as_of"] < newest.get(record.key, ""):
            found.append(f"the tick score of {record.key!r} at {score['as_of']} came after {newest[record.key]}")
        newest[record.key] = max(newest.get(record.key, ""), score["as_of"])
    return found[:3]


def check(seed: int) -> Result:
    """Run a schedule and raise AssertionError, with its seed and story, if anything is lost, doubled or different."""
    # A hang is a failure too: it ends the process, and says where.
    faulthandler.dump_traceback_later(SCHEDULE_SECONDS_MAX, exit=True)
    try:
        result = run_schedule(seed)
    finally:
        faulthandler.cancel_dump_traceback_later()
    wrong = differences(result, world_of(seed % WORLDS)[1])
    story = "\n  ".join([*wrong, *result.story])
    assert not wrong, f"python -m tests.simulation --seed {seed} --trace\n  {story}"
    return result
