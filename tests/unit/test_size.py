"""No module and no function is longer than a reader can keep in mind."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("c360_stream", "flows", "deploy")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
# What is longer still. Take out what has become short: the test fails until you do.
STILL_LONG: dict[str, list[str]] = {}


def modules() -> list[Path]:
    patterns = [f"{folder}/*.py" for folder in FOLDERS]
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def too_long(source: str) -> list[str]:
    """What of a module is too long: itself, and functions and methods, from `def` to their last line."""
    lines = len(source.splitlines())
    found = [f"the module: {lines} lines"] if lines > MODULE_LINES_MAX else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            found += [f"{node.name}: {lines} lines"] if lines > FUNCTION_LINES_MAX else []
    return found


def test_modules_and_functions_are_short() -> None:
    paths = modules()
    assert {path.relative_to(ROOT).parts[0] for path in paths} == set(FOLDERS)
    found = {str(path.relative_to(ROOT)): too_long(path.read_text()) for path in paths}
    known = {name: [part.partition(":")[0] for part in parts] for name, parts in found.items() if parts}
    assert known == STILL_LONG, {name: found[name] for name in known}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("x = 1\n" * 400, []),
        ("x = 1\n" * 401, ["the module: 401 lines"]),
        ("class A:\n    @property\n    def of(self):\n" + "        x = 1\n" * 59, []),
        ("class A:\n    @property\n    def of(self):\n" + "        x = 1\n" * 60, ["of: 61 lines"]),
        ("async def wait():\n" + "    x = 1\n" * 60, ["wait: 61 lines"]),
    ],
)
def test_what_is_too_long_is_found(source: str, found: list[str]) -> None:
    assert too_long(source) == found
