"""Processes of a stack: their output in files, and none of them left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.integration.guard import guarded

POLL_SECONDS = 0.1
STOP_SECONDS_MAX = 15
TAIL_CHARACTERS = 4000


class StackError(Exception):
    """A part of the stack did not do what it must; the message ends with what its processes printed."""


class Process:
    """A process group with its output in a file.

    It is ended with this process too, whatever that dies of: see `guarded`.

    Parameters
    ----------
    name
        What it is called in messages; its output is in `NAME.out`.
    command
        Program and arguments.
    home
        Folder of the output.
    env
        Its whole environment; None: this process's.
    cwd
        Its working directory; None: `home`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        home: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.output = home / f"{name}.out"
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                guarded(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd or home,
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def tail(self) -> str:
        """The end of what it has printed."""
        return self.output.read_text(errors="replace")[-TAIL_CHARACTERS:]

    def wait(self, seconds_max: float) -> None:
        """Wait for its end.

        Raises
        ------
        StackError
            If it does not end in time or ends with anything but 0.
        """
        try:
            code = self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            raise StackError(f"{self.name} did not end within {seconds_max} s:\n{self.tail()}") from None
        if code:
            raise StackError(f"{self.name} ended with {code}:\n{self.tail()}")

    def end(self) -> int:
        """End it as a container is stopped: a signal to it alone, and after a time nothing of it is left.

        Returns
        -------
        Its exit code.
        """
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS_MAX)
        return self.kill()

    def kill(self) -> int:
        """End it and whatever it has started, at once; its exit code."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()


def wait_for(condition: Callable[[], bool], what: str, seconds_max: float, processes: Iterable[Process]) -> None:
    """Wait until something holds.

    Parameters
    ----------
    condition
        Asked again and again.
    what
        What is waited for, for the message.
    seconds_max
        How long at most.
    processes
        Those that must go on running meanwhile.

    Raises
    ------
    StackError
        If a process has ended or the time is up.
    """
    deadline = time.monotonic() + seconds_max
    watched = list(processes)
    while not condition():
        for process in watched:
            if process.exit_code is not None:
                raise StackError(f"{process.name} ended with {process.exit_code}:\n{process.tail()}")
        if time.monotonic() > deadline:
            tails = "\n".join(f"--- {process.name}\n{process.tail()}" for process in watched)
            raise StackError(f"waited {seconds_max} s in vain for {what}\n{tails}")
        time.sleep(POLL_SECONDS)
