"""The listening socket, and what is said on a connection."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import ssl
import sys
import threading
import uuid
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import chdb

from tests.contracts.clickhouse_front.statements import (
    Answer,
    Refusal,
    compressed,
    decompressed,
    form_fields,
    statement_of,
)

if TYPE_CHECKING:
    from tests.contracts.clickhouse_front.front import Front

STRANGERS_PAGE = b"<!doctype html><title>Sign in</title><p>Welcome to the guest network.</p>\n" * 20
CODINGS = ("zstd", "lz4", "gzip")

# As in ClickHouse's exceptionCodeToHTTPStatus; all else is 500.
HTTP_STATUS = {194: 401, 159: 408, 48: 501} | {
    code: status
    for status, codes in {
        400: (6, 15, 26, 27, 36, 38, 41, 44, 53, 62, 72, 117, 427),
        403: (192, 193, 497, 516),
        404: (46, 47, 50, 60, 63, 73, 81, 115),
        503: (76, 209, 439),
    }.items()
    for code in codes
}


def serve_in_background(server: socketserver.BaseServer) -> None:
    """Serve until `shutdown`."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


class Listener(ThreadingHTTPServer):
    """A listening socket and the connections that came by it."""

    daemon_threads = True

    def __init__(self, front: Front, address: tuple[str, int], tls: ssl.SSLContext | None) -> None:
        self.front = front
        self._tls = tls
        self._connections: set[socket.socket] = set()
        super().__init__(address, Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            # The handshake comes with the first read, in the connection's own thread.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._connections.add(connection)
        return connection, address

    def close_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().close_request(request)

    def drop_connections(self) -> None:
        for connection in list(self._connections):
            hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away, or refused the certificate
            super().handle_error(request, client_address)


def hang_up(connection: socket.socket) -> None:
    """End a connection without an answer."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """One connection, with any number of requests."""

    protocol_version = "HTTP/1.1"
    server: Listener

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._send(200, {}, b"Ok.\n")
        else:
            self.do_POST()

    def do_POST(self) -> None:
        front = self.server.front
        body = decompressed(self._body(), self.headers.get("Content-Encoding", ""))
        url = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True, errors="surrogateescape"))
        if self.headers.get_content_type() == "multipart/form-data":
            url |= form_fields(self.headers["Content-Type"], body)
            body = b""
        fault = None
        try:
            profile = self._authenticate(url)
            statement = statement_of(url, body, profile)
            fault = front.fault_of(statement)
            if fault and fault.kind == "refuse":
                raise Refusal(fault.code, fault.message)
            if fault and fault.kind == "drop-before":
                hang_up(self.connection)
                return
            if fault and fault.kind == "stranger":
                self._send(200, {"Content-Type": "text/html"}, STRANGERS_PAGE)
                return
            if fault and fault.kind == "unwritten":
                self._answer(url, Answer(b"", "", {"written_rows": "0", "written_bytes": "0"}), cut=False)
                return
            answer = front.execute(statement)
        except (Refusal, chdb.ChdbError, RuntimeError) as error:
            self._refuse(error)
            return
        if fault and fault.kind == "drop-after":
            hang_up(self.connection)
            return
        if fault and fault.kind == "late":
            threading.Event().wait(fault.seconds)
        self._answer(url, answer, cut=fault is not None and fault.kind == "cut")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._exactly(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self._exactly(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def _exactly(self, size: int) -> bytes:
        """As many bytes; a client that was killed sends fewer, and none of them may be stored."""
        body = self.rfile.read(size)
        if len(body) < size:
            raise Refusal(33, f"Cannot read all data. Bytes read: {len(body)}. Bytes expected: {size}.")
        return body

    def _authenticate(self, url: dict[str, str]) -> dict[str, str]:
        """The settings with which this user's statements are executed."""
        user, password = url.get("user", ""), url.get("password", "")
        if (given := self.headers.get("Authorization", "")).startswith("Basic "):
            user, _, password = b64decode(given.removeprefix("Basic ")).decode().partition(":")
        user = self.headers.get("X-ClickHouse-User", user) or "default"
        password = self.headers.get("X-ClickHouse-Key", password)
        front = self.server.front
        if (user, password) == (front.user, front.password) or f"{user}:{password}" == front.owner:
            return front.profile
        if front.reader and f"{user}:{password}" == front.reader:
            return front.reader_profile
        text = "Authentication failed: password is incorrect, or there is no user with such name."
        raise Refusal(516, f"{user}: {text} (AUTHENTICATION_FAILED)")

    def _refuse(self, error: Exception) -> None:
        text = str(error)
        found = re.search(r"Code: (\d+)\. (.*)", text, re.DOTALL)
        code = error.code if isinstance(error, Refusal) else int(found[1]) if found else 1002
        said = f"DB::Exception: {text}" if isinstance(error, Refusal) else found[2].strip() if found else text
        body = f"Code: {code}. {said} (version {self.server.front.engine.version} (official build))\n".encode()
        self._send(HTTP_STATUS.get(code, 500), {"X-ClickHouse-Exception-Code": str(code)}, body)

    def _answer(self, url: dict[str, str], answer: Answer, *, cut: bool) -> None:
        headers = {
            "X-ClickHouse-Summary": json.dumps(answer.summary),
            "X-ClickHouse-Query-Id": url.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Timezone": "UTC",
        }
        if answer.result_format:
            headers["X-ClickHouse-Format"] = answer.result_format
        body = answer.body
        accepted = [coding.strip() for coding in self.headers.get("Accept-Encoding", "").split(",")]
        coding = next((coding for coding in CODINGS if coding in accepted), None)
        if body and coding and url.get("enable_http_compression") == "1":
            headers["Content-Encoding"] = coding
            body = compressed(body, coding)
        self._send(200, headers, body, cut=cut)

    def _send(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            hang_up(self.connection)

    def log_message(self, *_: object) -> None:
        pass
