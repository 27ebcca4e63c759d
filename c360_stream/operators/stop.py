"""The wish to stop cleanly: every source then aborts, and nothing closes as if the input had ended."""

from __future__ import annotations

import threading

_stop = threading.Event()


def request_stop() -> None:
    """Ask every source of this process to stop."""
    _stop.set()


def stop_requested() -> bool:
    """Whether this process has been asked to stop."""
    return _stop.is_set()
