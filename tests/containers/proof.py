"""What has to hold of the image and the compose file in an engine, in steps that build on each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tests.containers.engine import docker, last_lines
from tests.containers.stack import PROJECT, WITHOUT_INIT, Stack
from tests.deploy.compose import ROOT

UID = "10001"
OURS_UP = ("worker", "heartbeat", "demo")
ONCE = {"setup", "history"}
OTHERS = ("kafka", "clickhouse", "prometheus", "alertmanager")
# Each ends at once when it is asked to, whatever it has begun.
STOPPED_AT_ONCE = (("setup",), ("doctor",), ("redrive", "--dry-run"), ("top",), ("heartbeat",))
# Its start script writes its configuration there.
WRITES_ITS_ROOT = {"kafka"}
STOPPED = 128 + 15
# How far the watermark is behind the clock at most once history is behind it; it follows by the allowed lateness.
LIVE_SECONDS = 2 * 3600
SIGTERM_BIT = 1 << 14
WRONG = "not-the-password"


class Proof:
    """The steps.

    Parameters
    ----------
    stack
        The project, of which nothing is up.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._volumes_before = stack.volumes()
        self._scores = 0

    def steps(self) -> Iterator[str]:
        """Take one step after the other; each yields what holds.

        Raises
        ------
        ProofError
            If something does not hold.
        """
        steps: tuple[Callable[[], str], ...] = (
            self._comes_up_with_the_demo,
            self._is_hardened,
            self._is_reached_from_this_machine_only,
            self._knows_that_kafka_is_well,
            self._is_watched,
            self._ends_when_it_is_asked_to,
            self._stops_in_good_order,
            self._survives_a_kill,
            self._goes_on_with_its_volume,
            self._catches_up,
            self._answers,
            self._refuses_in_a_line,
            self._stops_as_a_whole,
            self._leaves_its_volumes,
            self._comes_up_again,
            self._leaves_nothing,
        )
        for step in steps:
            yield step()

    def _comes_up_with_the_demo(self) -> str:
        self._stack.compose("up", "--detach", "--wait", profile="demo")
        self._check_states({*OTHERS, *OURS_UP, *ONCE})
        return "up --detach --wait with the demo: all are healthy, setup and history have ended well"

    def _is_hardened(self) -> str:
        containers = self._stack.containers()
        for service in (*OTHERS, *OURS_UP):
            host, raw = containers[service]["HostConfig"], self._stack.described.services[service].raw
            status = self._stack.inside(service, "cat", "/proc/1/status", "/proc/self/status", "/proc/self/mounts")
            uids = set(" ".join(_values(status, "Uid")).split())
            ours = service in OURS_UP
            self._check(uids == {UID} if ours else "0" not in uids, f"{service} runs as {uids}")
            capabilities = [
                value for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb") for value in _values(status, f"Cap{kind}")
            ]
            self._check(set(capabilities) == {"0" * 16}, f"{service} has capabilities: {capabilities}")
            self._check(_values(status, "NoNewPrivs") == ["1", "1"], f"{service} may get privileges")
            mode = "rw" if service in WRITES_ITS_ROOT else "ro"
            self._check(bool(re.search(rf"(?m)^\S+ / \S+ {mode},", status)), f"{service}: its root is not {mode}")
            bounds = host["Memory"] > 0, host["NanoCpus"] == raw["cpus"] * 10**9, host["PidsLimit"] == raw["pids_limit"]
            self._check(all(bounds), f"{service}: bounds on memory, processors and processes: {bounds}")
        return f"no root (ours: {UID}), capabilities or new privileges; root file systems are read-only; bounds are set"

    def _is_reached_from_this_machine_only(self) -> str:
        backend = f"{PROJECT}_backend"
        internal = docker(self._stack.engine, "network", "inspect", "--format", "{{.Internal}}", backend).strip()
        self._check(internal == "true", f"network {backend} has a way out")
        for service, container in self._stack.containers().items():
            network = container["NetworkSettings"]
            hosts = {place["HostIp"] for places in network["Ports"].values() for place in places or ()}
            ours = service not in OTHERS
            self._check(hosts == (set() if ours else {"127.0.0.1"}), f"{service} is published at {hosts}")
            if ours:
                self._check(set(network["Networks"]) == {backend}, f"{service} is in {set(network['Networks'])}")
        for service in OURS_UP:
            routes = self._stack.inside(service, "cat", "/proc/net/route").splitlines()[1:]
            ways_out = [line for line in routes if line.split()[1] == "00000000"]
            self._check(not ways_out, f"{service} has a way out: {ways_out}")
        return "ours are in the network that has no way out; published ports are on the loopback address"

    def _knows_that_kafka_is_well(self) -> str:
        kind, *test = self._stack.described.services["kafka"].raw["healthcheck"]["test"]
        self._check(kind == "CMD", f"kafka's health check is a {kind}")
        self._stack.inside("kafka", "test", "-e", "/tmp/answered")
        self._stack.inside("kafka", *test)
        return "Kafka's health check: by its tool at first, by a connection from then on"

    def _is_watched(self) -> str:
        config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
        configured = [static["targets"] for job in config["scrape_configs"] for static in job["static_configs"]]
        count = sum(map(len, configured))

        def up() -> bool:
            answer = self._stack.published("prometheus", 9090, "/api/v1/targets")
            return [target["health"] for target in answer["data"]["activeTargets"]] == ["up"] * count

        self._stack.wait(up, f"Prometheus to scrape {count} targets")
        known = self._stack.published("prometheus", 9090, "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
        self._check(len(known) == 1, f"Prometheus knows the alertmanagers {known}")
        groups = self._stack.published("prometheus", 9090, "/api/v1/rules")["data"]["groups"]
        broken = [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "err"]
        self._check(bool(groups) and not broken, f"of {len(groups)} groups of rules these are broken: {broken}")
        self._stack.published("alertmanager", 9093, "/api/v2/status")
        return f"Prometheus scrapes all {count} targets, evaluates the rules and knows Alertmanager"

    def _ends_when_it_is_asked_to(self) -> str:
        names = ", ".join(command for command, *_ in STOPPED_AT_ONCE)
        for command in STOPPED_AT_ONCE:
            container = self._begin(*command)
            self._check_stop(container, command)
            container = self._begin(*command, process_1=True)
            self._stack.wait(lambda name=container: self._hears(name), f"{command[0]} to hear SIGTERM")  # type: ignore[misc]
            self._check_stop(container, command)
        return f"{names} end on SIGTERM: in their first moment, and as process 1 without an init"

    def _stops_in_good_order(self) -> str:
        self._stack.compose("stop", "worker")
        state = self._stack.state("worker")
        self._check(state["ExitCode"] == 0 and state["Status"] == "exited", f"after a stop the worker is {state}")
        self._stack.compose("start", "worker")
        self._wait_for_worker(restarts=0)
        return "the worker stops with 0, and is healthy again once it is started"

    def _survives_a_kill(self) -> str:
        # All but the init, which ends with the signal that ended its child; the exec may be lost along with them.
        self._stack.attempt_inside("worker", "sh", "-c", "kill -9 -1")
        self._wait_for_worker(restarts=1)
        return "the worker's processes are killed: the engine starts it again, and it gets healthy"

    def _goes_on_with_its_volume(self) -> str:
        before = self._stack.containers()["worker"]
        self._stack.compose("up", "--detach", "--wait", "--no-deps", "--force-recreate", "worker")
        after = self._stack.containers()["worker"]
        self._check(before["Id"] != after["Id"], "the worker was not made anew")
        self._check(_volumes_of(before) == _volumes_of(after), f"the worker's volumes are now {_volumes_of(after)}")
        self._wait_for_worker(restarts=0)
        return "the worker is made anew, and healthy on the same volume"

    def _catches_up(self) -> str:
        def live() -> bool:
            answer = self._stack.published("prometheus", 9090, "/api/v1/query?query=max(c360_watermark_lag_seconds)")
            return any(float(series["value"][1]) < LIVE_SECONDS for series in answer["data"]["result"])

        self._stack.wait(live, "the worker to have processed the history")
        return "the history is processed, across all of these"

    def _answers(self) -> str:
        account = self._accounts_on_top()[0]
        verified = self._ends_well("verify", account)
        self._check("bit for bit" in verified, f"c360 verify {account}:\n{verified}")
        self._ends_well("doctor")
        self._scores = self._count_scores()
        return f"top shows accounts, verify {account} rebuilds its score bit for bit, doctor finds all in order"

    def _refuses_in_a_line(self) -> str:
        settings = ["C360_CLICKHOUSE_DSN_FILE=", f"C360_CLICKHOUSE_DSN=clickhouse://c360:{WRONG}@clickhouse:8123/c360"]
        refused = self._stack.command("models", settings=settings)
        text = refused.stdout + refused.stderr
        self._check(refused.returncode in {1, 2}, f"models, wrong password: {refused.returncode}\n{text}")
        self._check("password" in text.lower().replace(WRONG, "") and WRONG not in text, f"models says\n{text}")
        refused = self._stack.command("demo", "--out", "/tmp/demo")
        text = refused.stdout + refused.stderr
        self._check(refused.returncode == 2, f"demo: exit code {refused.returncode}\n{text}")
        self._check("needs the embedded database, which is not installed" in text, f"demo says\n{text}")
        return "models refuses a wrong password, and demo says that the image has no embedded database"

    def _stops_as_a_whole(self) -> str:
        self._stack.compose("stop", profile="demo")
        codes = {service: each["State"]["ExitCode"] for service, each in self._stack.containers().items()}
        wrong = {name: code for name, code in codes.items() if code not in ({0, STOPPED} if name in OTHERS else {0})}
        self._check(not wrong, f"exit codes after a stop: {wrong}")
        return "all stop in good order, none is killed"

    def _leaves_its_volumes(self) -> str:
        self._stack.compose("down", profile="demo")
        declared = {f"{PROJECT}_{name}" for name in self._stack.described.raw["volumes"] if name != "grafana-data"}
        left = self._stack.volumes() - self._volumes_before
        self._check(left == declared, f"after `down` there are the volumes {left}")
        return "down leaves the volumes that have names, and no others"

    def _comes_up_again(self) -> str:
        self._stack.compose("up", "--detach", "--wait")
        self._check_states({*OTHERS, "worker", "heartbeat", "setup"})
        scores = self._count_scores()
        self._check(scores >= self._scores > 0, f"there were {self._scores} scores, now {scores}")
        self._accounts_on_top()
        return "up --detach --wait without the demo, on the volumes that were left: scores are still there"

    def _leaves_nothing(self) -> str:
        self._stack.compose("down", "--volumes", profile="*")
        left = self._stack.volumes() - self._volumes_before
        self._check(not left, f"after `down --volumes` there are the volumes {left}")
        self._check(not self._stack.containers(), "after `down --volumes` there are containers")
        return "down --volumes leaves nothing"

    def _check(self, holds: bool, what: str) -> None:
        self._stack.check(holds, what)

    def _check_states(self, expected: set[str]) -> None:
        """Each service is there, runs or has ended well, is healthy where that is checked, and did not start twice."""
        containers = self._stack.containers()
        self._check(set(containers) == expected, f"there are {sorted(containers)}")
        for service, container in containers.items():
            state = container["State"]
            found = state["Status"], state["ExitCode"], state.get("Health", {}).get("Status"), container["RestartCount"]
            checked = "healthcheck" in self._stack.described.services[service].raw
            good = ("exited" if service in ONCE else "running", 0, "healthy" if checked else None, 0)
            self._check(found == good, f"{service}: {found}, not {good}")

    def _wait_for_worker(self, *, restarts: int) -> None:
        def well() -> bool:
            container = self._stack.containers()["worker"]
            state = container["State"]
            found = container["RestartCount"], state["Status"], state["Health"]["Status"]
            return found == (restarts, "running", "healthy")

        self._stack.wait(well, f"the worker to be healthy after {restarts} restarts by the engine")

    def _accounts_on_top(self) -> list[str]:
        """Accounts that `c360 top` shows, the riskiest first; asked again if it shows none: it reads for seconds."""
        accounts: list[str] = []

        def shown() -> bool:
            accounts[:] = re.findall(r"acc-\d+", self._ends_well("top"))
            return bool(accounts)

        self._stack.wait(shown, "c360 top to show accounts")
        return accounts

    def _ends_well(self, *command: str) -> str:
        """Run a command of `c360`; what it printed."""
        done = self._stack.command(*command)
        self._check(done.returncode == 0, f"c360 {' '.join(command)}: exit code {done.returncode}\n{last_lines(done)}")
        return done.stdout

    def _begin(self, *command: str, process_1: bool = False) -> str:
        """Start a command in a container of its own; its name."""
        files = [WITHOUT_INIT] if process_1 else []
        return self._stack.compose("run", "--detach", "--no-deps", "worker", *command, files=files).strip()

    def _hears(self, container: str) -> bool:
        """Whether process 1 of a container has a handler for SIGTERM; also if it has ended meanwhile."""
        done = self._stack.engine.execute(["docker", "exec", container, "cat", "/proc/1/status"])
        return done.returncode != 0 or any(int(value, 16) & SIGTERM_BIT for value in _values(done.stdout, "SigCgt"))

    def _check_stop(self, container: str, command: tuple[str, ...]) -> None:
        """It ends by itself, not by SIGKILL when time is up; 0: by a handler of its own, or it was done before."""
        docker(self._stack.engine, "stop", container)
        code = int(docker(self._stack.engine, "inspect", "--format", "{{.State.ExitCode}}", container))
        if code not in {0, STOPPED}:
            last = last_lines(self._stack.engine.execute(["docker", "logs", container]))
            raise self._stack.failure(f"c360 {' '.join(command)} was stopped: exit code {code}\n{last}")
        docker(self._stack.engine, "rm", "--volumes", container)

    def _count_scores(self) -> int:
        query = "SELECT count() FROM c360.risk_scores FINAL"
        login = 'CLICKHOUSE_USER=c360 CLICKHOUSE_PASSWORD="$(cat /run/secrets/clickhouse_password)"'
        return int(self._stack.inside("clickhouse", "sh", "-c", f'{login} clickhouse-client --query "{query}"'))


def _values(status: str, name: str) -> list[str]:
    """Values of a line in /proc/N/status, of each process."""
    return re.findall(rf"(?m)^{name}:\s*(.*)$", status)


def _volumes_of(container: dict[str, Any]) -> set[str]:
    return {mount["Name"] for mount in container["Mounts"] if mount["Type"] == "volume"}
