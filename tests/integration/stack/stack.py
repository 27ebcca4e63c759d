"""The processes of the compose file on this machine, started in its order and ended together."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.etree import ElementTree

from deploy import make_secrets
from tests.integration.stack import monitoring
from tests.integration.stack.answers import Observer
from tests.integration.stack.composition import ROOT, Service, services
from tests.integration.stack.kafka import is_up, start_kafka
from tests.integration.stack.places import Places
from tests.integration.stack.processes import Process, wait_for
from tests.integration.stack.web import Alertmanager, ClickHouse, Prometheus, QueryError, read_page

SCRAPE = timedelta(seconds=2)
START_SECONDS_MAX = 90
CAUGHT_UP_SECONDS_MAX = 240
LIVE_SECONDS_MAX = 120
SETUP_SECONDS_MAX = 60
OUTCOME_SECONDS_MAX = 60
WORKER_DOWN_ALERTS = ("C360ProcessDown",)
CLICKHOUSE_USERS = ROOT / "deploy" / "clickhouse" / "users.d" / "c360.xml"


class Stack:
    """Kafka, ClickHouse, workers, heartbeat, demo, Prometheus and Alertmanager; a context manager.

    Commands, environments, passwords and configuration are those of the compose file; hosts, ports and paths are
    replaced by those of this machine, Prometheus scrapes every two seconds, and the demo is small.
    chDB behind HTTP stands for ClickHouse; nothing stands for Grafana.

    Parameters
    ----------
    home
        An empty folder, for everything.
    accounts, days
        How much history the demo sends before it goes on live.
    """

    def __init__(self, home: Path, *, accounts: int, days: int) -> None:
        self.home = home
        self.services = services()
        self.processes: dict[str, Process] = {}
        self._history = {"--accounts": str(accounts), "--days": str(days)}
        folders = {name: home / name for name in ("secrets", "recovery", "prometheus", "alertmanager", "config", "kafka")}
        for folder in folders.values():
            folder.mkdir()
        make_secrets.make(folders["secrets"])
        self.places = Places(
            self.services,
            {
                "/run/secrets": folders["secrets"],
                "/var/lib/c360": folders["recovery"],
                "/prometheus": folders["prometheus"],
                "/alertmanager": folders["alertmanager"],
                "/etc/prometheus": folders["config"],
                **self.services["alertmanager"].mounts,
            },
        )
        dsn = folders["secrets"] / "clickhouse_dsn"
        dsn.write_text(self.places.translate(dsn.read_text(), "worker"))
        self.prometheus = Prometheus(self.places.address("prometheus", 9090))
        self.alertmanager = Alertmanager(self.places.address("alertmanager", 9093))
        self.tables = ClickHouse(self.places.address("clickhouse", 8123), "grafana", self._secret("clickhouse_grafana_password"))
        self.started = self.live_since = datetime.now(UTC)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """End every process, the last started first."""
        while self.processes:
            self.processes.popitem()[1].end()

    def wait_for_live(self, seconds: float) -> None:
        """Wait until the history is processed, heartbeats come through, and Prometheus has seen that for some time.

        Raises
        ------
        StackError
            If it takes too long, or a process ends meanwhile.
        """
        conditions: Sequence[tuple[str, Callable[[], bool], float]] = (
            ("the history to be processed", self._has_caught_up, CAUGHT_UP_SECONDS_MAX),
            ("the scores of the last day", self._has_scores, OUTCOME_SECONDS_MAX),
            ("heartbeats to be acknowledged", self._has_heartbeats, OUTCOME_SECONDS_MAX),
        )
        for what, condition, seconds_max in conditions:
            self.wait(condition, what, seconds_max)
        self.live_since = datetime.now(UTC)
        until = self.live_since.timestamp() + seconds
        self.wait(
            lambda: (self.prometheus.value('max(timestamp(up{job="c360"}))') or 0) > until,
            f"{seconds:g} s of live operation to be scraped",
            seconds + LIVE_SECONDS_MAX,
        )

    def wait(self, condition: Callable[[], bool], what: str, seconds_max: float) -> None:
        """Wait until something holds; every process has to go on running.

        Raises
        ------
        StackError
            If it takes too long, or a process ends meanwhile.
        """
        began = time.monotonic()
        wait_for(condition, what, seconds_max, self.processes.values())
        self._say(f"{what}: after {time.monotonic() - began:.1f} s")

    def observer(self) -> Observer:
        """Somebody who looks at dashboards now, from the beginning."""
        return Observer(self.prometheus, self.tables, SCRAPE, self.started, datetime.now(UTC))

    def kill_workers(self) -> None:
        """End the workers as a power cut does."""
        self.processes.pop("worker").kill()

    def working_folders(self) -> Iterable[Path]:
        """Folders in which the project's own processes run: read-only in a container."""
        return self.home.glob("cwd-*")

    def _start(self) -> None:
        self._start_kafka()
        self._start_clickhouse()
        self._start_monitoring()
        client = {
            "bootstrap.servers": self.places.address("kafka", 9092),
            **{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"},
            **{"sasl.username": "c360", "sasl.password": self._secret("kafka_password")},
        }
        self.wait(lambda: is_up(client), "Kafka", START_SECONDS_MAX)
        self.wait(self._clickhouse_answers, "ClickHouse", START_SECONDS_MAX)
        self.wait(self.prometheus.is_ready, "Prometheus", START_SECONDS_MAX)
        self.wait(self.alertmanager.is_ready, "Alertmanager", START_SECONDS_MAX)
        self._run_c360("setup").wait(SETUP_SECONDS_MAX)
        for name in ("worker", "heartbeat"):
            self.processes[name] = self._run_c360(name)
        self.wait(self._workers_are_scraped, "Prometheus to scrape the workers", START_SECONDS_MAX)
        self.processes["demo"] = self._run_c360("demo", self._history)

    def _start_kafka(self) -> None:
        service = self.services["kafka"]
        self.processes["kafka"] = start_kafka(self.home / "kafka", self._environment(service))

    def _start_clickhouse(self) -> None:
        users = ElementTree.parse(CLICKHOUSE_USERS)
        profile = {setting.tag: str(setting.text) for setting in users.findall("./profiles/dashboards/*") if len(setting) == 0}
        command = [sys.executable, "-m", "tests.contracts.clickhouse_front", "--dir", str(self.home / "clickhouse")]
        command += ["--port", str(self.places.port("clickhouse", 8123))]
        command += ["--user", "c360", "--password", self._secret("clickhouse_password")]
        command += ["--reader", f"grafana:{self._secret('clickhouse_grafana_password')}", "--reader-profile", json.dumps(profile)]
        self.processes["clickhouse"] = Process("clickhouse", command, self.home, cwd=ROOT)

    def _start_monitoring(self) -> None:
        config = self.home / "config"
        source = ROOT / "deploy" / "prometheus"
        monitoring.write_prometheus_config(source / "prometheus.yml", config / "prometheus.yml", self.places, SCRAPE)
        monitoring.write_rules(source / "rules", config / "rules", shortened=WORKER_DOWN_ALERTS)
        for name, program in (("prometheus", "prometheus"), ("alertmanager", "prometheus-alertmanager")):
            command = [program, *self._command(self.services[name])]
            self.processes[name] = Process(name, command, self.home)

    def _run_c360(self, name: str, changes: dict[str, str] | None = None) -> Process:
        service = self.services[name]
        command = self._command(service)
        for option, value in (changes or {}).items():
            command[command.index(option) + 1] = value
        folder = self.home / f"cwd-{name}"
        folder.mkdir()
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self._environment(service)}
        command = [sys.executable, "-m", "c360_stream", *command]
        return Process(name, command, self.home, env=environment, cwd=folder)

    def _command(self, service: Service) -> list[str]:
        return [self.places.translate(word, service.name) for word in service.command]

    def _environment(self, service: Service) -> dict[str, str]:
        return {name: self.places.translate(value, service.name) for name, value in service.environment.items()}

    def _secret(self, name: str) -> str:
        return (self.home / "secrets" / name).read_text().strip()

    def _clickhouse_answers(self) -> bool:
        return _true_of_an_answer(lambda: bool(read_page(f"http://{self.places.address('clickhouse', 8123)}/ping")))

    def _workers_are_scraped(self) -> bool:
        return self.prometheus.value('sum(up{job="c360"})') == len(self.worker_addresses())

    def worker_addresses(self) -> list[str]:
        """Where the workers' metrics are."""
        command = self.services["worker"].command
        processes = int(command[command.index("--processes") + 1])
        port = int(self.services["worker"].environment["C360_METRICS_ADDRESS"].rpartition(":")[2])
        return [self.places.address("worker", port + number) for number in range(processes)]

    def _has_caught_up(self) -> bool:
        """Whether the demo's history is read and the watermark has left it: it follows the clock then."""
        lag = self.prometheus.value("sum(c360_consumer_lag_records)")
        behind = self.prometheus.value("max(c360_watermark_lag_seconds)")
        ticks = self.prometheus.value("max(c360_ticks_closed_total)") or 0
        history = int(self._history["--days"])
        return lag is not None and behind is not None and behind < 2 * 3600 and ticks >= history - 1

    def _has_scores(self) -> bool:
        midnight = datetime.now(UTC).date() - timedelta(days=1)
        newest = "SELECT count() FROM risk_latest WHERE toDate(as_of) >= toDate('{}')".format(midnight)
        return _true_of_an_answer(lambda: int(self.tables.rows(newest)[1][0][0]) > 0)

    def _has_heartbeats(self) -> bool:
        return (self.prometheus.value("count(c360_heartbeat_timestamp_seconds > 0)") or 0) > 0

    def _say(self, what: str) -> None:
        with (self.home / "stack.out").open("a") as file:
            file.write(f"{datetime.now(UTC):%H:%M:%S} {what}\n")


def _true_of_an_answer(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except QueryError:
        return False
