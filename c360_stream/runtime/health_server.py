"""The HTTP server that shows the health of the process: `/metrics`, `/livez`, `/readyz`."""

from __future__ import annotations

import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

from prometheus_client.exposition import choose_encoder

from c360_stream.errors import ConfigurationError
from c360_stream.metrics import REGISTRY
from c360_stream.operators.health import Health

CONNECTIONS_MAX = 16
REQUEST_SECONDS_MAX = 5.0
CLOSE_POLL_SECONDS = 0.1


class HealthServer:
    """Serves `/metrics`, `/livez` and `/readyz` from a daemon thread until closed.

    Parameters
    ----------
    address
        `host:port`; an IPv6 host in brackets. Port 0 takes a free one.
    health
        What `/livez` and `/readyz` answer from.
    process
        Number of this process in its cluster: added to a port other than 0.

    Raises
    ------
    ConfigurationError
        If the address cannot be bound.
    """

    def __init__(self, address: str, health: Health, *, process: int = 0) -> None:
        host, _, port_text = address.rpartition(":")
        port = int(port_text) + (process if int(port_text) else 0)
        try:
            self._server = _Server(host.strip("[]"), port, health)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"metrics address {host}:{port}: {getattr(error, 'strerror', None) or error}",
                "set C360_METRICS_ADDRESS to a free host:port, or port 0 to take one",
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(CLOSE_POLL_SECONDS,), name="health", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """`host:port` as bound."""
        host, port = self._server.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingTCPServer):
    """A thread a connection, at most `CONNECTIONS_MAX`.

    Not http.server's own class: that one looks its host name up in the DNS, which may hang.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, host: str, port: int, health: Health) -> None:
        self.health = health
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is not our error, and must not write a traceback."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS_MAX
    server_version = "c360"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(REGISTRY), content_type)
        elif path == "/livez":
            self._verdict(self.server.health.unlive_reason())
        elif path == "/readyz":
            self._verdict(self.server.health.unready_reason())
        else:
            self._text(HTTPStatus.NOT_FOUND, "not found: try /metrics, /livez or /readyz")

    do_HEAD = do_GET  # noqa: N815

    def _refuse(self) -> None:
        self._text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815

    def _verdict(self, reason: str) -> None:
        self._text(HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK, reason or "ok")

    def _text(self, status: HTTPStatus, text: str) -> None:
        self._answer(status, f"{text}\n".encode(), "text/plain; charset=utf-8")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the parent's name)
        """Keep no access log: probes would fill it, and a query string may hold a secret."""
