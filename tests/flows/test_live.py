"""A live run that tails its input: it counts every line, and stops cleanly when it is asked to."""

from __future__ import annotations

import re
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests.flows.conftest import SEED
from tests.reference.flow_run import DEADLINE_SECONDS, FlowRun, kill
from tests.reference.log import Mess
from tests.reference.tables import query_elsewhere
from tests.reference.worlds import WorldSpec, write_world

pytestmark = pytest.mark.slow


def total(page: str, metric: str) -> int:
    """Sum of a counter over its labels."""
    values = re.findall(rf"^{metric}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)
    return int(sum(map(float, values)))


def settled(page: str) -> int:
    """Lines of which the outcome is counted."""
    return total(page, "c360_events_accepted_total") + total(page, "c360_dead_letters_total")


def page_once_read(lines: int, process: subprocess.Popen[str], run: FlowRun) -> str:
    """The metrics once all lines are counted, from where the run says that they are."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    page = ""
    while min(total(page, "c360_events_read_total"), settled(page)) < lines:
        assert process.poll() is None, run.output()[-3000:]
        assert time.monotonic() < deadline, f"{settled(page)} of {lines} lines are accounted for: {page}"
        if said := re.search(r"metrics at (http://127\.0\.0\.1:\d+/metrics)", run.output()):
            with suppress(OSError), urllib.request.urlopen(said[1], timeout=5) as answer:
                page = answer.read().decode()
        time.sleep(0.05)
    return page


def test_accepted_and_dead_letters_make_up_the_lines_read(tmp_path: Path) -> None:
    spec = WorldSpec(seed=SEED, accounts=12, days=40)
    log = write_world(spec, tmp_path / "world", Mess(seed=SEED, mutated_share=0.5))
    run = FlowRun(log.path, tmp_path / "run", until_end=False, settings={"C360_METRICS_ADDRESS": "127.0.0.1:0"})
    process = run.start()
    try:
        page = page_once_read(log.lines, process, run)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0, run.output()[-3000:]
    finally:
        if process.poll() is None:
            kill(process)
    assert total(page, "c360_events_read_total") == settled(page) == log.lines
    (counted,) = query_elsewhere(run.dsn, "SELECT count() AS letters FROM dead_letters FINAL")
    assert counted == [{"letters": total(page, "c360_dead_letters_total")}], "nothing is lost when it is asked to stop"
