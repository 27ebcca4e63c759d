"""The front in a process of its own, from a test's side."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[3]
START_SECONDS_MAX = 60


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
