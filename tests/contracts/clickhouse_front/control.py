"""The control port, which takes orders as JSON."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.contracts.clickhouse_front.front import Front


class ControlHandler(BaseHTTPRequestHandler):
    """Takes orders."""

    server: ControlServer

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(self.server.front.obey(order)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class ControlServer(ThreadingHTTPServer):
    """The control port."""

    daemon_threads = True

    def __init__(self, front: Front) -> None:
        self.front = front
        super().__init__(("127.0.0.1", 0), ControlHandler)
