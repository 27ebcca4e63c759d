"""The serving side: who may use the engine, what is to go wrong, and whether anybody listens."""

from __future__ import annotations

import argparse
import json
import re
import ssl
import threading
from dataclasses import asdict, dataclass
from typing import Any

from tests.contracts.clickhouse_front.engine import Engine
from tests.contracts.clickhouse_front.listener import Listener, serve_in_background
from tests.contracts.clickhouse_front.statements import Answer, Statement

INSERTS = r"\s*INSERT\b"


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
