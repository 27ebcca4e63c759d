"""Paths and sections that documents and docstrings name are there."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"`([\w.-]+(?:/[\w.-]+)+/?)`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
SECTION_LINK = re.compile(r"\]\(([^)#:]*)#([^)]+)\)")


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


FILES = tracked()
TOP = {name.partition("/")[0] for name in FILES if "/" in name}


def missing(name: str, text: str) -> list[str]:
    """Paths that a file names and that are nowhere: seen from the root, the package or the file itself.

    Without an ending, or a folder at the root to begin with, words with a slash need not be a path. What
    `make secrets` writes is not in the repository.
    """
    places = (ROOT, ROOT / "c360_stream", (ROOT / name).parent)
    paths = [path for path in CODE.findall(text) if path.endswith(".py") or path.partition("/")[0] in TOP]
    paths += LINK.findall(text) if name.endswith(".md") else []
    absent = [path for path in paths if not any((at / path).exists() for at in places)]
    return [path for path in absent if not path.startswith("deploy/secrets/")]


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".md") and name != "CHANGELOG.md"])
def test_paths_in_documents_are_there(name: str) -> None:
    assert missing(name, (ROOT / name).read_text()) == []


def sections(text: str) -> set[str]:
    """The names that GitHub gives a document's sections in links."""
    titles = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```$", "", text))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".md")])
def test_sections_that_links_name_are_there(name: str) -> None:
    text = (ROOT / name).read_text()
    for path, section in SECTION_LINK.findall(text):
        assert section in sections((ROOT / name).parent.joinpath(path).read_text() if path else text), (path, section)


def test_sections_have_the_names_that_github_gives_them() -> None:
    text = "# A\n## The board: `c360 top`\n```sh\n# a comment\n```\n### Start, stop, exit codes\n"
    assert sections(text) == {"a", "the-board-c360-top", "start-stop-exit-codes"}


def test_paths_in_docstrings_are_there() -> None:
    names = [name for name in FILES if name.endswith(".py") and ROOT / name != Path(__file__)]
    found = {name: missing(name, (ROOT / name).read_text()) for name in names}
    assert {name: paths for name, paths in found.items() if paths} == {}


def test_a_path_that_is_not_there_is_found() -> None:
    text = "`features/nosuch.py`, `docs/nosuch.md` and [this](nosuch.md#part); `shard.py`, `and/or`, [that](README.md)"
    assert missing("README.md", text) == ["features/nosuch.py", "docs/nosuch.md", "nosuch.md"]


def test_the_rooms_are_listed_as_the_contracts_order_them() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [name for layer in contracts[0]["layers"] for name in layer.split(" | ")]
    listed = re.findall(r"(?m)^(\w+)(?:/|\.py) {2,}", (ROOT / "CONTRIBUTING.md").read_text())
    assert listed == layers
