"""What asks `c360` to end is heard from its first line on, as process 1 of a container too."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.processes import children, hears

SECONDS_MAX = 60
AS_PROCESS_1 = ("unshare", "--pid", "--fork", "--kill-child")


def environment(**settings: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("C360_")} | settings


@contextmanager
def started(*command: str, cwd: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=cwd, env=environment(**settings), stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_still_imported_ends_well(tmp_path: Path, number: signal.Signals) -> None:
    """As soon as there is a handler; before it, Python itself has just begun."""
    with started(sys.executable, "-m", "c360_stream", "run", cwd=tmp_path) as process:
        while process.poll() is None and not hears(process.pid):
            pass
        process.send_signal(number)
        _, said = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, said) == (0, "")


def test_only_the_command_run_ends_well(tmp_path: Path) -> None:
    """Not one that has a value of that name."""
    command = ["simulate", "--accounts", "5", "--days", "5", "--seed", "1", "--out", "run"]
    with started(sys.executable, "-m", "c360_stream", *command, cwd=tmp_path) as process:
        while process.poll() is None and not hears(process.pid):
            pass
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS_MAX)
    assert process.returncode in (128 + signal.SIGTERM, -signal.SIGTERM)


@pytest.mark.skipif(
    subprocess.run([*AS_PROCESS_1, "true"], capture_output=True, check=False).returncode != 0,
    reason="this user may make no namespaces",
)
@pytest.mark.parametrize("command", ["setup", "doctor", "redrive"])
def test_process_1_of_a_container_ends_when_it_is_asked_to(tmp_path: Path, command: str) -> None:
    """While a broker does not answer, which keeps the main thread in librdkafka for a while."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        broker.settimeout(SECONDS_MAX)
        address = f"127.0.0.1:{broker.getsockname()[1]}"
        whole = (*AS_PROCESS_1, sys.executable, "-m", "c360_stream", command)
        with started(*whole, cwd=tmp_path, C360_KAFKA_BROKERS=address) as process:
            connection, _ = broker.accept()
            with connection:
                (child,) = children(process.pid)
                os.kill(child, signal.SIGTERM)
                process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 128 + signal.SIGTERM
