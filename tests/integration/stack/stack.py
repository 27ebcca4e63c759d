"""The processes of the compose file on this machine, started in its order and ended together."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.etree import ElementTree

from tests.deploy import compose
from tests.deploy.compose import ROOT, Service
from tests.deploy.kafka import LISTENERS, compose_broker, login
from tests.integration.stack import monitoring
from tests.integration.stack.answers import Observer
from tests.integration.stack.places import Places
from tests.integration.stack.processes import Process, wait_for
from tests.integration.stack.web import Alertmanager, ClickHouse, Prometheus, QueryError, read_page

SCRAPE = timedelta(seconds=2)
START_SECONDS_MAX = 90
ONE_SHOT_SECONDS_MAX = 180
CAUGHT_UP_SECONDS_MAX = 600
LIVE_SECONDS_MAX = 120
WORKER_DOWN_ALERT = "C360ProcessDown"
# Written by a service where its volume or its configuration is, in its container.
FOLDERS = {"/var/lib/c360": "recovery", "/prometheus": "prometheus", "/alertmanager": "alertmanager"}


class Stack:
    """Kafka, ClickHouse, workers, heartbeat, the demo, Prometheus and Alertmanager; a context manager.

    Commands, environments, passwords and configuration are those of the compose file; hosts, ports and paths are
    replaced by those of this machine, Prometheus scrapes every two seconds, and the demo's history is small. chDB
    behind HTTP stands for the ClickHouse server; nothing stands for Grafana.

    Parameters
    ----------
    home
        An empty folder, for everything.
    accounts, days
        How much history the demo sends before it goes on live.
    """

    def __init__(self, home: Path, *, accounts: int, days: int) -> None:
        self.home = home
        self._held = ExitStack()
        self._processes: dict[str, Process] = {}
        self._days = days
        self._history = {"--accounts": str(accounts), "--days": str(days)}
        secrets = compose.make_secrets(home)
        self._services = compose.load(secrets).services
        self._secrets = secrets
        self.places = Places(self._services, self._folders())
        for name, service in {"clickhouse_dsn": "worker", "clickhouse_setup_dsn": "setup"}.items():
            dsn = secrets / name
            dsn.write_text(self.places.translate(dsn.read_text(), service))
        self.prometheus = Prometheus(self.places.address("prometheus", 9090))
        self.alertmanager = Alertmanager(self.places.address("alertmanager", 9093))
        address = self.places.address("clickhouse", 8123)
        self.tables = ClickHouse(address, "grafana", self._secret("clickhouse_grafana_password"))
        self.all_tables = ClickHouse(address, "c360", self._secret("clickhouse_password"))
        self.started = self.live_since = datetime.now(UTC)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.end)
            self._start()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """End every process, the last started first."""
        self._held.close()

    def wait_for_live(self, seconds: float) -> None:
        """Wait until the history is processed, heartbeats come through, and Prometheus has seen that for some time.

        Raises
        ------
        StackError
            If it takes too long, or a process ends meanwhile.
        """
        self.wait(self._has_caught_up, "the history to be processed", CAUGHT_UP_SECONDS_MAX)
        self.wait(self._has_scores, "the scores of the last day", LIVE_SECONDS_MAX)
        self.wait(self._has_heartbeats, "heartbeats to be acknowledged", LIVE_SECONDS_MAX)
        self.live_since = datetime.now(UTC)
        until = self.live_since.timestamp() + seconds
        scraped = 'min(timestamp(up{job="c360"}))'
        what = f"{seconds:g} s of live operation to be scraped"
        self.wait(lambda: (self.prometheus.value(scraped) or 0) > until, what, seconds + LIVE_SECONDS_MAX)

    def wait(self, condition: Callable[[], bool], what: str, seconds_max: float) -> None:
        """Wait until something holds; every process has to go on running.

        Raises
        ------
        StackError
            If it takes too long, or a process ends meanwhile.
        """
        began = time.monotonic()
        wait_for(condition, what, seconds_max, self._processes.values())
        self._say(f"{what}: after {time.monotonic() - began:.1f} s")

    def observer(self) -> Observer:
        """Somebody who looks at dashboards now, at all that Prometheus has seen."""
        return Observer(self.prometheus, self.tables, SCRAPE, self.started, datetime.now(UTC))

    def kill(self, name: str) -> None:
        """End a service as a power cut does."""
        self._processes.pop(name).kill()

    def stop(self, name: str) -> int:
        """Stop a service in good order; its exit code."""
        return self._processes.pop(name).end()

    def kafka_client(self) -> dict[str, str]:
        """What librdkafka needs to write and read as the services do."""
        return {"bootstrap.servers": self.places.address("kafka", 9092), **login(self._services["kafka"])}

    def worker_addresses(self) -> list[str]:
        """Where the workers' metrics are."""
        service = self._services["worker"]
        processes = int(service.command[service.command.index("--processes") + 1])
        port = int(service.environment["C360_METRICS_ADDRESS"].rpartition(":")[2])
        return [self.places.address("worker", port + number) for number in range(processes)]

    def working_folders(self) -> Iterable[Path]:
        """Folders in which the project's own processes run: read-only in a container."""
        return sorted(self.home.glob("cwd-*"))

    def _folders(self) -> dict[str, Path]:
        found = {place: self.home / name for place, name in FOLDERS.items()}
        found["/etc/prometheus"] = self.home / "config"
        for folder in found.values():
            folder.mkdir()
        return {**found, **self._services["alertmanager"].files, "/run/secrets": self._secrets}

    def _start(self) -> None:
        self._start_clickhouse()
        self._start_monitoring()
        broker = self.home / "kafka"
        broker.mkdir()
        addresses = self._held.enter_context(compose_broker(self._services["kafka"], broker))
        for listener, address in addresses.items():
            self.places.put("kafka", LISTENERS[listener], address)
        ping = f"http://{self.places.address('clickhouse', 8123)}/ping"
        self.wait(lambda: _holds(lambda: bool(read_page(ping))), "ClickHouse", START_SECONDS_MAX)
        self.wait(self.prometheus.is_ready, "Prometheus", START_SECONDS_MAX)
        self.wait(self.alertmanager.is_ready, "Alertmanager", START_SECONDS_MAX)
        self._complete("setup")
        self._complete("history")
        for name in ("worker", "heartbeat", "demo"):
            self._run_c360(name)
        self.wait(self._workers_are_scraped, "Prometheus to scrape the workers", START_SECONDS_MAX)

    def _start_clickhouse(self) -> None:
        users = ElementTree.parse(ROOT / "deploy" / "clickhouse" / "users.d" / "c360.xml")
        profile = {each.tag: each.text for each in users.findall("./profiles/dashboards/*") if len(each) == 0}
        command = [sys.executable, "-m", "tests.contracts.clickhouse_front", "--dir", str(self.home / "clickhouse")]
        command += ["--port", str(self.places.port("clickhouse", 8123))]
        command += ["--user=c360", f"--password={self._secret('clickhouse_password')}"]
        command += [f"--owner=c360_setup:{self._secret('clickhouse_setup_password')}"]
        command += [f"--reader=grafana:{self._secret('clickhouse_grafana_password')}"]
        command += ["--reader-profile", json.dumps(profile)]
        self._run("clickhouse", command, cwd=ROOT)

    def _start_monitoring(self) -> None:
        config = self.home / "config"
        source = ROOT / "deploy" / "prometheus"
        monitoring.write_prometheus_config(source / "prometheus.yml", config / "prometheus.yml", self.places, SCRAPE)
        monitoring.write_rules(source / "rules", config / "rules", shortened={WORKER_DOWN_ALERT})
        for name, program in (("prometheus", "prometheus"), ("alertmanager", "prometheus-alertmanager")):
            self._run(name, [program, *self._command(self._services[name])], cwd=self.home)

    def _complete(self, name: str) -> None:
        """Run a service that others wait for the end of."""
        began = time.monotonic()
        self._run_c360(name).wait(ONE_SHOT_SECONDS_MAX)
        del self._processes[name]
        self._say(f"{name}: took {time.monotonic() - began:.1f} s")

    def _run_c360(self, name: str) -> Process:
        service = self._services[name]
        command = self._command(service)
        if "simulate" in command:
            for option, value in self._history.items():
                command[command.index(option) + 1] = value
        folder = self.home / f"cwd-{name}"
        folder.mkdir()
        environment = {name: self.places.translate(value, service.name) for name, value in service.environment.items()}
        environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        return self._run(name, [sys.executable, "-m", "c360_stream", *command], cwd=folder, env=environment)

    def _run(self, name: str, command: Sequence[str], *, cwd: Path, env: dict[str, str] | None = None) -> Process:
        process = Process(name, command, self.home, cwd=cwd, env=env)
        self._held.callback(process.end)
        self._processes[name] = process
        return process

    def _command(self, service: Service) -> list[str]:
        return [self.places.translate(word, service.name) for word in service.command]

    def _secret(self, name: str) -> str:
        return (self._secrets / name).read_text().strip()

    def _workers_are_scraped(self) -> bool:
        return self.prometheus.value('sum(up{job="c360"})') == len(self.worker_addresses())

    def _has_caught_up(self) -> bool:
        """Whether the demo's history is read and the watermark has left it: it follows the clock then."""
        lag = self.prometheus.value("sum(c360_consumer_lag_records)")
        behind = self.prometheus.value("max(c360_watermark_lag_seconds)")
        ticks = self.prometheus.value("max(c360_ticks_closed_total)") or 0
        return lag is not None and behind is not None and behind < 2 * 3600 and ticks >= self._days - 1

    def _has_scores(self) -> bool:
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        newest = f"SELECT count() FROM risk_scores WHERE toDate(as_of) >= toDate('{yesterday}')"
        return _holds(lambda: int(self.tables.rows(newest)[1][0][0]) > 0)

    def _has_heartbeats(self) -> bool:
        return (self.prometheus.value("count(c360_heartbeat_timestamp_seconds > 0)") or 0) > 0

    def _say(self, what: str) -> None:
        with (self.home / "stack.out").open("a") as file:
            file.write(f"{datetime.now(UTC):%H:%M:%S} {what}\n")


def _holds(condition: Callable[[], bool]) -> bool:
    """Whether a condition holds; not if a server does not answer."""
    try:
        return condition()
    except QueryError:
        return False
