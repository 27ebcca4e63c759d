"""The pre-commit hooks are the checks of `make lint`, so that a commit that passes them passes there too."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def lint_commands() -> list[str]:
    """Lines of the target `lint`, with its variables filled in."""
    text = (ROOT / "Makefile").read_text()
    variables = dict(re.findall(r"(?m)^(\w+) := (.*)$", text))
    (recipe,) = re.findall(r"(?m)^lint:.*\n((?:\t.*\n)+)", text)
    for _ in range(2):  # MARKDOWN is made of BIN
        recipe = re.sub(r"\$\((\w+)\)", lambda name: variables[name[1]], recipe)
    return [line.strip() for line in recipe.splitlines()]


def test_the_hooks_are_the_checks_of_make_lint() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    hooks = repository["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    # make lists the Markdown files itself; pre-commit gives the hook those that the commit changes.
    listed = [command.rpartition("xargs -0 ")[2] for command in lint_commands()]
    assert [hook["entry"] for hook in hooks] == listed
