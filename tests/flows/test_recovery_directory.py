"""A recovery directory that is older than what was published, or lost: nothing is lost or published twice unasked."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.flows.processes import ends
from tests.flows.test_determinism import SMALL_BATCHES, assert_same
from tests.reference.check import RISK_TOPIC, Tables
from tests.reference.flow_run import FlowRun
from tests.reference.log import WrittenLog
from tests.reference.oracle import Truth

pytestmark = pytest.mark.slow


def published(run: FlowRun) -> dict[str, bytes]:
    """What is in the output topics."""
    return {
        path.parent.name: path.read_bytes() for path in run.log_dir.glob("*.v1/0.jsonl") if "events" not in str(path)
    }


def test_an_older_one_is_refused_and_the_newest_goes_on(
    world: WrittenLog, truth: Truth, undisturbed: FlowRun, tables: Tables, home: Path
) -> None:
    run = FlowRun(world.path, home, recovery=True, settings=SMALL_BATCHES)
    assert run.kill_when(partial(run.has_written, undisturbed.risk_bytes() * 0.2))
    shutil.copytree(home / "recovery", home / "older")
    assert run.kill_when(partial(run.has_written, undisturbed.risk_bytes() * 0.8))
    (home / "recovery").rename(home / "newest")
    (home / "older").rename(home / "recovery")
    before = published(run)
    assert ends(run.start(), run) == 1
    assert (
        "the recovery directory is older than what has been published from it; put the newest one back" in run.output()
    )
    assert published(run) == before
    shutil.rmtree(home / "recovery")
    (home / "newest").rename(home / "recovery")
    run.finish()
    assert_same(run, world, truth, tables, resumed=True)


def test_a_lost_one_publishes_nothing_again_unless_it_is_asked_to(
    world: WrittenLog, truth: Truth, tables: Tables, home: Path
) -> None:
    run = FlowRun(world.path, home, recovery=True)
    run.finish()
    before = published(run)
    shutil.rmtree(home / "recovery")
    assert ends(run.start(), run) == 1
    assert f"is new, but {RISK_TOPIC} has records" in run.output()
    assert "--republish" in run.output()
    assert published(run) == before
    assert ends(run.start("--republish"), run) == 0, run.output()
    assert published(run) == {topic: content * 2 for topic, content in before.items()}
    assert_same(run, world, truth, tables)
