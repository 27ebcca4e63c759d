"""A run that is asked to stop ends within seconds, with exit code 0, whatever it is doing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.processes import children, ends, free_addresses, hears, is_alive, started, wait_until
from tests.reference.flow_run import DEADLINE_SECONDS, FlowRun
from tests.reference.log import WrittenLog

pytestmark = pytest.mark.slow
BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


def tailing(world: WrittenLog, home: Path, processes: int = 1, **settings: str) -> FlowRun:
    return FlowRun(world.path, home, processes=processes, recovery=processes > 1, until_end=False, settings=settings)


def works(run: FlowRun) -> bool:
    """Whether scores come out."""
    return run.risk_bytes() > 0


@BOTH
def test_while_it_starts(world: WrittenLog, home: Path, number: signal.Signals) -> None:
    """Nothing has begun: it ends where it is, in the middle of an import."""
    run = tailing(world, home)
    with started(run) as process:
        wait_until(lambda: hears(process.pid), run)
        process.send_signal(number)
        assert ends(process, run) == 0, run.output()
    assert run.output() == ""


def test_while_a_broker_does_not_answer(world: WrittenLog, home: Path) -> None:
    """The main thread is in librdkafka, where Python hears no signal."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        run = tailing(world, home, C360_KAFKA_BROKERS=f"127.0.0.1:{broker.getsockname()[1]}")
        with started(run) as process:
            broker.settimeout(60)
            connection, _ = broker.accept()
            with connection:
                process.send_signal(signal.SIGTERM)
                assert ends(process, run) == 0, run.output()
    assert run.output() == ""


def test_while_the_tables_do_not_answer(world: WrittenLog, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(DEADLINE_SECONDS)
        run = tailing(world, home, C360_CLICKHOUSE_DSN=f"clickhouse://127.0.0.1:{server.getsockname()[1]}/c360")
        with started(run) as process:
            connection, _ = server.accept()
            with connection:
                process.send_signal(signal.SIGTERM)
                assert ends(process, run) == 0, run.output()
    assert "error" not in run.output()


@contextmanager
def joining(run: FlowRun) -> Iterator[subprocess.Popen[str]]:
    """The second process of a cluster, in the engine: the first takes its connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as peer:
        peer.settimeout(DEADLINE_SECONDS)
        peers = f"127.0.0.1:{peer.getsockname()[1]},{free_addresses(1)[0]}"
        with started(run, "--peers", peers, "--process", "1") as process:
            connection, _ = peer.accept()
            with connection:
                yield process


def test_while_the_engine_does_not_hear(world: WrittenLog, home: Path) -> None:
    """Then it is ended, which is safe and as good, and says so."""
    run = tailing(world, home)
    with joining(run) as process:
        process.send_signal(signal.SIGTERM)
        assert ends(process, run) == 0, run.output()
    assert "stopped without waiting any longer" in run.output()


def test_a_second_signal_ends_it_at_once(world: WrittenLog, home: Path) -> None:
    run = tailing(world, home)
    with joining(run) as process:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert ends(process, run) in (128 + signal.SIGINT, 128 + signal.SIGTERM), run.output()
    assert "without waiting" not in run.output()


@pytest.mark.parametrize("processes", [1, 2])
@BOTH
def test_while_it_tails_a_terminal_or_a_process_manager_signals_all_its_processes(
    world: WrittenLog, home: Path, processes: int, number: signal.Signals
) -> None:
    """Each process gets the signal, and those of a cluster hear of it from their parent too."""
    run = tailing(world, home, processes)
    with started(run) as process:
        wait_until(lambda: works(run), run)
        os.killpg(process.pid, number)
        assert ends(process, run) == 0, run.output()
    assert "error" not in run.output()
    assert run.output().count("events read") == processes, run.output()
    assert "without waiting" not in run.output()


def test_a_cluster_whose_parent_is_killed_stops(world: WrittenLog, home: Path) -> None:
    """How cleanly is not asked: nobody waits for them."""
    run = tailing(world, home, 2)
    with started(run) as process:
        wait_until(lambda: works(run), run)
        family = children(process.pid)
        assert len(family) == 2
        process.kill()
        wait_until(lambda: not any(map(is_alive, family)), run)


def test_a_cluster_is_stopped_while_it_starts(world: WrittenLog, home: Path) -> None:
    run = tailing(world, home, 2)
    with started(run) as process:
        wait_until(lambda: len(children(process.pid)) == 2, run)
        process.send_signal(signal.SIGTERM)
        assert ends(process, run) == 0, run.output()
    assert "error" not in run.output()
