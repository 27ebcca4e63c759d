"""What the compose file says of a service, as far as a process without a container needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
COMPOSE_FILE = ROOT / "docker-compose.yml"


@dataclass(frozen=True)
class Service:
    """A service: what it runs, with what environment, and which files and folders of this repository it sees.

    Parameters
    ----------
    name
        Its name, a host name in the compose network.
    command
        Arguments of the image's entry point.
    environment
        As given.
    mounts
        Path in the container -> path in the repository.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    mounts: dict[str, Path]


def services(path: Path = COMPOSE_FILE) -> dict[str, Service]:
    """All services of a compose file, of every profile."""
    content = yaml.safe_load(path.read_text())
    return {
        name: Service(
            name,
            [str(word) for word in service.get("command", [])],
            {key: str(value) for key, value in service.get("environment", {}).items()},
            dict(_mounts(service.get("volumes", []), path.parent)),
        )
        for name, service in content["services"].items()
    }


def _mounts(volumes: list[str], folder: Path) -> list[tuple[str, Path]]:
    split = [volume.split(":") for volume in volumes]
    return [(parts[1], (folder / parts[0]).resolve()) for parts in split if parts[0].startswith(".")]
