"""The machine that figures were measured on, and what of it this process took."""

from __future__ import annotations

import os
import platform
import resource
import sys
from functools import cache
from pathlib import Path


@cache
def machine() -> dict[str, str | int | None]:
    """What the figures depend on besides the program."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {
        "cpu": next(models, platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def peak_resident_bytes() -> int:
    """Most memory that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
