"""Places in a cluster: addresses, numbers and ports."""

from __future__ import annotations

import socket

import pytest

from c360_stream.commands.cluster import Place, inherited_place, place_among, reserved_ports
from c360_stream.errors import ConfigurationError


def test_a_place_has_all_addresses_in_their_order() -> None:
    peers = ("host1:9300", "[::1]:9300")
    assert place_among(peers, 1) == Place(peers, 1)


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
        place_among(peers, process)


def test_a_process_that_nobody_started_for_a_cluster_has_no_place() -> None:
    assert inherited_place() is None


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
