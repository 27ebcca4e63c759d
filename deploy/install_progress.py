"""Runs pip and shows its progress: `python deploy/install_progress.py LOCK pip install ...`.

pip itself prints either nothing for minutes or two lines per package, and nothing while it unpacks, half of the time.
In a terminal one line is written over and over; elsewhere every tenth package has a line, and so have large downloads.
pip's stderr passes through; if it fails, so does this, with the end of its output.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

LARGE_MB = 20.0
EVERY = 10
POLL_SECONDS = 0.5
TAIL_LINES = 20
WIDTH = 70
_REQUIREMENT = re.compile(r"^[A-Za-z0-9][\w.-]*\s*==", re.MULTILINE)
_SIZE = re.compile(r"^\s*Downloading (?:\S*/)?([\w.]+)-\S* \((\d+(?:\.\d+)?) (MB|GB)\)")


class Progress:
    """Shows the progress of an installation.

    Parameters
    ----------
    total
        Packages to install.
    live
        Whether lines can be written over.
    show
        Takes a line.
    """

    def __init__(self, total: int, live: bool, show: Callable[[str], None]) -> None:
        self._total = total
        self._live = live
        self._show = show
        self._fetched = self._unpacked = 0
        self.unpacking = False

    def line(self, text: str) -> None:
        """Take a line of pip's output."""
        if text.startswith("Collecting "):
            self._fetched += 1
            if self._live or self._fetched % EVERY == 0:
                self._show(f"  fetched {self._fetched} of {self._total} packages")
        elif (found := _SIZE.match(text)) and (found[3] == "GB" or float(found[2]) >= LARGE_MB):
            self._show(f"  fetching {found[1]}, {float(found[2]):.0f} {found[3]}")
        elif text.startswith("Installing collected packages"):
            self.unpacking = True

    def unpacked(self, count: int) -> None:
        """Take how many packages are there."""
        step = 1 if self._live else EVERY
        if count // step > self._unpacked // step:
            self._show(f"  unpacked {count} of {self._total} packages")
        self._unpacked = count


def main(arguments: list[str]) -> int:
    """Run pip; its exit code."""
    lock, *command = arguments
    live = sys.stdout.isatty()
    progress = Progress(len(_REQUIREMENT.findall(Path(lock).read_text())), live, _over if live else _below)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    place = Path(sysconfig.get_path("purelib"))
    there = _packages(place)
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True) as pip:  # noqa: S603 - the Makefile's words
        reader = threading.Thread(target=_read, args=(pip, progress, tail))
        reader.start()
        while reader.is_alive():
            reader.join(POLL_SECONDS)
            if progress.unpacking:
                progress.unpacked(_packages(place) - there)
    if live:
        _over("")
        sys.stdout.write("\r")
    if pip.returncode:
        sys.stderr.writelines(tail)
    return pip.returncode


def _read(pip: subprocess.Popen[str], progress: Progress, tail: deque[str]) -> None:
    for text in pip.stdout or ():
        tail.append(text)
        progress.line(text)


def _packages(place: Path) -> int:
    """Installed packages: each has a directory of metadata, written last."""
    return sum(1 for _ in place.glob("*.dist-info/RECORD"))


def _over(text: str) -> None:
    sys.stdout.write(f"\r{text[:WIDTH]:<{WIDTH}}")
    sys.stdout.flush()


def _below(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
