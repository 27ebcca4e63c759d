"""`c360 run`: the churn flow in this process, or as a cluster of processes on this machine."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO

from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from c360_stream import metrics
from c360_stream.commands import PEERS_VARIABLE
from c360_stream.connectors.transport import open_transport
from c360_stream.errors import C360Error, ConfigurationError, StateError
from c360_stream.health import HEALTH, HealthServer
from c360_stream.operators.alignment import FILE_VARIABLE
from c360_stream.operators.stop import first_failure, request_stop
from c360_stream.settings import Settings

RECOVERY_PARTITIONS = 16
PROCESS_VARIABLE = "C360_PROCESS"
ORIGIN = "origin.json"


def run(settings: Settings, *, processes: int = 1, recovery: Path | None = None) -> None:
    """Run the flow until its input ends, or for good.

    Parameters
    ----------
    settings
        Settings; `live` false stops at the end of the input.
    processes
        Number of processes on this machine.
    recovery
        Directory of the recovery store; made if it is absent. None: a crash starts from the beginning.

    Raises
    ------
    ConfigurationError, TransportError, StateError
        What went wrong, in one line.
    """
    if PEERS_VARIABLE in os.environ:
        _run_here(settings, recovery, int(os.environ[PROCESS_VARIABLE]), os.environ[PEERS_VARIABLE].split(","))
        return
    with _recovery_store(recovery) as lock:
        if recovery is not None:
            _same_origin(settings, recovery)
        if processes == 1:
            _run_here(settings, recovery, 0, [])
        else:
            _run_cluster(processes, lock)


def _run_here(settings: Settings, recovery: Path | None, process: int, peers: list[str]) -> None:
    from flows.churn import build

    begun_at = json.loads((recovery / ORIGIN).read_text())["begun_at"] if recovery else {}
    flow = build(
        settings,
        keep_state=recovery is not None,
        begun_at={topic: tuple(position) for topic, position in begun_at.items()},
    )
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _on_signal)
    # State is long-lived and has no cycles: looking through it again and again cost a third of a tick's time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    began = time.monotonic()
    with closing(HealthServer(settings.metrics_address, process=process)), _own_stderr():
        try:
            cli_main(
                flow,
                process_id=process if peers else None,
                addresses=peers or None,
                epoch_interval=timedelta(seconds=settings.snapshot_seconds),
                recovery_config=RecoveryConfig(recovery) if recovery else None,
            )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the engine's panics are no Exception
            failure = first_failure()
            if failure is not None:
                raise failure from None
            if peers:
                raise C360Error(
                    "lost a process of the cluster", "see the messages of the others; run again to resume"
                ) from error
            raise RuntimeError(str(error)) from error
        finally:
            HEALTH.stopped()
    _say_done(process, time.monotonic() - began)


@contextmanager
def _own_stderr() -> Iterator[None]:
    """Keep what native code writes to stderr from it, unless the run fails in a way that is not understood.

    The engine reports an error that a step raised as a panic with a hundred lines of backtrace.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    python_stderr = sys.stderr
    with tempfile.TemporaryFile() as native, os.fdopen(os.dup(kept), "w", buffering=1) as ours:
        os.dup2(native.fileno(), 2)
        sys.stderr = ours
        try:
            yield
        except C360Error:
            raise
        except BaseException:
            native.seek(0)
            os.write(kept, native.read())
            raise
        finally:
            sys.stderr = python_stderr
            os.dup2(kept, 2)
            os.close(kept)


def _on_signal(number: int, frame: object) -> None:
    # A second signal ends the process at once.
    signal.signal(number, signal.SIG_DFL)
    request_stop()


def _say_done(process: int, seconds: float) -> None:
    read = metrics.total("c360_events_read_total")
    accepted = metrics.total("c360_events_accepted_total")
    letters = metrics.total("c360_dead_letters_total")
    scores = metrics.total("c360_scores_emitted_total")
    print(  # noqa: T201 - the command's result
        f"c360 run: process {process}: {read:,.0f} events read, {accepted:,.0f} accepted, {letters:,.0f} dead letters,"
        f" {scores:,.0f} scores, {seconds:,.1f} s",
        file=sys.stderr,
    )


def _run_cluster(processes: int, lock: IO[str] | None) -> None:
    """Start this very command once a process, and wait; one that fails takes the others with it.

    The children hold the lock too, so that it outlives a parent that is killed.
    """
    peers = ",".join(f"127.0.0.1:{port}" for port in _free_ports(processes))
    with tempfile.TemporaryDirectory(prefix="c360-") as shared:
        environment = {**os.environ, PEERS_VARIABLE: peers, FILE_VARIABLE: str(Path(shared) / "alignment")}
        children = [
            subprocess.Popen(  # noqa: S603 - this very command
                [sys.executable, "-m", "c360_stream", *sys.argv[1:]],
                env={**environment, PROCESS_VARIABLE: str(number)},
                pass_fds=[lock.fileno()] if lock else [],
            )
            for number in range(processes)
        ]

        stopping: list[int] = []

        def pass_on(number: int, frame: object) -> None:
            stopping.append(number)
            for child in children:
                child.send_signal(number)

        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, pass_on)
        _wait(children, stopping)


def _wait(children: list[subprocess.Popen[bytes]], stopping: list[int]) -> None:
    """Wait for all; a child that a stop found before it could take signals has stopped too."""
    try:
        while True:
            codes = [child.poll() for child in children]
            codes = [0 if code is not None and -code in stopping else code for code in codes]
            failed = [code for code in codes if code]
            if failed:
                raise C360Error(
                    f"a process of the cluster ended with code {failed[0]}",
                    "see its message above; run again to resume",
                )
            if all(code == 0 for code in codes):
                return
            time.sleep(0.05)
    finally:
        for child in children:
            child.kill()
            child.wait()


def _free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


@contextmanager
def _recovery_store(directory: Path | None) -> Iterator[IO[str] | None]:
    """Make the recovery store if it is absent, readable by its owner alone, and lock it."""
    if directory is None:
        yield None
        return
    with ExitStack() as held:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
            lock = held.enter_context((directory / ".lock").open("w"))
            _lock(lock, directory)
            if not list(directory.glob("*.sqlite3")):
                init_db_dir(directory, RECOVERY_PARTITIONS)
        except OSError as error:
            raise ConfigurationError(
                f"recovery directory {directory}: {error.strerror}", "name a writable one"
            ) from None
        yield lock


def _same_origin(settings: Settings, recovery: Path) -> None:
    """Note in a new recovery store where its input is and where the output topics were; refuse it for another input.

    Positions mean nothing in another log, and a log directory's output would be cut back to them.
    """
    place = f"kafka {settings.kafka_brokers}" if settings.uses_kafka else f"log directory {settings.log_dir.resolve()}"
    origin = recovery / ORIGIN
    if not origin.exists():
        begun_at = {} if settings.uses_kafka else _output_positions(settings)
        written = recovery / f"{ORIGIN}.new"
        written.write_text(json.dumps({"place": place, "prefix": settings.topic_prefix, "begun_at": begun_at}))
        written.replace(origin)
    kept = json.loads(origin.read_text())
    if (kept["place"], kept["prefix"]) != (place, settings.topic_prefix):
        raise StateError(
            f"recovery directory {recovery} is of {kept['place']}, topics {kept['prefix']}.*; this run is on {place}",
            "name the recovery directory of this input, or an empty one",
        )


def _output_positions(settings: Settings) -> dict[str, tuple[int, ...]]:
    positions = {}
    with closing(open_transport(settings)) as transport:
        for topic in (settings.risk_topic, settings.alarm_topic, settings.dead_letter_topic):
            with closing(transport.writer(topic, None)) as writer:
                positions[topic] = writer.position()
    return positions


def _lock(lock: IO[str], directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StateError(
            f"recovery directory {directory} is in use by another process", "stop that one, or name another directory"
        ) from None
