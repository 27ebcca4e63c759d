"""Whether a peer that this process is connected to has gone before the cluster was complete."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from c360_stream.operators.health import HEALTH, Health
from c360_stream.operators.stop import stop_requested

# States of a connection in the tables of the kernel.
_STANDS, _CLOSED_THERE = "01", "08"
_TABLES = ("/proc/self/net/tcp", "/proc/self/net/tcp6")
_SOCKET = re.compile(r"socket:\[(\d+)\]")


class FormingWatch:
    """Ends a process of a cluster that has lost a peer while the cluster formed.

    The engine connects each pair of processes once, waits without end until all are there, and looks at a connection
    only then: a peer that ended meanwhile and came again would wait for this process, and this one for the others.

    Parameters
    ----------
    peers
        Addresses of all processes, `host:port`.
    process
        Number of this one.
    end
        Ends the process with a message; does not return.
    health
        Says when the cluster is complete: from then on the engine notices by itself.
    """

    def __init__(
        self,
        peers: Sequence[str],
        process: int,
        end: Callable[[str], None],
        health: Health = HEALTH,
    ) -> None:
        ports = [int(peer.rpartition(":")[2]) for peer in peers]
        self._own_port = ports[process]
        self._ports = frozenset(ports)
        self._end = end
        self._health = health
        self._known: set[str] = set()

    def look(self) -> None:
        """Compare the connections with those of the last look."""
        if not self._health.forming or stop_requested():
            return
        states = sockets_of_peers(self._own_port, self._ports)
        if _CLOSED_THERE in states.values() or any(
            states[each] != _STANDS for each in self._known.intersection(states)
        ):
            self._end("lost a process of the cluster before all were there")
        self._known = {each for each, state in states.items() if state == _STANDS}


def sockets_of_peers(own_port: int, ports: frozenset[int]) -> dict[str, str]:
    """State of each socket of this process, by inode; "" if it is no connection between peers, or none any more.

    Nothing where the system has no `/proc`.
    """
    between_peers = {
        inode: state for local, remote, state, inode in _connections() if local == own_port or remote in ports
    }
    return {inode: between_peers.get(inode, "") for inode in _open_sockets()}


def _connections() -> Iterator[tuple[int, int, str, str]]:
    """Local port, remote port, state and inode of every connection of this network."""
    for table in _TABLES:
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                _, local, remote, state, *_, inode = line.split()[:10]
                yield int(local.rpartition(":")[2], 16), int(remote.rpartition(":")[2], 16), state, inode


def _open_sockets() -> Iterator[str]:
    with suppress(OSError):
        for entry in os.scandir("/proc/self/fd"):
            with suppress(OSError):
                if found := _SOCKET.fullmatch(os.readlink(entry.path)):
                    yield found[1]
