"""The systemd units as systemd reads them: each with the drop-in that they have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.compose import ROOT

SYSTEMD = ROOT / "deploy" / "systemd"
PROGRAM = "/opt/c360/bin/c360"
CREDENTIALS = "%d"
"""In a unit: the directory of what `LoadCredential=` names."""


@dataclass(frozen=True)
class Unit:
    """One unit; its directives by name, in their order, each value as it is written."""

    name: str
    directives: Mapping[str, tuple[str, ...]]

    def one(self, directive: str) -> str:
        """The value of a directive that is there once."""
        (value,) = self.directives[directive]
        return value

    def commands(self) -> list[list[str]]:
        """Words of each command that it runs."""
        return [line.split() for line in self.directives["ExecStart"]]

    def credentials(self) -> dict[str, str]:
        """Names of its credentials, and the files that they are read from."""
        return dict(value.split(":", 1) for value in self.directives["LoadCredential"])

    def environment(self) -> dict[str, str]:
        """Variables that it sets beside those of its `EnvironmentFile=`."""
        return dict(value.split("=", 1) for value in self.directives["Environment"])


def units() -> list[Unit]:
    """All services."""
    return [_unit(path) for path in sorted(SYSTEMD.glob("*.service"))]


def unit(name: str) -> Unit:
    """One service."""
    return _unit(SYSTEMD / name)


def assignments(path: Path) -> list[tuple[str, str]]:
    """Names and values of a unit or of an environment file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith(("#", "["))]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def _unit(path: Path) -> Unit:
    found: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    drop_ins = sorted((path.parent / f"{path.name.partition('-')[0]}-.service.d").glob("*.conf"))
    for file in (path, *drop_ins):
        for name, value in assignments(file):
            found[name] += (value,)
    return Unit(path.name, found)
