"""Why a run ends before its input does: somebody asked it to stop, or a step failed."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from bytewax.inputs import AbortExecution

P = ParamSpec("P")
R = TypeVar("R")

_stop = threading.Event()
_failures: list[Exception] = []


def request_stop() -> None:
    """Ask every source of this process to stop cleanly: nothing closes as if the input had ended."""
    _stop.set()


def stop_requested() -> bool:
    """Whether this process has been asked to stop."""
    return _stop.is_set()


def first_failure() -> Exception | None:
    """What made the run fail, if a step did."""
    return _failures[0] if _failures else None


def failing_loudly(method: Callable[P, R]) -> Callable[P, R]:
    """Note what a step's method raises: the engine turns it into a panic that has lost it."""

    @functools.wraps(method)
    def noted(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (StopIteration, AbortExecution):
            raise
        except Exception as error:
            _failures.append(error)
            raise

    return noted
