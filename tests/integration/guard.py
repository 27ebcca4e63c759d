"""Processes that do not outlive the test that started them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence


def guarded(command: Sequence[str]) -> list[str]:
    """A command that the kernel ends with the process that starts it, whatever that dies of; on Linux, by `setpriv`."""
    return [*(["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []), *command]
