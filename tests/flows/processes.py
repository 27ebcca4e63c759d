"""What the tests of starting and stopping ask about processes."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.reference.flow_run import DEADLINE_SECONDS, FlowRun, kill

POLL_SECONDS = 0.01


def wait_until(condition: Callable[[], bool], run: FlowRun) -> None:
    """Wait for a condition; past the deadline, fail with what the run has printed."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, run.output()[-3000:]
        time.sleep(POLL_SECONDS)


@contextmanager
def started(run: FlowRun, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run; nothing of it is left afterwards."""
    process = run.start(*options)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            kill(process)
        process.wait()


def ends(process: subprocess.Popen[str], run: FlowRun) -> int:
    """Exit code of a process that has been asked to stop, or will end by itself."""
    try:
        return process.wait(DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it goes on: {run.output()[-3000:]}") from None


def hears(pid: int, number: signal.Signals = signal.SIGTERM) -> bool:
    """Whether a process has a handler of its own for a signal."""
    with suppress(FileNotFoundError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def children(pid: int) -> list[int]:
    """Processes that a process has started and that are still there."""
    with suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children()]
    return []


def is_alive(pid: int) -> bool:
    """Whether a process is there, and not only its exit code."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def free_addresses(number: int) -> list[str]:
    """Addresses of the loopback interface at which nobody listens."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in held]
    for server in held:
        server.close()
    return addresses
