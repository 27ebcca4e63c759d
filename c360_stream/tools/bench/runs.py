"""`c360 run --until-end` as a user starts it: its output and its cost."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from c360_stream.errors import C360Error

_DONE = re.compile(
    r" run_ended: process \d+: ([\d,]+) events read, ([\d,]+) accepted, ([\d,]+) dead letters,"
    r" .* ([\d,]+) scores, ([\d,.]+) s \("
)


@dataclass(frozen=True, slots=True)
class Run:
    """The counts of a run, and its cost.

    Parameters
    ----------
    accepted, letters, scores
        Events, refused ones, scores.
    flow, wall, cpu
        Seconds by its own clock, from start to exit, and of CPU time.
    startup, startup_cpu
        Of the wall and the CPU seconds: what the same run took with next to nothing to read.
    peak_bytes
        The most memory that its largest process had.
    """

    accepted: int
    letters: int
    scores: int
    flow: float
    wall: float
    cpu: float
    peak_bytes: int
    startup: float = 0.0
    startup_cpu: float = 0.0

    @property
    def events(self) -> int:
        """Events read, refused ones included."""
        return self.accepted + self.letters

    def seconds(self) -> dict[str, float]:
        """Its times, for `Result.detail`."""
        return {
            "flow_seconds": self.flow,
            "wall_seconds": self.wall,
            "cpu_seconds": self.cpu,
            "startup_seconds": self.startup,
            "startup_cpu_seconds": self.startup_cpu,
            "work_seconds": max(0.0, self.wall - self.startup),
            "work_cpu_seconds": max(0.0, self.cpu - self.startup_cpu),
        }

    def started_as(self, idle: Run) -> Run:
        """The same, with the cost of start and end from a run with next to nothing to read."""
        return replace(self, startup=idle.wall, startup_cpu=idle.cpu)


def own_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment that this process has, with `settings` in place of its configuration."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
    return {**inherited, "C360_METRICS_ADDRESS": "127.0.0.1:0", **settings}


def c360(arguments: Sequence[str], settings: Mapping[str, str], home: Path) -> str:
    """Run this very program in a directory and a process of its own; return its output.

    Raises
    ------
    C360Error
        If it failed.
    """
    return _c360(arguments, settings, home)[0]


def _c360(arguments: Sequence[str], settings: Mapping[str, str], home: Path) -> tuple[str, resource.struct_rusage]:
    """The output of this very program, and the resources that its processes used."""
    with tempfile.TemporaryFile("w+", dir=home) as output:
        process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", "c360_stream", *arguments],
            env=own_environment(settings),
            cwd=home,
            stdout=subprocess.DEVNULL,
            stderr=output,
        )
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise C360Error(f"c360 {arguments[0]} failed: {text.strip()[-500:]}", "run `c360 doctor`")
    return text, used


def run_to_end(
    settings: Mapping[str, str], home: Path, processes: int, events: int, *, recovery: Path | None = None
) -> Run:
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
    recovery
        Recovery directory, to be made. None: there is none, and a crash would begin again.

    Raises
    ------
    C360Error
        If it failed, or did not accept them all.
    """
    arguments = ["run", "--until-end", "--processes", str(processes)]
    began = time.perf_counter()
    text, used = _c360([*arguments, *(["--recovery", str(recovery)] if recovery else [])], settings, home)
    wall = time.perf_counter() - began
    ends = [found.groups() for line in text.splitlines() if (found := _DONE.search(line))]
    if len(ends) != processes:
        raise C360Error(f"{len(ends)} of {processes} processes ended: {text.strip()[-500:]}", "report this")
    accepted, letters, scores = (sum(int(part[i].replace(",", "")) for part in ends) for i in (1, 2, 3))
    if accepted != events:
        raise C360Error(f"the run took {accepted:,} of {events:,} events", "report this")
    flow = max(float(part[4].replace(",", "")) for part in ends)
    return Run(
        accepted=accepted,
        letters=letters,
        scores=scores,
        flow=flow,
        wall=wall,
        cpu=used.ru_utime + used.ru_stime,
        peak_bytes=used.ru_maxrss * 1024,
    )


def run_log(log_dir: Path, processes: int, events: int, *, recovery: bool = True) -> Run:
    """Run the flow over a log directory, with tables, topics and a recovery directory of its own beside it.

    The input stays as it is, for other runs.
    """
    with tempfile.TemporaryDirectory(dir=log_dir.parent) as folder:
        home = Path(folder)
        (home / "log").mkdir()
        for topic in log_dir.iterdir():
            (home / "log" / topic.name).symlink_to(topic)
        environment = {"C360_LOG_DIR": str(home / "log"), "C360_CLICKHOUSE_DSN": f"chdb://{home}/tables/c360"}
        return run_to_end(environment, home, processes, events, recovery=home / "recovery" if recovery else None)
