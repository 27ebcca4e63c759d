"""The compose file as its services: what each runs, with which environment, and which files it sees where.

Read as compose reads it: anchors, merge keys, `${NAME:?message}` and `$$`. Nothing else of its interpolation is used.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
SECRETS_VARIABLE = "SECRETS_DIR"
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+):\?([^}]*)\})")
# The image's start-up takes these for itself.
_NOT_KAFKA_PROPERTIES = {"KAFKA_OPTS", "KAFKA_HEAP_OPTS", "KAFKA_JMX_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS"}


class MissingVariableError(Exception):
    """Compose would refuse to start, with this message."""


@dataclass(frozen=True)
class Service:
    """One service.

    Attributes
    ----------
    name
        Also its host name for the other services.
    raw
        All that the compose file says of it, merged and interpolated.
    command
        Arguments of the image's entry point.
    environment
        As in the container.
    files
        Path in the container to the file or folder on this machine: secrets and bind mounts.
    """

    name: str
    raw: Mapping[str, Any]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, Path]

    def here(self, text: str) -> str:
        """Text with every path of a mounted file replaced by that of this machine."""
        for place in sorted(self.files, key=len, reverse=True):
            text = text.replace(place, str(self.files[place]))
        return text

    def environment_here(self, **replaced: str) -> dict[str, str]:
        """The environment for a process on this machine; `replaced` overrules."""
        return {name: self.here(value) for name, value in self.environment.items()} | replaced


@dataclass(frozen=True)
class Compose:
    """The compose file."""

    raw: Mapping[str, Any]
    services: Mapping[str, Service]


def load(secrets: Path | None, path: Path = COMPOSE_FILE) -> Compose:
    """Read the compose file.

    Parameters
    ----------
    secrets
        Directory that `make secrets` has filled; None as if it had not been run.
    path
        The file.

    Raises
    ------
    MissingVariableError
        If a variable is not set that must be.
    """
    variables = {SECRETS_VARIABLE: str(secrets)} if secrets else {}
    raw = _interpolated(yaml.safe_load(path.read_text()), variables)
    secret_files = {name: Path(secret["file"]) for name, secret in raw["secrets"].items()}
    return Compose(raw, {name: _service(name, service, secret_files) for name, service in raw["services"].items()})


def make_secrets(directory: Path) -> Path:
    """Run what `make secrets` runs, for another place; returns the directory of the secrets."""
    directory.mkdir(parents=True, exist_ok=True)
    secrets = directory / "secrets"
    command = [sys.executable, str(ROOT / "deploy" / "make_secrets.py"), str(secrets)]
    subprocess.run([*command, "--env-file", str(directory / ".env")], check=True, capture_output=True, timeout=30)
    return secrets


def kafka_properties(environment: Mapping[str, str]) -> dict[str, str]:
    """The broker's configuration that the image makes of its environment.

    >>> kafka_properties({"KAFKA_NODE_ID": "1", "KAFKA_A__B___C": "x", "KAFKA_OPTS": "-Dx", "CLUSTER_ID": "c"})
    {'node.id': '1', 'a_b-c': 'x'}
    """
    names = [name for name in environment if name.startswith("KAFKA_") and name not in _NOT_KAFKA_PROPERTIES]
    dotted = {name: name.removeprefix("KAFKA_").lower().replace("_", ".") for name in names}
    return {key.replace("...", "-").replace("..", "_"): environment[name] for name, key in dotted.items()}


def _service(name: str, raw: Mapping[str, Any], secret_files: Mapping[str, Path]) -> Service:
    files: dict[str, Path] = {}
    for secret in raw.get("secrets", ()):
        source, target = (secret, secret) if isinstance(secret, str) else (secret["source"], secret["target"])
        files[target if target.startswith("/") else f"/run/secrets/{target}"] = secret_files[source]
    for volume in raw.get("volumes", ()):
        source, target = volume.split(":")[:2]
        if source.startswith("."):
            files[target] = (ROOT / source).resolve()
    environment = {key: str(value) for key, value in (raw.get("environment") or {}).items()}
    return Service(name, raw, tuple(map(str, raw.get("command", ()))), environment, files)


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolated(item, variables) for item in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        name, message = match.groups()
        if name is None:
            return "$"
        if not variables.get(name):
            raise MissingVariableError(f"required variable {name} is missing a value: {message}")
        return variables[name]

    return _VARIABLE.sub(replacement, value)
