"""What the documentation says to install is there to be had, and what goes onto a server is locked."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.compose import ROOT
from tests.deploy.dockerfile import stages
from tests.deploy.test_dockerfile import locked
from tests.deploy.units import PROGRAM

OURS = "c360-stream"
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = re.compile(rf"pip3? (?:\S+ )*?install [^\n]*{OURS}(?!_)")


def commands(text: str) -> list[str]:
    """Commands of pip, each from the program on."""
    return re.findall(r"(?m)\bpip (?:install|wheel) [^\n#`]+", text)


def test_nothing_installs_a_name_that_is_not_published() -> None:
    assert NAMED.search(f"pip install '{OURS}[evaluate]'")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix in {".md", ".py", ".toml", ".yaml", ".yml", ".txt", ".sh", ""}:
            assert NAMED.findall(path.read_text()) == [], name


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_command_of_the_documentation_installs_a_lock_a_file_or_what_is_locked(path: Path) -> None:
    published = locked("requirements.lock").keys()
    for command in commands(path.read_text()):
        words = command.split()[2:]
        if "-r" in words:
            assert (ROOT / words[words.index("-r") + 1]).is_file(), command
            assert "--require-hashes" in words, command
        elif "--no-index" not in words:
            assert set(words) <= published, command


def test_a_server_gets_what_the_image_gets() -> None:
    """The same locks by the same options, and the package built by the same builder."""
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text[text.index("## Install") : text.index("## systemd")]
    builder = " ".join(instruction.text for instruction in stages()[0])
    for lock in ("requirements-image.lock", "deploy/requirements-build.lock"):
        (command,) = (each for each in commands(section) if each.endswith(f" {lock}"))
        (options,) = re.findall(rf"install ((?:[-:]\S+ |all: )+)-r /src/{lock}", builder)
        assert set(options.split()) - set(command.split()) == {"--no-cache-dir", "--disable-pip-version-check"}
    assert f"python3.11 -m venv {Path(PROGRAM).parents[1]}\n" in section
