"""Several processes: started one by one or together, rescaled, and ended when one of them hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.flows.processes import children, ends, free_addresses, started, wait_until
from tests.flows.test_determinism import SMALL_BATCHES, assert_same
from tests.reference.check import Tables
from tests.reference.flow_run import FlowRun
from tests.reference.log import WrittenLog
from tests.reference.oracle import Truth

pytestmark = pytest.mark.slow
STALL_SECONDS = "15"  # on a busy machine a sound cluster may take a few to write its first score


def places(number: int) -> Iterator[tuple[str, ...]]:
    """Options of every process of a cluster that is started one by one."""
    peers = ",".join(free_addresses(number))
    for process in range(number):
        yield "--peers", peers, "--process", str(process)


def test_processes_that_are_started_one_by_one_are_one_cluster(
    world: WrittenLog, truth: Truth, tables: Tables, home: Path
) -> None:
    """The last one first: it waits until process 0 has made the recovery store."""
    run = FlowRun(world.path, home, recovery=True)
    with ExitStack() as held:
        processes = [held.enter_context(started(run, *options)) for options in reversed(list(places(2)))]
        assert [ends(process, run) for process in processes] == [0, 0], run.output()
    assert_same(run, world, truth, tables)


def test_a_process_of_a_cluster_takes_the_others_with_it(world: WrittenLog, home: Path) -> None:
    run = FlowRun(world.path, home, recovery=True, until_end=False)
    with ExitStack() as held:
        first, second = [held.enter_context(started(run, *options)) for options in places(2)]
        wait_until(lambda: run.risk_bytes() > 0, run)
        second.kill()
        assert ends(first, run) == 1, run.output()
    assert "c360: error: lost a process of the cluster; " in run.output()
    assert "Traceback" not in run.output()


def test_processes_come_and_go_between_runs(
    world: WrittenLog, truth: Truth, undisturbed: FlowRun, tables: Tables, home: Path
) -> None:
    """Every account's state finds its new process: one, then three, then two."""
    run = FlowRun(world.path, home, recovery=True, settings=SMALL_BATCHES)
    for run.processes, share in ((1, 0.2), (3, 0.5)):
        enough = undisturbed.risk_bytes() * share
        assert run.kill_when(partial(run.has_written, enough)), "it ended before it could be killed"
    run.processes = 2
    run.finish()
    assert_same(run, world, truth, tables, resumed=True)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_cluster_of_which_a_process_hangs_ends(world: WrittenLog, home: Path, victim: int) -> None:
    """The engine would wait for it without end."""
    settings = {"C360_STALL_SECONDS_MAX": STALL_SECONDS}
    run = FlowRun(world.path, home, processes=2, recovery=True, until_end=False, settings=settings)
    with started(run) as process:
        wait_until(lambda: run.risk_bytes() > 0, run)
        os.kill(children(process.pid)[victim], signal.SIGSTOP)
        assert ends(process, run) == 1, run.output()
    assert "a process of the cluster hangs" in run.output()
