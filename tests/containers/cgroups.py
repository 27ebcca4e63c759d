"""Cgroups for an engine that shares the machine's with no one."""

from __future__ import annotations

import os
import time
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
CONTROLLERS = "+cpuset +cpu +memory +pids"
REMOVE_SECONDS_MAX = 10
# Else the whole stack would get as much of the processors as one process beside it.
SHARE = 6


class Cgroups:
    """Cgroups of one name: one of each hierarchy (version 1), or one alone (version 2).

    Parameters
    ----------
    name
        Of the cgroups; nobody else's.
    """

    def __init__(self, name: str) -> None:
        self._folders = [parent / name for parent in _parents()]

    def make(self) -> list[Path]:
        """Make them; their folders."""
        for folder in self._folders:
            folder.mkdir(exist_ok=True)
            if (folder / "cgroup.controllers").exists():
                (MOUNT / "cgroup.subtree_control").write_text(CONTROLLERS)
                (folder / "cpu.weight").write_text(str(100 * SHARE))
            for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new one of version 1
                if "cpuset" in folder.parts and not (folder / name).read_text().strip():
                    (folder / name).write_text((folder.parent / name).read_text())
            if (folder / "cpu.shares").exists():
                (folder / "cpu.shares").write_text(str(1024 * SHARE))
        return self._folders

    def remove(self) -> None:
        """Remove them and those below them, once the kernel has seen their last process end.

        Raises
        ------
        OSError
            If processes go on in them.
        """
        deadline = time.monotonic() + REMOVE_SECONDS_MAX
        for folder in self._folders:
            while folder.exists():
                try:
                    for place, _, _ in os.walk(folder, topdown=False):
                        os.rmdir(place)
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)


def _parents() -> list[Path]:
    """Where this process is in each hierarchy that has controllers; the root, where that is the only one.

    Of version 2 only the root may have both processes and cgroups that controllers are handed to.
    """
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    found = [MOUNT / names / place.lstrip("/") for _, names, place in lines if names and not names.startswith("name=")]
    return [folder for folder in found if folder.is_dir()] or [MOUNT]
