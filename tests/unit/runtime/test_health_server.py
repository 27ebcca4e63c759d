"""The server that answers for liveness and readiness."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from c360_stream.errors import ConfigurationError
from c360_stream.operators.health import STALL_SECONDS_MAX, WAITING_SECONDS, Health
from c360_stream.runtime.health_server import CONNECTIONS_MAX, HealthServer
from tests.unit.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock=clock)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    with closing(HealthServer("127.0.0.1:0", health)) as server:
        yield server


def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, str]:
    with closing(http.client.HTTPConnection(server.address, timeout=5)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_a_flow_that_starts_is_alive_and_not_ready(health: Health, clock: Clock, server: HealthServer) -> None:
    clock.now += 10 * STALL_SECONDS_MAX
    assert ask(server, "/livez") == (200, "ok\n")
    assert ask(server, "/readyz") == (503, "the flow is starting\n")


def test_ready_once_the_first_batch_is_through(health: Health, server: HealthServer) -> None:
    health.sources_opened()
    assert ask(server, "/readyz") == (503, "the first batch is not through yet\n")
    health.progress()
    assert ask(server, "/readyz") == (200, "ok\n")


def test_a_flow_that_stands_still_is_not_alive_until_it_moves(
    health: Health, clock: Clock, server: HealthServer
) -> None:
    health.sources_opened()
    health.progress()
    clock.now += STALL_SECONDS_MAX
    assert ask(server, "/livez")[0] == 200
    clock.now += 1
    assert ask(server, "/livez") == (503, "no progress for 61 s\n")
    assert ask(server, "/readyz")[0] == 503
    health.progress()
    assert ask(server, "/livez")[0] == 200


def test_a_flow_that_waits_for_a_server_is_alive_and_says_what_it_waits_for(
    health: Health, clock: Clock, server: HealthServer
) -> None:
    health.sources_opened()
    for _ in range(int(2 * STALL_SECONDS_MAX)):
        clock.now += 1
        health.waiting("the broker is away")
    assert ask(server, "/livez")[0] == 200
    assert health.silent_seconds() == 0
    clock.now += WAITING_SECONDS / 2
    health.progress()
    assert ask(server, "/readyz") == (503, "the broker is away\n"), "one partition waits while another one moves"
    clock.now += WAITING_SECONDS / 2
    assert ask(server, "/readyz")[0] == 503, "nothing has moved since"
    health.progress()
    assert ask(server, "/readyz") == (200, "ok\n")


def test_the_metrics_page_parses(server: HealthServer) -> None:
    status, page = ask(server, "/metrics?name[]=x")
    assert status == 200
    assert "c360_build_info" in {sample.name for f in text_string_to_metric_families(page) for sample in f.samples}


def test_other_paths_and_methods_are_refused(server: HealthServer, capfd: pytest.CaptureFixture[str]) -> None:
    assert ask(server, "/")[0] == 404
    assert ask(server, "/metrics/../secret?token=hunter2")[0] == 404
    assert ask(server, "/metrics", "POST")[0] == 405
    assert ask(server, "/livez", "HEAD") == (200, "")
    assert capfd.readouterr() == ("", "")


def test_an_address_in_use_is_a_configuration_error(server: HealthServer) -> None:
    with pytest.raises(ConfigurationError, match=r"in use; set C360_METRICS_ADDRESS"):
        HealthServer(server.address, Health())


def test_process_n_of_a_cluster_adds_n_to_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1] - 3
    with closing(HealthServer(f"127.0.0.1:{port}", Health(), process=3)) as server:
        assert server.address == f"127.0.0.1:{port + 3}"


def test_idle_connections_are_bounded_and_do_not_lock_others_out_for_good(server: HealthServer) -> None:
    host, _, port = server.address.rpartition(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(CONNECTIONS_MAX)]
    with socket.create_connection((host, int(port)), timeout=5) as one_too_many:
        assert one_too_many.recv(1) == b""
    for connection in idle:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.0 200")
        connection.close()
    deadline = time.monotonic() + 10
    while True:  # a slot is free a moment after its client has the answer
        with suppress(ConnectionError):
            assert ask(server, "/livez")[0] == 200
            return
        assert time.monotonic() < deadline
