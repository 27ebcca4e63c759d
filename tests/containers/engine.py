"""Container engines: what a proof asks of one, and the one that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol
from urllib.request import urlopen

COMMAND_SECONDS_MAX = 900
ANSWER_SECONDS_MAX = 10


class EngineUnavailableError(Exception):
    """There is no engine, and none can be made; one line that says what is needed."""


class CommandError(Exception):
    """A command of the engine's failed; the message ends with what it printed."""


class Engine(Protocol):
    """A Docker Engine with its Compose."""

    name: str

    def building(self) -> AbstractContextManager[None]:
        """Have it up with a way to package indexes, for builds."""

    def running(self) -> AbstractContextManager[None]:
        """Have it up with networks, for containers."""

    def execute(self, command: Sequence[str], *, input_file: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command that talks to the engine; whatever it ends with."""

    def read_url(self, url: str) -> str:
        """Read a page where the engine publishes ports; raises OSError or CommandError."""


def docker(engine: Engine, *arguments: str, input_file: Path | None = None) -> str:
    """Run `docker`; what it printed.

    Raises
    ------
    CommandError
        If it does not end with 0.
    """
    done = engine.execute(["docker", *arguments], input_file=input_file)
    if done.returncode:
        raise CommandError(f"docker {' '.join(arguments)} ended with {done.returncode}:\n{last_lines(done)}")
    return done.stdout


def last_lines(done: subprocess.CompletedProcess[str], count: int = 25) -> str:
    """The end of what a command printed, standard error last."""
    return "\n".join((done.stdout + done.stderr).splitlines()[-count:])


def call(
    command: Sequence[str], *, input_file: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and take its output.

    Raises
    ------
    CommandError
        If it takes too long.
    """
    with (input_file or Path(os.devnull)).open("rb") as given:
        try:
            return subprocess.run(
                command,
                stdin=given,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=COMMAND_SECONDS_MAX,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            raise CommandError(f"{' '.join(command)} took over {COMMAND_SECONDS_MAX} s") from None


class InstalledEngine:
    """The engine that `docker` on the PATH talks to. Others may use it: whatever is made here has names of its own."""

    name = "the engine that is installed"

    @staticmethod
    def answers() -> bool:
        """Whether there is one."""
        return shutil.which("docker") is not None and not call(["docker", "version"]).returncode

    def building(self) -> AbstractContextManager[None]:
        """It is up."""
        return nullcontext()

    def running(self) -> AbstractContextManager[None]:
        """It is up."""
        return nullcontext()

    def execute(self, command: Sequence[str], *, input_file: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command; builds are the engine's own, since other builders do not see its images."""
        return call(command, input_file=input_file, environment={**os.environ, "BUILDX_BUILDER": "default"})

    def read_url(self, url: str) -> str:
        """Read a page."""
        with urlopen(url, timeout=ANSWER_SECONDS_MAX) as answer:
            return str(answer.read(), "utf-8")
