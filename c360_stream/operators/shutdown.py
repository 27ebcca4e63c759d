"""Why a run ends before its input does: somebody asked it to stop, or a step failed."""

from __future__ import annotations

import threading

from c360_stream.operators.health import Health


class StopRequested(Exception):  # noqa: N818 - no error: it ends a wait because the run was asked to stop
    """What a step was waiting for is given up: the run was asked to stop.

    The engine knows `AbortExecution` in sources alone. Anywhere else this ends the flow where it stands, like a
    crash: what the last snapshot does not vouch for is repeated at the next start.
    """


class Shutdown:
    """Whether a run is to end before its input does. Threads may ask and answer at the same time.

    Parameters
    ----------
    health
        Where waits are shown.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._requested = threading.Event()
        self._gave_up = threading.Event()
        self._failures: list[Exception] = []

    def request(self) -> None:
        """Ask every source of this process to stop cleanly: nothing closes as if the input had ended."""
        self._requested.set()

    @property
    def requested(self) -> bool:
        """Whether this process has been asked to stop."""
        return self._requested.is_set()

    def failed(self, error: Exception) -> None:
        """Record what a step has raised."""
        self._failures.append(error)

    @property
    def first_failure(self) -> Exception | None:
        """What made the run fail, if a step did."""
        return self._failures[0] if self._failures else None

    def waiting(self, reason: str) -> None:
        """Record that a step waits for a broker or a server; to be called at least once a second while it does.

        Parameters
        ----------
        reason
            What it waits for, in words: `/readyz` shows it.

        Raises
        ------
        StopRequested
            If the run was asked to stop, or another step has failed: the wait is over. Let it pass through to the
            engine.
        """
        self._health.waiting(reason)
        if self.requested:
            self._gave_up.set()
        if self.requested or self._failures:
            raise StopRequested(reason)

    @property
    def gave_up_waiting(self) -> bool:
        """Whether a stop ended a wait, so that the engine's failure that follows is none."""
        return self._gave_up.is_set()
