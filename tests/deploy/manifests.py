"""The manifests as an API server gets them, and containers as the kubelet starts them."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.kubernetes_tools import RENDER_SECONDS_MAX, kustomize

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
NAMESPACE = "c360"
SECRETS_MOUNT = "/etc/c360/secrets"
POD_INDEX = "metadata.labels['apps.kubernetes.io/pod-index']"
SECRETS = {
    "clickhouse-dsn": "clickhouses://c360:example@clickhouse.clickhouse.svc:8443/c360",
    "kafka-sasl-password": "example",
    "kafka-ca.pem": "-----BEGIN CERTIFICATE-----",
}

Manifest = dict[str, Any]


def copy_of_manifests(folder: Path, secrets: Mapping[str, str] = SECRETS) -> Path:
    """All manifests, with secrets in the example overlay, which in the repository has none."""
    copy = folder / "kubernetes"
    shutil.copytree(KUBERNETES, copy, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
    place = copy / "overlays" / "example" / "secrets"
    place.mkdir()
    for name, content in secrets.items():
        (place / name).write_text(content)
    return copy


def render(directory: Path) -> list[Manifest]:
    """What `kustomize build` gives.

    Raises
    ------
    ToolUnavailableError
        If there can be no kustomize.
    """
    done = subprocess.run(
        [kustomize(), "build", directory], capture_output=True, text=True, timeout=RENDER_SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The one object of a kind and name."""
    (found,) = (each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """All objects of a kind."""
    return [each for each in manifests if each["kind"] == kind]


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    """What makes pods."""
    return [each for each in manifests if "template" in each.get("spec", {})]


def containers(workload: Manifest) -> Iterator[Manifest]:
    """Those that come first, too."""
    spec = workload["spec"]["template"]["spec"]
    yield from spec.get("initContainers", [])
    yield from spec["containers"]


@dataclass(frozen=True)
class Started:
    """A container as the kubelet would start it.

    Parameters
    ----------
    command
        With the values of the variables that it refers to.
    environment
        Of the manifest alone.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]


def started(manifests: list[Manifest], workload: Manifest, container: Manifest, number: int = 0) -> Started:
    """What the kubelet makes of a container in pod `number` of a workload."""
    environment: dict[str, str] = {}
    for source in container.get("envFrom", []):
        environment |= find(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container.get("env", []):
        if "value" in variable:
            environment[variable["name"]] = _expanded(variable["value"], environment)
        else:
            environment[variable["name"]] = _field(variable["valueFrom"]["fieldRef"]["fieldPath"], workload, number)
    command = [*container["command"], *container.get("args", [])]
    return Started(tuple(_expanded(word, environment) for word in command), environment)


def secret_names(workload: Manifest) -> list[str]:
    """Secrets that a workload's pods mount."""
    volumes = workload["spec"]["template"]["spec"]["volumes"]
    return [source["secret"]["name"] for each in volumes for source in each.get("projected", {}).get("sources", [])]


def secret_files(manifests: list[Manifest], workload: Manifest) -> dict[str, bytes]:
    """Path in a container -> content, of the secrets that a workload's pods mount."""
    return {
        f"{SECRETS_MOUNT}/{key}": base64.b64decode(content)
        for name in secret_names(workload)
        for key, content in find(manifests, "Secret", name)["data"].items()
    }


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    """`$(NAME)` replaced where the name is known by then; else it stays, as with the kubelet."""
    return re.sub(r"\$\((\w+)\)", lambda match: environment.get(match[1], match[0]), text)


def _field(path: str, workload: Manifest, number: int) -> str:
    known = {"metadata.namespace": NAMESPACE, "metadata.name": f"{workload['metadata']['name']}-{number}"}
    return {**known, POD_INDEX: str(number)}[path]
