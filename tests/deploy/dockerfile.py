"""The Dockerfile's builder stage without a container engine: its COPY and RUN steps in a directory of its own."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.compose import ROOT

STEP_SECONDS_MAX = 600
# Folders of the image's file system that the builder uses.
PLACES = ("/opt", "/src")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined."""

    name: str
    text: str


def stages(path: Path = ROOT / "Dockerfile") -> list[list[Instruction]]:
    """Instructions of each stage, FROM first."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    found: list[list[Instruction]] = []
    for joined in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, text = joined.partition(" ")
        if name == "FROM":
            found.append([])
        if name:
            found[-1].append(Instruction(name, re.sub(r"\s+", " ", text).strip()))
    return found


def context(ignore_file: Path = ROOT / ".dockerignore") -> list[str]:
    """Files, relative to the repository, that the build gets to see; patterns without `?` and `[` only."""
    rules = [line for line in ignore_file.read_text().splitlines() if line and not line.startswith("#")]
    return [path for path in sorted(_tracked()) if not _ignored(path, rules)]


def _tracked() -> Iterator[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    yield from (path for path in done.stdout.split("\0") if path and (ROOT / path).is_file())


def _ignored(path: str, rules: list[str]) -> bool:
    """The last rule that fits the file or a folder that it is in decides."""
    places = [path, *(str(parent) for parent in Path(path).parents)]
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        names = [Path(place).name for place in places] if "**/" in rule else places
        if any(fnmatch.fnmatchcase(name, pattern) for name in names):
            ignored = not rule.startswith("!")
    return ignored


def build(home: Path) -> Path:
    """Run the builder stage with its file system in `home`; returns the environment that the image gets.

    Python is this machine's, of the same minor release; downloads what is locked.

    Raises
    ------
    AssertionError
        If a step fails; with its output.
    """
    files = context()
    python = home / "base"
    _run([sys.executable, "-m", "venv", str(python)], home)
    for place in PLACES:
        (home / place[1:]).mkdir()
    for instruction in stages()[0]:
        if instruction.name == "COPY":
            *sources, target = instruction.text.split()
            _copy(files, sources, home / target[1:], folder=target.endswith("/"))
        elif instruction.name == "RUN":
            path = f"{python}/bin:/usr/local/bin:/usr/bin:/bin"
            _run(["sh", "-c", f"export PATH={path}; {_moved(instruction.text, home)}"], home)
    return home / "opt" / "c360"


def _moved(command: str, home: Path) -> str:
    # The cache would bloat a layer; here it spares a download.
    return re.sub(rf"(?<![\w.])({'|'.join(PLACES)})(?=[/ ]|$)", rf"{home}\1", command.replace("--no-cache-dir ", ""))


def _copy(files: list[str], sources: list[str], target: Path, *, folder: bool) -> None:
    for source in sources:
        within = [path for path in files if path == source or path.startswith(f"{source}/")]
        assert within, f"COPY {source}: not in the build context"
        for path in within:
            rest = Path(path).relative_to(source)
            place = target / Path(path).name if folder else target / rest
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, place)


def _run(command: list[str], home: Path) -> None:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"} | _package_index()
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=STEP_SECONDS_MAX
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def _package_index() -> dict[str, str]:
    """What leads pip to its packages on this machine."""
    names = ("HOME", "PIP_", "SSL_", "REQUESTS_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: value for name, value in os.environ.items() if name.upper().startswith(names)}
