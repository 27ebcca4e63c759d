"""A peer that goes before the cluster is complete ends the others; nothing else does."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from c360_stream.operators.health import Health
from c360_stream.operators.run_context import RunContext
from c360_stream.runtime.startup_peers import StartupPeerWatch

Connect = tuple[StartupPeerWatch, list[str], Health, socket.socket, socket.socket]


@pytest.fixture
def formed() -> Iterator[Connect]:
    """A watch of process 0, what it ended with, its health, and a connection of process 1 with it: both ends."""
    ended: list[str] = []
    health = Health()
    with ExitStack() as held:
        server = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = server.getsockname()[1]
        watch = StartupPeerWatch([f"127.0.0.1:{port}", "127.0.0.1:1"], 0, ended.append, RunContext(health))
        theirs = held.enter_context(socket.create_connection(("127.0.0.1", port)))
        ours = held.enter_context(server.accept()[0])
        yield watch, ended, health, ours, theirs


def test_a_connection_that_stands_is_fine(formed: Connect) -> None:
    watch, ended, *_ = formed
    for _ in range(3):
        watch.look()
    assert not ended


@pytest.mark.parametrize("looked_before", [True, False])
def test_a_peer_that_closes_is_lost(formed: Connect, looked_before: bool) -> None:
    watch, ended, _, _, theirs = formed
    if looked_before:
        watch.look()
    theirs.close()
    watch.look()
    assert ended == ["lost a process of the cluster before all were there"]


def test_a_peer_that_is_killed_with_something_unread_is_lost(formed: Connect) -> None:
    watch, ended, _, _, theirs = formed
    watch.look()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()  # a reset
    watch.look()
    assert ended


def test_once_all_are_there_the_engine_sees_to_it(formed: Connect) -> None:
    watch, ended, health, _, theirs = formed
    watch.look()
    health.cluster_formed()
    theirs.close()
    watch.look()
    assert not ended


def test_our_own_end_closed_is_no_loss(formed: Connect) -> None:
    watch, ended, _, ours, theirs = formed
    watch.look()
    ours.close()
    theirs.close()
    watch.look()
    assert not ended


def test_a_second_descriptor_of_a_connection_is_no_loss(formed: Connect) -> None:
    """The engine makes one for each of its threads; the system lists a connection with the lowest."""
    watch, ended, _, ours, theirs = formed
    high = fcntl.fcntl(ours, fcntl.F_DUPFD, 200)
    ours.close()
    try:
        watch.look()
        low = os.dup(high)
        assert low < high
        watch.look()
        assert not ended
        os.close(low)
        watch.look()
        assert not ended
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        watch.look()
        assert ended
    finally:
        os.close(high)
