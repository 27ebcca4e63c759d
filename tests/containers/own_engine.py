"""An engine made of Debian's packages in a folder, which runs in namespaces of its own: see engine.sh."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.containers.cgroups import Cgroups
from tests.containers.engine import (
    ANSWER_SECONDS_MAX,
    CommandError,
    EngineUnavailableError,
    call,
    last_lines,
)

SUITE = "trixie"
"""Debian 13: Docker Engine 26.1 and Compose 2.26. Debian 12's engine knows no start intervals of health checks."""
PACKAGES = (
    *("docker.io", "docker-cli", "docker-compose", "docker-buildx"),
    *("iptables", "nftables", "iproute2", "ca-certificates", "curl", "procps"),
)
MIRROR = "http://deb.debian.org/debian"
SCRIPT = Path(__file__).with_name("engine.sh")
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60


class OwnEngine:
    """An engine in a work folder; nothing is installed on the machine, and nothing else sees it.

    Parameters
    ----------
    work
        Where the engine, its images and its volumes are kept.
    repository
        Seen by the engine at the same path.

    Raises
    ------
    EngineUnavailableError
        If this machine cannot make one.
    """

    name = f"an engine of its own, from packages of Debian's {SUITE}"

    def __init__(self, work: Path, repository: Path) -> None:
        if os.geteuid():
            raise EngineUnavailableError("start an engine that `docker` talks to; to make one here takes root")
        if missing := [
            program for program in ("mmdebstrap", "unshare", "nsenter", "setpriv", "ip") if not shutil.which(program)
        ]:
            raise EngineUnavailableError(
                f"start an engine that `docker` talks to; to make one here takes {', '.join(missing)}: on Debian 12 or "
                "later `apt-get install mmdebstrap util-linux iproute2`"
            )
        self._root = work / "engine"
        self._work = work
        self._repository = repository
        self._log = work / "dockerd.log"
        self._cgroups = Cgroups("c360-containers-" + hashlib.sha256(str(work).encode()).hexdigest()[:8])
        self._init = 0

    @contextmanager
    def building(self) -> Iterator[None]:
        """Have it up in the machine's network."""
        with self._up("machine"):
            yield

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have it up in a network of its own, which has no way out."""
        with self._up("own"):
            yield

    def execute(self, command: Sequence[str], *, input_file: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in the engine's namespaces."""
        place = ["nsenter", "--target", str(self._init)]
        place += ["--mount", "--cgroup", "--ipc", "--uts", "--pid", "--net", "--wd=/"]
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return call([*place, "env", "-i", "HOME=/root", f"PATH={path}", *command], input_file=input_file)

    def read_url(self, url: str) -> str:
        """Read a page in the engine's network."""
        done = self.execute(["curl", "--silent", "--show-error", "--fail", "--max-time", str(ANSWER_SECONDS_MAX), url])
        if done.returncode:
            raise CommandError(f"{url}: {last_lines(done)}")
        return done.stdout

    @contextmanager
    def _up(self, network: str) -> Iterator[None]:
        if not self._root.is_dir():
            debian_system(SUITE, PACKAGES, self._root)
        init = self._work / "init.pid"
        init.unlink(missing_ok=True)
        # `unshare` heeds no SIGTERM; what it has started is killed with it.
        command = ["setpriv", "--pdeathsig", "KILL", "--", "bash", str(SCRIPT), "start", network]
        command += map(str, (self._root, self._work, self._repository, *self._make_cgroups()))
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers(process, init)
            yield
        finally:
            self._stop(process)
            self._cgroups.remove()

    def _make_cgroups(self) -> list[Path]:
        try:
            self._cgroups.remove()  # of a run that was killed
            return self._cgroups.make()
        except OSError as error:
            what = f"{error.filename}: {error.strerror}"
            raise EngineUnavailableError(f"{what}; an engine made here takes a root that may make cgroups") from error

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes], init: Path) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while process.poll() is None and time.monotonic() < deadline:
            if init.exists() and (number := init.read_text().strip()):
                self._init = int(number)
                if not self.execute(["docker", "version"]).returncode:
                    return
            time.sleep(0.2)
        lines = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
        raise CommandError(f"the engine did not come up (exit code {process.poll()}); the end of {self._log}:\n{lines}")

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """In good order, if it has come up; the kernel ends whatever is left in its namespaces."""
        if self._init:
            with suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS_MAX)
        self._init = 0
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def debian_system(suite: str, packages: Sequence[str], target: Path, *options: str) -> None:
    """Make a Debian system: a folder, or a file if the target's name says so.

    Raises
    ------
    CommandError
        If packages cannot be had.
    """
    unfinished = target.with_name(f"new-{target.name}")
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}", *options]
    done = call([*command, suite, str(unfinished), _mirror()])
    if done.returncode:
        raise CommandError(f"mmdebstrap could not make a Debian {suite}:\n{last_lines(done)}")
    unfinished.rename(target)


def _mirror() -> str:
    """The mirror that this machine's apt uses, security updates apart, which are another archive."""
    if shutil.which("apt-get"):
        done = call(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"])
        for uri in done.stdout.split():
            if "security" not in uri:
                return uri
    return MIRROR
