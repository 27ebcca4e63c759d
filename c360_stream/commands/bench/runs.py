"""`c360 run --until-end` as a user starts it, and what it said and took."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from c360_stream.errors import C360Error

_DONE = re.compile(
    r" run_ended: process \d+: ([\d,]+) events read, ([\d,]+) accepted, .* ([\d,]+) scores, ([\d,.]+) s \("
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run said, and what it took: seconds by its own clock, from start to exit, and of CPU time."""

    accepted: int
    scores: int
    flow: float
    wall: float
    cpu: float

    def seconds(self) -> dict[str, float]:
        """The three times, for `Result.detail`."""
        return {"flow_seconds": self.flow, "wall_seconds": self.wall, "cpu_seconds": self.cpu}


def own_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment that this process has, with `settings` in place of its configuration."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
    return {**inherited, "C360_METRICS_ADDRESS": "127.0.0.1:0", **settings}


def c360(arguments: Sequence[str], settings: Mapping[str, str], home: Path) -> str:
    """Run this very program in a directory and a process of its own; what it said.

    Raises
    ------
    C360Error
        If it failed.
    """
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-m", "c360_stream", *arguments],
        check=False,
        env=own_environment(settings),
        cwd=home,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise C360Error(f"c360 {arguments[0]} failed: {done.stderr.strip()[-500:]}", "run `c360 doctor`")
    return done.stderr


def run_to_end(settings: Mapping[str, str], home: Path, processes: int, events: int) -> Run:
    """Run the flow to the end of its input.

    Parameters
    ----------
    settings
        Its configuration; this process's own is kept from it.
    home
        Working directory.
    processes
        Number of processes.
    events
        How many events it has to accept.

    Raises
    ------
    C360Error
        If it failed, or did not accept them all.
    """
    began, cpu = time.perf_counter(), _children_cpu_seconds()
    text = c360(["run", "--until-end", "--processes", str(processes)], settings, home)
    wall, cpu = time.perf_counter() - began, _children_cpu_seconds() - cpu
    said = [found.groups() for line in text.splitlines() if (found := _DONE.search(line))]
    if len(said) != processes:
        raise C360Error(f"{len(said)} of {processes} processes ended: {text.strip()[-500:]}", "report this")
    accepted, scores = (sum(int(part[i].replace(",", "")) for part in said) for i in (1, 2))
    if accepted != events:
        raise C360Error(f"the run took {accepted:,} of {events:,} events", "report this")
    return Run(accepted, scores, max(float(part[3].replace(",", "")) for part in said), wall, cpu)


def _children_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
