"""What a crash of native code leaves on stderr: Python's stacks, and the last words of who crashed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.processes import children, ends, started, wait_until
from tests.reference.flow_run import FlowRun
from tests.reference.log import WrittenLog

pytestmark = pytest.mark.slow
STACKS = "Fatal Python error: Segmentation fault\n"
WORDS = "what it saw last"
CRASH = f"""
import os, signal, sys
from pathlib import Path
from c360_stream.logs.crash_output import native_output
with native_output(Path(sys.argv[1]) if sys.argv[1:] else None):
    os.write(2, b"{WORDS}")
    os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.mark.parametrize("kept", [True, False])
def test_a_crash_leaves_its_stacks_and_what_was_written(tmp_path: Path, kept: bool) -> None:
    file = tmp_path / "native.txt"
    crashed = subprocess.run(
        [sys.executable, "-c", CRASH, *[str(file)] * kept], check=False, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert crashed.returncode == -signal.SIGSEGV
    assert STACKS in crashed.stderr
    assert 'File "<string>", line 7 in <module>' in crashed.stderr
    assert not kept or file.read_text() == WORDS


@pytest.mark.parametrize(("processes", "victim"), [(1, 0), (2, 0), (2, 1)])
def test_a_run_whose_native_code_crashes_leaves_its_stacks(
    world: WrittenLog, home: Path, processes: int, victim: int
) -> None:
    """One of its processes has chDB, which takes the signals of crashes for itself."""
    run = FlowRun(world.path, home, processes=processes, recovery=True, until_end=False)
    with started(run) as process:
        wait_until(lambda: run.risk_bytes() > 0, run)
        os.kill([process.pid, *children(process.pid)][victim + (processes > 1)], signal.SIGSEGV)
        assert ends(process, run) == (1 if processes > 1 else -signal.SIGSEGV), run.output()
    assert run.output().count(STACKS) == 1, run.output()
    assert processes == 1 or "a process of the cluster was ended by SIGSEGV" in run.output()
