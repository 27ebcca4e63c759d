"""The compose file's project as an engine runs it, under a name of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.containers.engine import CommandError, Engine, docker, last_lines
from tests.containers.images import PYTHON_IMAGE
from tests.deploy import compose
from tests.deploy.compose import COMPOSE_FILE, ROOT, Compose

PROJECT = "c360-containers"
HERE = Path(__file__).parent
STAND_INS = HERE / "stand-ins.yml"
WITHOUT_INIT = HERE / "process-1.yml"
LOG_LINES = 20
# Compose writes it before each line of a log, even without colours.
ERASE_LINE = "\x1b[2K"
WAIT_SECONDS_MAX = 240
POLL_SECONDS = 0.5


class ProofError(Exception):
    """Something is not as it must be; the message ends with what the engine shows of the project."""


class Stack:
    """The project.

    Parameters
    ----------
    engine
        Up, whenever a method is called.
    work
        For passwords, which are made anew; the engine has to see it at the same path.
    jars, requirements
        Folders for the stand-ins' images.
    """

    def __init__(self, engine: Engine, work: Path, *, jars: Path, requirements: Path) -> None:
        self.engine = engine
        home = work / "project"
        shutil.rmtree(home, ignore_errors=True)
        secrets = compose.make_secrets(home)
        self.described: Compose = compose.load(secrets)
        self._environment = home / ".env"
        self._variables = {"PROOF_JARS": str(jars), "PROOF_REQUIREMENTS": str(requirements)}
        self.bound_files(None)

    def bound_files(self, most: int | None) -> None:
        """Ask for as many open files as the compose file does, or for fewer where the engine allows fewer."""
        services = self.described.services
        wanted = {name: services[name].raw["ulimits"]["nofile"] for name in ("kafka", "clickhouse")}
        for name, count in wanted.items():
            self._variables[f"PROOF_{name.upper()}_FILES"] = str(min(count, most or count))
        lines = [line for line in self._environment.read_text().splitlines() if not line.startswith("PROOF_")]
        lines += [f"{name}={value}" for name, value in self._variables.items()]
        self._environment.write_text("\n".join([*lines, ""]))

    def files_max(self) -> int | None:
        """How many open files a container may have; None if as many as the compose file asks for."""
        most = max(self.described.services[name].raw["ulimits"]["nofile"] for name in ("kafka", "clickhouse"))
        start = ["docker", "run", "--rm", "--network", "none"]
        if not self.engine.execute([*start, "--ulimit", f"nofile={most}", PYTHON_IMAGE, "true"]).returncode:
            return None
        return int(docker(self.engine, *start[1:], PYTHON_IMAGE, "sh", "-c", "ulimit -Hn"))

    def attempt(
        self, *arguments: str, profile: str = "", files: Sequence[Path] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker compose`; whatever it ends with."""
        command = ["docker", "compose", "--ansi", "never", "--project-name", PROJECT]
        command += ["--project-directory", str(ROOT), "--env-file", str(self._environment)]
        for file in (COMPOSE_FILE, STAND_INS, *files):
            command += ["--file", str(file)]
        return self.engine.execute([*command, *(["--profile", profile] if profile else []), *arguments])

    def compose(self, *arguments: str, profile: str = "", files: Sequence[Path] = ()) -> str:
        """Run `docker compose`; its standard output.

        Raises
        ------
        ProofError
            If it does not end with 0.
        """
        done = self.attempt(*arguments, profile=profile, files=files)
        if done.returncode:
            raise self.failure(f"docker compose {' '.join(arguments)}: exit code {done.returncode}\n{last_lines(done)}")
        return done.stdout

    def command(self, *arguments: str, settings: Iterable[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run a `c360` command in a container of its own, as the workers are set up."""
        options = [word for setting in settings for word in ("--env", setting)]
        return self.attempt("run", "--rm", "--no-deps", "-T", *options, "worker", *arguments)

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine knows of the services' containers, by service; those that have ended, too."""
        found = self._containers("com.docker.compose.oneoff=False")
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def state(self, service: str) -> dict[str, Any]:
        """The state of a service's container: `Status`, `ExitCode`, `Health`."""
        state: dict[str, Any] = self.containers()[service]["State"]
        return state

    def attempt_inside(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container; whatever it ends with."""
        return self.engine.execute(["docker", "exec", f"{PROJECT}-{service}-1", *command])

    def inside(self, service: str, *command: str) -> str:
        """Run a command in a service's container; what it printed.

        Raises
        ------
        ProofError
            If it does not end with 0.
        """
        done = self.attempt_inside(service, *command)
        if done.returncode:
            raise self.failure(f"{service}: {' '.join(command)}: exit code {done.returncode}\n{last_lines(done)}")
        return done.stdout

    def published(self, service: str, port: int, path: str) -> Any:
        """Read JSON at a service's port, where it is published on the engine's machine.

        Raises
        ------
        ProofError
            If there is no answer.
        """
        address = self.compose("port", service, str(port)).strip()
        try:
            return json.loads(self.engine.read_url(f"http://{address}{path}"))
        except (OSError, CommandError) as error:
            raise self.failure(f"{service} does not answer at {address}: {error}") from error

    def volumes(self) -> set[str]:
        """Names of all volumes that the engine has: the project's and others'."""
        return set(docker(self.engine, "volume", "ls", "--quiet").split())

    def remove(self) -> None:
        """Take the project away with its volumes, whatever state it is in."""
        for each in self._containers("com.docker.compose.oneoff=True"):
            docker(self.engine, "rm", "--force", "--volumes", each["Id"])
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10", profile="*")

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds.

        Raises
        ------
        ProofError
            If it takes too long.
        """
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while not condition():
            if time.monotonic() > deadline:
                raise self.failure(f"waited {WAIT_SECONDS_MAX} s in vain for {what}")
            time.sleep(POLL_SECONDS)

    def check(self, holds: bool, what: str) -> None:
        """Go on if something holds.

        Raises
        ------
        ProofError
            If not.
        """
        if not holds:
            raise self.failure(what)

    def failure(self, what: str) -> ProofError:
        """An error that shows the project as it is now."""
        shown = self.attempt("ps", "--all", profile="*")
        logs = self.attempt("logs", "--tail", str(LOG_LINES), profile="*")
        text = f"{what}\n\n{shown.stdout}{shown.stderr}\n{logs.stdout}{logs.stderr}"
        return ProofError(text.replace(ERASE_LINE, ""))

    def _containers(self, label: str) -> list[dict[str, Any]]:
        filters = ["--filter", f"label=com.docker.compose.project={PROJECT}", "--filter", f"label={label}"]
        names = docker(self.engine, "ps", "--all", "--quiet", *filters).split()
        found: list[dict[str, Any]] = json.loads(docker(self.engine, "inspect", *names)) if names else []
        return found
