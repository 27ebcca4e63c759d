"""Pods of a rendered workload as processes of this machine: what the kubelet does, without containers.

Commands, variables, secrets and volumes are the manifests'. What a pod has of its own stands in for: an address of the
loopback network for its name and its interfaces, directories for its volumes.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.deploy import manifests
from tests.deploy.manifests import Manifest
from tests.reference.flow_run import DEADLINE_SECONDS

BACK_OFF_SECONDS = 0.5
BACK_OFF_SECONDS_MAX = 15.0
"""The kubelet's are 10 and 300."""
POLL_SECONDS = 0.05
METRICS_PORT, PEERS_PORT = 8361, 9300
ESTABLISHED = "01"  # in /proc/net/tcp


def addresses(number: int) -> str:
    """Of pod `number`; other test processes have others."""
    return f"127.{1 + os.getpid() // 256 % 250}.{os.getpid() % 256}.{number + 1}"


@dataclass
class _Container:
    process: subprocess.Popen[bytes]
    back_off_seconds: float = BACK_OFF_SECONDS
    start_at: float | None = None
    """When it starts again, of one that has ended."""


class Pods:
    """Pods of the workers, with one recovery volume for all of them.

    Parameters
    ----------
    rendered
        What is applied. A context manager: leaves nothing of the pods.
    home
        Directory for volumes and output; others may use the same one, one after the other.
    """

    def __init__(self, rendered: list[Manifest], home: Path) -> None:
        self._rendered = rendered
        self._home = home
        self._workload = manifests.find(rendered, "StatefulSet", "c360-worker")
        self._spec = self._workload["spec"]["template"]["spec"]
        self._containers: dict[int, _Container] = {}
        self.restarts = 0
        self.numbers = range(self._workload["spec"]["replicas"])
        self._secrets = home / "secrets"
        shutil.rmtree(self._secrets, ignore_errors=True)
        self._secrets.mkdir()
        for path, content in manifests.secret_files(rendered, self._workload).items():
            (self._secrets / Path(path).name).write_bytes(content)
        (home / "volume").mkdir(exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing of them."""
        for container in self._containers.values():
            with suppress(ProcessLookupError):
                os.killpg(container.process.pid, signal.SIGKILL)
            container.process.wait()

    def setup(self) -> None:
        """Run the first container of all pods at the same time, as they are started at the same time."""
        (container,) = self._spec["initContainers"]
        processes = [self._start(container, number) for number in self.numbers]
        assert [process.wait(DEADLINE_SECONDS) for process in processes] == [0] * len(processes), self.output()

    def start(self, *numbers: int) -> None:
        """Start the workers of some pods."""
        (container,) = self._spec["containers"]
        for number in numbers:
            self._containers[number] = _Container(self._start(container, number))

    def execute(self, number: int, *command: str) -> int:
        """Run another command beside a worker, as `kubectl exec` does; give its exit code."""
        (container,) = self._spec["containers"]
        return self._start({**container, "command": list(command)}, number).wait(DEADLINE_SECONDS)

    def kill(self, number: int) -> None:
        """End a pod's processes as the kernel does when memory runs out."""
        with suppress(ProcessLookupError):
            os.killpg(self._containers[number].process.pid, signal.SIGKILL)

    def delete(self, *numbers: int) -> list[int]:
        """Ask pods to stop, at the same time, as `kubectl delete pod` does; give the exit codes.

        Raises
        ------
        subprocess.TimeoutExpired
            If one takes longer than its grace.
        """
        ended = [self._containers.pop(number).process for number in numbers]
        for process in ended:
            process.terminate()
        return [process.wait(self._spec["terminationGracePeriodSeconds"]) for process in ended]

    def supervise(self, until: Callable[[], bool], what: str) -> None:
        """Start what ends again, each time a bit later, as the kubelet does, until something holds."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not until():
            assert time.monotonic() < deadline, f"not {what}: {self.output()[-3000:]}"
            for number, container in self._containers.items():
                self._look(number, container)
            time.sleep(POLL_SECONDS)

    def all_ready(self) -> bool:
        """Whether the readiness probe of every pod succeeds."""
        return all(self._probe("readinessProbe", number) for number in self.numbers)

    def any_unready(self) -> bool:
        """Whether that of some pod fails."""
        return not self.all_ready()

    def all_alive(self) -> bool:
        """Whether the liveness probe of every pod succeeds."""
        return all(self._probe("livenessProbe", number) for number in self.numbers)

    def any_connected_to_first(self) -> bool:
        """Whether another process of the cluster has reached that of pod 0."""
        place = socket.inet_aton(addresses(0))[::-1].hex().upper() + f":{PEERS_PORT:04X}"
        table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return any((local, state) == (place, ESTABLISHED) for _, local, _, state, *_ in table)

    def output(self) -> str:
        """What they have printed."""
        return (self._home / "output.txt").read_text()

    def _look(self, number: int, container: _Container) -> None:
        if container.process.poll() is None:
            return
        if container.start_at is None:
            container.start_at = time.monotonic() + container.back_off_seconds
        elif container.start_at <= time.monotonic():
            (manifest,) = self._spec["containers"]
            container.process, container.start_at = self._start(manifest, number), None
            container.back_off_seconds = min(2 * container.back_off_seconds, BACK_OFF_SECONDS_MAX)
            self.restarts += 1

    def _start(self, container: dict[str, Any], number: int) -> subprocess.Popen[bytes]:
        what = manifests.started(self._rendered, self._workload, container, number)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("C360_")}
        environment = {name: self._here(value) for name, value in what.environment.items()}
        environment["C360_METRICS_ADDRESS"] = environment["C360_METRICS_ADDRESS"].replace("0.0.0.0", addresses(number))
        program, *arguments = (self._here(word) for word in what.command)
        assert program == "c360"
        with (self._home / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "c360_stream", *arguments],
                env={**inherited, **environment},
                cwd=self._home,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _here(self, text: str) -> str:
        """A value of the manifests with this machine's places in it."""
        service = self._workload["spec"]["serviceName"]
        for number in self.numbers:
            name = f"{self._workload['metadata']['name']}-{number}.{service}.{manifests.NAMESPACE}.svc.cluster.local"
            text = text.replace(name, addresses(number))
        return text.replace(manifests.SECRETS_MOUNT, str(self._secrets)).replace(
            "/var/lib/c360", str(self._home / "volume")
        )

    def _probe(self, name: str, number: int) -> bool:
        (container,) = self._spec["containers"]
        probe = container[name]
        connection = http.client.HTTPConnection(addresses(number), METRICS_PORT, timeout=probe["timeoutSeconds"])
        try:
            connection.request("GET", probe["httpGet"]["path"])
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()


def overlay(copy: Path, name: str, on: str, settings: Mapping[str, str], peers: Iterable[int] | None = None) -> Path:
    """Write an overlay of one's own into a copy of the manifests: other settings, and for a cluster its size."""
    lines = [
        "apiVersion: kustomize.config.k8s.io/v1beta1",
        "kind: Kustomization",
        "namespace: c360",
        f"resources: [../{on}]",
        "configMapGenerator:",
        "  - name: c360-settings",
        "    behavior: merge",
        "    literals:",
        *(f"      - {variable}={value}" for variable, value in settings.items()),
    ]
    if peers is not None:
        hosts = [f"c360-worker-{number}.c360-worker.{manifests.NAMESPACE}.svc.cluster.local:9300" for number in peers]
        lines += [
            f"replicas: [{{name: c360-worker, count: {len(hosts)}}}]",
            "patches:",
            "  - patch: |-",
            "      apiVersion: apps/v1",
            "      kind: StatefulSet",
            "      metadata: {name: c360-worker, namespace: c360}",
            "      spec: {template: {spec: {containers: [{name: worker, env: [",
            f"        {{name: WORKER_PEERS, value: '{','.join(hosts)}'}}]}}]}}}}}}",
        ]
    directory = copy / "overlays" / name
    directory.mkdir()
    (directory / "kustomization.yaml").write_text("\n".join([*lines, ""]))
    return directory
