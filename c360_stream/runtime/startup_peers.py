"""Whether a peer that this process is connected to has gone before the cluster was complete."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import psutil

from c360_stream.operators.run_context import RunContext


class StartupPeerWatch:
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
    run
        Its health knows when the cluster is complete: from then on the engine notices by itself.
    """

    def __init__(self, peers: Sequence[str], process: int, end: Callable[[str], None], run: RunContext) -> None:
        ports = [int(peer.rpartition(":")[2]) for peer in peers]
        self._own_port = ports[process]
        self._ports = frozenset(ports)
        self._end = end
        self._run = run
        self._known: dict[int, int] = {}

    def look(self) -> None:
        """Compare the connections with those of the last look."""
        if not self._run.health.forming or self._run.shutdown.requested:
            return
        states = self._connections()
        established = [descriptor for descriptor, state in states.items() if state == psutil.CONN_ESTABLISHED]
        stand = {inode: descriptor for descriptor in established if (inode := _inode(descriptor))}
        # After a reset the system lists the connection no more, but the socket is still open.
        lost = any(inode not in stand and _inode(descriptor) == inode for inode, descriptor in self._known.items())
        if psutil.CONN_CLOSE_WAIT in states.values() or lost:
            self._end("lost a process of the cluster before all were there")
        self._known = stand

    def _connections(self) -> dict[int, str]:
        """State of each connection with a peer, by file descriptor; none where the system hides them."""
        try:
            found = psutil.Process().net_connections("tcp")
        except (OSError, psutil.Error):
            return {}
        return {
            each.fd: each.status
            for each in found
            if each.raddr and (each.laddr.port == self._own_port or each.raddr.port in self._ports)
        }


def _inode(descriptor: int) -> int:
    """A socket's number, whatever file descriptors it has; 0 if it is closed."""
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return 0
