"""ClickHouse's HTTP interface on the real engine, chDB, in a process of its own; it can be told to fail.

`python -m tests.contracts.clickhouse_front --dir DIR` serves the database kept in DIR until it is ended, and prints a
line of JSON with its address and that of its control port, which takes JSON too:

    curl -d '{"do": "fault", "kind": "drop-after", "times": 3}' http://CONTROL    # see `Fault`
    curl -d '{"do": "profile", "settings": {"readonly": "2"}}' http://CONTROL     # for every request from now on
    curl -d '{"do": "down"}' http://CONTROL                                       # and up, state

It understands what clickhouse-connect sends: settings, bound parameters and the database in the query string or a form,
statements there or in the body, data behind `INSERT ... FORMAT`, compressed bodies and answers, a user's password, TLS.
Not there: sessions, roles, progress headers, answers in parts (an answer is complete before it is sent).
"""

from __future__ import annotations

import argparse
import contextlib
import email.parser
import email.policy
import json
import os
import re
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import uuid
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit
from urllib.request import Request, urlopen

import chdb
import pyarrow as pa

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 60
INSERTS = r"\s*INSERT\b"

# Parameters of a request that are no settings of the engine.
TRANSPORT_PARAMETERS = {
    *("query", "database", "user", "password", "role", "quota_key", "query_id", "buffer_size", "wait_end_of_query"),
    *("session_id", "session_timeout", "session_check", "compress", "decompress", "enable_http_compression"),
    *("client_protocol_version", "send_progress_in_http_headers", "http_headers_progress_interval_ms"),
}
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

_INSERT = re.compile(rb"\A(\s*INSERT\s+INTO\b.*?)\bFORMAT\s+(\w+)[ \t]*(?:\r?\n|\Z)", re.IGNORECASE | re.DOTALL)
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
_NAME = re.compile(r"\w+")


@dataclass
class Fault:
    """What happens to the next `times` requests whose statement begins with `queries`, a regular expression.

    `kind` is one of
    "drop-before": the connection ends before the statement is executed;
    "drop-after": it is executed, then the connection ends;
    "cut": it is executed, and the connection ends in the middle of the answer;
    "late": it is executed, and answered `seconds` later;
    "refuse": the answer is the error `code`, with `message`;
    "stranger": something on the way answers with a page of its own, as a captive portal or a proxy's login does;
    "unwritten": it is not executed, and the answer says that no row was written.
    """

    kind: str
    times: int = 1
    queries: str = INSERTS
    code: int = 0
    message: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in {"drop-before", "drop-after", "cut", "late", "refuse", "stranger", "unwritten"}:
            raise ValueError(f"no fault {self.kind!r}")


@dataclass
class Statement:
    """A statement, its data if it is an insert with data, and what it is executed with."""

    sql: bytes
    data: bytes = b""
    data_format: str = ""
    database: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


@dataclass
class Answer:
    """What a statement brought: `result_format` is empty if it has no result."""

    body: bytes
    result_format: str
    summary: dict[str, str]


class Refusal(Exception):  # noqa: N818
    """An answer that is an error of ClickHouse's."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


class Engine:
    """chDB, called from the one thread that runs `serve`: it crashes when called from some threads."""

    def __init__(self, directory: Path, users: Path | None = None) -> None:
        # It heeds `config.xml` of the working directory, if that is named here, too.
        self._directory = f"{directory}?users_config={users}" if users else str(directory)
        self._jobs: SimpleQueue[tuple[Statement, Future[Answer]] | None] = SimpleQueue()
        self.version = ""

    def serve(self, ready: Callable[[], None]) -> None:
        """Execute what is asked for until `stop`."""
        with contextlib.closing(self._open()) as keeps_it_open:
            self.version = keeps_it_open.query("SELECT version()", "TabSeparated").bytes().decode().strip()
            ready()
            while (job := self._jobs.get()) is not None:
                statement, answer = job
                try:
                    answer.set_result(self._execute(statement))
                except Exception as error:
                    answer.set_exception(error)

    def stop(self) -> None:
        """Let `serve` return once what was asked for before is executed."""
        self._jobs.put(None)

    def execute(self, statement: Statement) -> Answer:
        """Execute a statement; raises what chDB raises."""
        answer: Future[Answer] = Future()
        self._jobs.put((statement, answer))
        return answer.result()

    def _open(self) -> Any:
        return chdb.connect(self._directory)  # type: ignore[no-untyped-call]

    def _execute(self, statement: Statement) -> Answer:
        # A handle of its own for each request: settings and the database last no longer, as without a session.
        with contextlib.closing(self._open()) as handle:
            if statement.database:
                handle.query(f"USE `{statement.database.replace('`', '')}`", "TabSeparated")
            for name, value in statement.settings.items():
                if not _NAME.fullmatch(name):
                    raise Refusal(115, f"Unknown setting '{name}'. (UNKNOWN_SETTING)")
                handle.query(f"SET {name} = {quoted(value)}", "TabSeparated")
            if statement.data_format:
                return self._insert(handle, statement)
            given = _FORMAT.search(statement.sql)
            # With names, what has a result shows itself even if it has no rows.
            result = handle.query(
                statement.sql, "TabSeparated" if given else "TabSeparatedWithNames", params=statement.parameters
            )
            body = result.bytes() or b""
            result_format = given[1].decode() if given else "TabSeparated" if body else ""
            summary = {"read_rows": str(result.rows_read()), "read_bytes": str(result.bytes_read())}
            return Answer(body if given else body.partition(b"\n")[2], result_format, summary)

    def _insert(self, handle: Any, statement: Statement) -> Answer:
        with tempfile.NamedTemporaryFile() as file:
            file.write(statement.data)
            file.flush()
            source = f" FROM INFILE {quoted(file.name)} FORMAT {statement.data_format}"
            result = handle.query(statement.sql + source.encode(), "TabSeparated", params=statement.parameters)
        return Answer(b"", "", {"written_rows": str(result.rows_read()), "written_bytes": str(result.bytes_read())})


def quoted(text: str) -> str:
    """A string in SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Front:
    """The serving side: an engine, who may use it, what is to go wrong, and a listener that can be closed."""

    def __init__(self, engine: Engine, options: argparse.Namespace) -> None:
        self.engine = engine
        self.user: str = options.user
        self.password: str = options.password
        self.owner: str = options.owner
        self.reader: str = options.reader
        self.reader_profile: dict[str, str] = json.loads(options.reader_profile)
        self.profile: dict[str, str] = {}
        self.inserts_received = 0
        self.inserts_executed = 0
        self.inserted_with: dict[str, str] = {}
        self._tls: ssl.SSLContext | None = None
        if options.certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(options.certificate, options.key)
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._host: str = options.host
        self._port: int = options.port

    def up(self) -> str:
        """Listen, at the same address as before; return it."""
        with self._lock:
            if self._listener is None:
                self._listener = Listener(self, (self._host, self._port), self._tls)
                self._port = self._listener.server_port
                serve_in_background(self._listener)
        return f"{self._host}:{self._port}"

    def down(self) -> None:
        """Close the listening socket and every connection."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown()
            listener.server_close()
            listener.drop_connections()

    def fault(self, **fault: Any) -> None:
        """Add a fault."""
        with self._lock:
            self._faults.append(Fault(**fault))

    def fault_of(self, statement: Statement) -> Fault | None:
        """Count a request; the fault that is due, which counts as one time."""
        with self._lock:
            self.inserts_received += bool(statement.data_format)
            for fault in self._faults:
                if fault.times and re.match(fault.queries.encode(), statement.sql, re.IGNORECASE):
                    fault.times -= 1
                    return fault
        return None

    def execute(self, statement: Statement) -> Answer:
        """Execute, and count inserts."""
        answer = self.engine.execute(statement)
        if statement.data_format:
            with self._lock:
                self.inserts_executed += 1
                self.inserted_with = statement.settings
        return answer

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do what came to the control port; return the state."""
        match order.pop("do"):
            case "fault":
                self.fault(**order)
            case "repair":
                with self._lock:
                    self._faults.clear()
            case "profile":
                self.profile = order["settings"]
            case "down":
                self.down()
            case "up":
                self.up()
            case "state":
                pass
            case other:
                raise ValueError(f"no order {other!r}")
        return {
            "inserts_received": self.inserts_received,
            "inserts_executed": self.inserts_executed,
            "inserted_with": self.inserted_with,
            "faults": [asdict(fault) for fault in self._faults],
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


def statement_of(url: dict[str, str], body: bytes, profile: dict[str, str]) -> Statement:
    """What a request asks for: its statement is in the query string, in the body, or begins there."""
    in_url = url.get("query", "").encode(errors="surrogateescape")
    whole = in_url + b"\n" + body if in_url else body
    if not whole.strip():
        raise Refusal(62, "Syntax error: Empty query. (SYNTAX_ERROR)")
    statement = Statement(
        whole,
        database=url.get("database", ""),
        parameters={name.removeprefix("param_"): value for name, value in url.items() if name.startswith("param_")},
        settings=profile
        | {
            name: value
            for name, value in url.items()
            if name not in TRANSPORT_PARAMETERS and not name.startswith("param_")
        },
    )
    if insert := _INSERT.match(whole):
        statement.sql, statement.data_format = insert[1], insert[2].decode()
        statement.data = whole[insert.end() :]
    return statement


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a multipart form."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    fields = {}
    for part in form.iter_parts():
        value = part.get_payload(decode=True)
        assert isinstance(value, bytes)
        fields[str(part.get_param("name", header="Content-Disposition"))] = value.decode(errors="surrogateescape")
    return fields


def decompressed(body: bytes, coding: str) -> bytes:
    """A body in the coding of its header."""
    if coding in ("", "identity"):
        return body
    with pa.CompressedInputStream(pa.BufferReader(body), coding) as stream:
        plain: bytes = stream.read()
    return plain


def compressed(body: bytes, coding: str) -> bytes:
    """A body in a coding."""
    written = pa.BufferOutputStream()
    with pa.CompressedOutputStream(written, coding) as stream:
        stream.write(body)
    plain: bytes = written.getvalue().to_pybytes()
    return plain


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


def main() -> None:
    """Serve until SIGTERM, or with --while-stdin-open until whoever started this is gone."""
    parser = argparse.ArgumentParser(prog="python -m tests.contracts.clickhouse_front", description=main.__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="where chDB keeps the database")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; default 127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", default="")
    parser.add_argument("--owner", default="", help="USER:PASSWORD of one who may do as --user does")
    parser.add_argument("--reader", default="", help="USER:PASSWORD of another user")
    parser.add_argument("--reader-profile", default='{"readonly": "2"}', help="JSON: the settings of that user")
    parser.add_argument("--users", type=Path, help="absolute path of a config.xml: grants of user `default`, for all")
    parser.add_argument("--certificate", help="PEM file: TLS instead of plain HTTP")
    parser.add_argument("--key", help="PEM file of the certificate's private key")
    parser.add_argument("--while-stdin-open", action="store_true")
    options = parser.parse_args()
    if options.users:
        os.chdir(options.users.parent)
    engine = Engine(options.dir, options.users)
    front = Front(engine, options)

    def ready() -> None:
        control = ControlServer(front)
        serve_in_background(control)
        print(json.dumps({"address": front.up(), "control": f"127.0.0.1:{control.server_port}"}), flush=True)

    def end_with_stdin() -> None:
        sys.stdin.buffer.read()
        engine.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: engine.stop())
    if options.while_stdin_open:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    engine.serve(ready)
    front.down()


class ClickHouseFront:
    """The front in a process of its own, from a test's side; a context manager.

    Parameters
    ----------
    directory
        Where the database is kept, whatever happens to the process.
    user, password
        Who may use it.
    certificate, key
        PEM files, for TLS.
    users
        A file `config.xml` that grants user `default` what everybody shall be able to do, and no more.
    """

    def __init__(
        self,
        directory: Path,
        *,
        user: str = "c360",
        password: str = "secret",
        certificate: Path | None = None,
        key: Path | None = None,
        users: Path | None = None,
    ) -> None:
        self._arguments = ["--dir", str(directory), "--user", user, "--password", password, "--while-stdin-open"]
        if certificate is not None:
            self._arguments += ["--certificate", str(certificate), "--key", str(key)]
        if users is not None:
            self._arguments += ["--users", str(users)]
        self._scheme = "clickhouses" if certificate is not None else "clickhouse"
        self._credentials = f"{user}:{password}"
        # Bound but never listening: nobody else gets the port while the front is down.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]
        self._process: subprocess.Popen[str] | None = None
        self._control = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._reserved.close()

    def dsn(self, credentials: str | None = None, host: str = "127.0.0.1", query: str = "") -> str:
        """How `connect` finds it; other credentials, host or options may be given."""
        who = self._credentials if credentials is None else credentials
        return f"{self._scheme}://{who}@{host}:{self.port}/c360{query}"

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def start(self) -> None:
        """Start the process; return once it listens."""
        command = [sys.executable, "-m", "tests.contracts.clickhouse_front", "--port", str(self.port), *self._arguments]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdout is not None
        watchdog = threading.Timer(START_SECONDS_MAX, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        watchdog.cancel()
        if not line:
            raise RuntimeError(f"the ClickHouse front did not start: exit code {self._process.wait()}")
        self._control = json.loads(line)["control"]

    def stop(self) -> None:
        """End the process in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, as a crash does; `start` starts it again at the same address."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            with self._process:  # closes the pipes and waits
                pass
            self._process = None

    def fault(self, kind: str, **details: Any) -> None:
        """Add a fault: see `Fault`."""
        self._order(do="fault", kind=kind, **details)

    def repair(self) -> None:
        """Forget all faults."""
        self._order(do="repair")

    def profile(self, **settings: str) -> None:
        """Use these settings for every request."""
        self._order(do="profile", settings=settings)

    def down(self) -> None:
        """Close the listening socket and all connections; the engine stays."""
        self._order(do="down")

    def up(self) -> None:
        """Listen again, at the same address."""
        self._order(do="up")

    def state(self) -> dict[str, Any]:
        """Counts of inserts, the settings of the last one executed, and faults."""
        return self._order(do="state")

    def _order(self, **order: Any) -> dict[str, Any]:
        request = Request(f"http://{self._control}/", json.dumps(order).encode())
        with urlopen(request, timeout=START_SECONDS_MAX) as response:
            state: dict[str, Any] = json.load(response)
        return state


if __name__ == "__main__":
    main()
