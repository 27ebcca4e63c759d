"""The flow as several processes: their addresses, and on this machine their common life and end."""

from __future__ import annotations

import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from c360_stream.errors import C360Error, ConfigurationError
from c360_stream.logs.crash_output import CRASHES, log_crash_output
from c360_stream.operators.alignment import FILE_VARIABLE
from c360_stream.runtime.recovery import native_file
from c360_stream.runtime.signals import PARENT_VARIABLE, STOP_SECONDS_MAX, STOP_SIGNALS, Listener

PEERS_VARIABLE = "C360_PEERS"
"""Set in the processes of a cluster: the addresses of all of them."""
PROCESS_VARIABLE = "C360_PROCESS"
CHILDREN_SECONDS_MAX = STOP_SECONDS_MAX + 0.5
"""Children end themselves first: what is left then cannot, as when it is suspended."""
LAST_WORDS_SECONDS_MAX = 2.0
"""How long after one has failed the others may take to end by themselves."""
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ClusterMember:
    """Which process of a cluster this is.

    Parameters
    ----------
    peers
        Addresses of all processes, `host:port` in the same order for each; empty for a process of its own.
    process
        Number of this one.
    """

    peers: tuple[str, ...] = ()
    process: int = 0


ALONE = ClusterMember()


def member_among(peers: Sequence[str], process: int | None) -> ClusterMember:
    """Check `--peers` and `--process`.

    Raises
    ------
    ConfigurationError
        If an address is malformed or named twice, or there is no process of that number.
    """
    for peer in peers:
        host, _, port = peer.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= 65_535:
            raise ConfigurationError(f"--peers: {peer!r} is no host:port", "write host1:9300,host2:9300")
    if len(set(peers)) < len(peers):
        raise ConfigurationError("--peers: an address is named twice", "give each process its own host:port")
    if process is None or not 0 <= process < len(peers):
        found = "is missing" if process is None else f"is {process}"
        raise ConfigurationError(
            f"--process {found}, of {len(peers)} in --peers", f"give this one's number, 0 to {len(peers) - 1}"
        )
    return ClusterMember(tuple(peers), process)


def inherited_member() -> ClusterMember | None:
    """Which member a process is that `run_cluster` has started; None in any other process."""
    if PARENT_VARIABLE not in os.environ:
        return None
    return ClusterMember(tuple(os.environ[PEERS_VARIABLE].split(",")), int(os.environ[PROCESS_VARIABLE]))


def run_cluster(processes: int, recovery: Path | None, lock: IO[str] | None, listener: Listener) -> None:
    """Start this very command once a process, and wait; one that fails takes the others with it.

    The children hold the lock of the recovery store too, so that it outlives a parent that is killed. They stop when
    their end of a pipe is closed: because they are asked to, or because the parent is gone.

    Raises
    ------
    C360Error
        If a process failed.
    """
    ours, theirs = os.pipe()[::-1]
    shared = Path(tempfile.mkdtemp(prefix="c360-"))
    children: list[subprocess.Popen[bytes]] = []

    def end() -> None:
        for child in children:
            child.kill()
        shutil.rmtree(shared, ignore_errors=True)

    listener.begun(lambda: os.close(ours), end, seconds_max=CHILDREN_SECONDS_MAX)
    try:
        with reserved_ports(processes) as ports:
            environment = {
                **os.environ,
                PEERS_VARIABLE: ",".join(f"127.0.0.1:{port}" for port in ports),
                FILE_VARIABLE: str(shared / "alignment"),
                PARENT_VARIABLE: str(theirs),
            }
            with _without_interrupts():
                for number in range(processes):
                    children.append(
                        subprocess.Popen(  # noqa: S603 - this very command
                            [sys.executable, "-m", "c360_stream", *sys.argv[1:]],
                            env={**environment, PROCESS_VARIABLE: str(number)},
                            pass_fds=[theirs, *([lock.fileno()] if lock else [])],
                        )
                    )
            os.close(theirs)
            _wait(children, recovery, listener)
    finally:
        end()
        for child in children:
            child.wait()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C for the children that are started meanwhile, from their first moment: it is for the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(children: list[subprocess.Popen[bytes]], recovery: Path | None, listener: Listener) -> None:
    """Wait for all; one that a stop found before it could take signals has stopped too.

    A process that loses a peer ends soon, and often before that peer has logged why it ends: it is given the time to.
    """
    patience_ends = math.inf
    while True:
        codes = [child.poll() for child in children]
        if listener.stop_requested:
            codes = [0 if code is not None and -code in STOP_SIGNALS else code for code in codes]
        if all(code == 0 for code in codes):
            return
        failed = [code for code in codes if code]
        if failed:
            patience_ends = min(patience_ends, time.monotonic() + LAST_WORDS_SECONDS_MAX)
            if None not in codes or time.monotonic() >= patience_ends:
                break
        time.sleep(_POLL_SECONDS)
    if ConfigurationError.exit_code in failed:
        raise ConfigurationError("the processes of the cluster could not start", "see the message above")
    _log_crashes(codes, recovery)
    cause = min(failed)  # a signal before an exit code: the others end with 1 because of it
    raise C360Error(f"a process of the cluster {_ended(cause)}", "see its message above; run again to resume")


def _ended(code: int) -> str:
    if code > 0:
        return f"ended with code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _log_crashes(codes: list[int | None], recovery: Path | None) -> None:
    for number, code in enumerate(codes):
        left = native_file(recovery, number)
        if left is not None and code is not None and -code in CRASHES:
            log_crash_output(left, number)


@contextmanager
def reserved_ports(number: int) -> Iterator[list[int]]:
    """Ports of the loopback address that are given to nobody who does not ask for them by their number.

    Until a process of the cluster listens at its port, any connection on this machine might have got that one. A
    socket that is bound and does not listen keeps it; a process that sets SO_REUSEADDR, as the engine does, may still
    listen.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in sockets]
