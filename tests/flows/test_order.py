"""A log newest first: refused, sorted by a command of our own, and then the same as if it had been written in order."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import SEED
from tests.flows.test_determinism import tick_scores
from tests.reference.flow_run import FlowRun
from tests.reference.log import Mess, WrittenLog
from tests.reference.log_lines import events_in
from tests.reference.worlds import WorldSpec, write_world

pytestmark = pytest.mark.slow
END_LINE = re.compile(
    r" info run_ended: process 0: ([\d,]+) events read, ([\d,]+) accepted, ([\d,]+) dead letters, ([\d,]+) duplicates,"
    r" ([\d,]+) late \(([\d,]+) after the tick of their day\), [\d,]+ scores, [\d.,]+ s"
)


@pytest.fixture(scope="module")
def in_order(tmp_path_factory: pytest.TempPathFactory) -> WrittenLog:
    """A world written in the order of time."""
    mess = Mess(seed=SEED, reorder_minutes=0, duplicate_share=0, rubbish_share=0)
    return write_world(WorldSpec(seed=SEED, accounts=16, days=60), tmp_path_factory.mktemp("in_order"), mess)


@pytest.fixture(scope="module")
def newest_first(in_order: WrittenLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, each partition backwards."""
    path = tmp_path_factory.mktemp("newest_first")
    for file in in_order.path.glob("*/*.jsonl*"):
        zipped = file.suffix == ".gz"
        content = gzip.decompress(file.read_bytes()) if zipped else file.read_bytes()
        backwards = b"\n".join(content[:-1].split(b"\n")[::-1]) + b"\n"
        (path / file.parent.name).mkdir(exist_ok=True)
        (path / file.parent.name / file.name).write_bytes(gzip.compress(backwards, 1) if zipped else backwards)
    return path


@pytest.mark.parametrize("processes", [1, 2])
def test_it_is_refused_before_anything_is_written(newest_first: Path, home: Path, processes: int) -> None:
    run = FlowRun(newest_first, home, processes=processes, recovery=True)
    assert run.start().wait() == 2
    [line] = [line for line in run.output().splitlines() if "error" in line]
    assert re.search(r"is not in the order of time: ([\d,]+) of the first ([\d,]+) events come more than 3,600 s", line)
    assert f"sort it: c360 sort {run.log_dir} --out DIR" in line
    assert "C360_LATE_SHARE_MAX=1" in line
    assert sorted(path.name for path in home.iterdir()) == ["log", "output.txt"]
    assert sorted(path.name for path in run.log_dir.iterdir()) == [
        *("c360.billing.events.v1", "c360.product.events.v1", "c360.support.events.v1")
    ]


def test_sorted_it_gives_the_scores_of_a_log_in_order(in_order: WrittenLog, newest_first: Path, home: Path) -> None:
    out = home / "sorted"
    command = [sys.executable, "-m", "c360_stream", "sort", str(newest_first), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    runs = [FlowRun(in_order.path, home / "a"), FlowRun(out, home / "b")]
    for run in runs:
        run.finish()
        assert " 0 late, " in run.output()
        assert "late_events_many" not in events_in(run.output())
    expected, found = (tick_scores(run.tables()) for run in runs)
    assert len(found) > 300
    assert found == expected


def test_asked_for_it_runs_as_it_is_and_says_what_is_missing(
    in_order: WrittenLog, newest_first: Path, home: Path
) -> None:
    run = FlowRun(newest_first, home, settings={"C360_LATE_SHARE_MAX": "1"})
    run.finish()
    counts = END_LINE.search(run.output())
    assert counts is not None, run.output()
    read, accepted, letters, duplicates, late, after_tick = (int(count.replace(",", "")) for count in counts.groups())
    assert (read, duplicates) == (in_order.lines, 0)
    assert accepted + letters == read
    # Those of busy partitions; in a sparse one no event bears another out, so it waits, and is scored at its end.
    assert 0.4 * accepted < after_tick <= late <= accepted
    what = r"[\d,]+ of the [\d,]+ events of c360\.product\.events\.v1/\d came more than 3,600 s behind one before them"
    assert re.search(
        f" warning late_events_many: process 0: {what}: scores that were made by then lack them; sort it: c360 sort ",
        run.output(),
    )
