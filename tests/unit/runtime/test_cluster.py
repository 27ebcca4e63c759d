"""Places in a cluster: addresses, numbers and ports."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from c360_stream.errors import C360Error, ConfigurationError
from c360_stream.runtime import cluster
from c360_stream.runtime.cluster import ClusterMember, inherited_member, member_among, reserved_ports
from c360_stream.runtime.signals import listening


def test_a_place_has_all_addresses_in_their_order() -> None:
    peers = ("host1:9300", "[::1]:9300")
    assert member_among(peers, 1) == ClusterMember(peers, 1)


@pytest.mark.parametrize(
    ("peers", "process", "message"),
    [
        (["host1", "host2:1"], 0, "'host1' is no host:port"),
        (["host1:0", "host2:1"], 0, "'host1:0' is no host:port"),
        (["host1:x", "host2:1"], 0, "'host1:x' is no host:port"),
        (["host1:70000", "host2:1"], 0, "'host1:70000' is no host:port"),
        ([""], 0, "'' is no host:port"),
        (["host1:1", "host1:1"], 0, "named twice"),
        (["host1:1", "host2:1"], 2, "--process is 2, of 2 in --peers; give this one's number, 0 to 1"),
        (["host1:1", "host2:1"], -1, "--process is -1"),
        (["host1:1", "host2:1"], None, "--process is missing"),
    ],
)
def test_what_is_wrong_with_a_place_is_said(peers: list[str], process: int | None, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message.replace("[", r"\[")):
        member_among(peers, process)


def test_a_process_that_nobody_started_for_a_cluster_has_no_place() -> None:
    assert inherited_member() is None


DIES, SPEAKS, HANGS, IS_KILLED, CANNOT_START = (
    "raise SystemExit(1)",
    "import time; time.sleep(0.5); print('why'); raise SystemExit(1)",
    "import time; time.sleep(60)",
    "import os, time; time.sleep(0.3); os.kill(os.getpid(), 9)",
    "raise SystemExit(2)",
)


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        ((DIES, SPEAKS), "ended with code 1"),
        ((DIES, HANGS), "ended with code 1"),
        ((DIES, IS_KILLED), "was ended by SIGKILL"),
        ((DIES, CANNOT_START), "could not start"),
    ],
)
def test_those_that_lost_a_peer_do_not_cut_its_last_words_short(
    programs: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster, "LAST_WORDS_SECONDS_MAX", 1.0 if HANGS in programs else 60.0)
    said = tmp_path / "said"
    with listening() as listener, said.open("wb") as file:
        children = [subprocess.Popen([sys.executable, "-c", program], stdout=file) for program in programs]
        try:
            with pytest.raises(C360Error, match=message):
                cluster._wait(children, None, listener)
        finally:
            for child in children:
                child.kill()
                child.wait()
    assert said.read_text() == ("why\n" if SPEAKS in programs else "")


def test_reserved_ports_are_distinct_and_whoever_names_one_can_listen_at_it() -> None:
    with reserved_ports(5) as ports:
        assert len(set(ports)) == 5
        for port in ports:
            with pytest.raises(OSError, match="in use"):  # as for a connection that is given any port
                bind(port, reuse=False)
            with bind(port, reuse=True) as engine:
                engine.listen()


def bind(port: int, *, reuse: bool) -> socket.socket:
    """A socket with an address."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    try:
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound
