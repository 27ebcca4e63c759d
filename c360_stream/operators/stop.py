"""Why a run ends before its input does: somebody asked it to stop, or a step failed."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from bytewax.inputs import AbortExecution

from c360_stream.operators.health import HEALTH

P = ParamSpec("P")
R = TypeVar("R")

_stop = threading.Event()
_given_up = threading.Event()
_failures: list[Exception] = []


class StopRequested(Exception):  # noqa: N818 - no error: it ends a wait because the run was asked to stop
    """What a step was waiting for is given up: the run was asked to stop.

    The engine knows `AbortExecution` in sources alone. Anywhere else this ends the flow where it stands, like a
    crash: what the last snapshot does not vouch for is repeated at the next start.
    """


def request_stop() -> None:
    """Ask every source of this process to stop cleanly: nothing closes as if the input had ended."""
    _stop.set()


def stop_requested() -> bool:
    """Whether this process has been asked to stop."""
    return _stop.is_set()


def waiting(reason: str) -> None:
    """Say that a step waits for a broker or a server; to be called at least once a second while it does.

    Parameters
    ----------
    reason
        What it waits for, in words: `/readyz` shows it.

    Raises
    ------
    StopRequested
        If the run was asked to stop, or another step has failed: the wait is over. Let it pass through to the engine.
    """
    HEALTH.waiting(reason)
    if _stop.is_set():
        _given_up.set()
    if _stop.is_set() or _failures:
        raise StopRequested(reason)


def gave_up_waiting() -> bool:
    """Whether a stop ended a wait, so that the engine's failure that follows is none."""
    return _given_up.is_set()


def first_failure() -> Exception | None:
    """What made the run fail, if a step did."""
    return _failures[0] if _failures else None


def failing_loudly(method: Callable[P, R]) -> Callable[P, R]:
    """Note what a step's method raises: the engine turns it into a panic that has lost it."""

    @functools.wraps(method)
    def noted(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except (StopIteration, AbortExecution, StopRequested):
            raise
        except Exception as error:
            _failures.append(error)
            raise

    return noted
