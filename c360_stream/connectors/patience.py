"""The retry of every connector: how long a step that fails is repeated, how often, and what is reported meanwhile."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from c360_stream.connectors.ports import Waiting
from c360_stream.errors import TransportError

_SLEEP_SECONDS_MAX = 0.5

Answer = TypeVar("Answer")
Failure = TypeVar("Failure", bound=Exception)


class Patience(ABC, Generic[Failure]):
    """Repeats steps that a broker or server fails, within a bound on the time without progress.

    One object serves all steps of a piece of work. What differs between systems is in the abstract methods.

    Parameters
    ----------
    retried
        The exception that may pass.
    seconds_max
        The longest time to wait, from the first failure or the last progress on.
    waiting
        Called during every pause, at least twice a second.
    pause_seconds, pause_seconds_max
        The pause after a failure: each is twice the one before, up to the maximum.
    """

    def __init__(
        self,
        retried: type[Failure],
        *,
        seconds_max: float,
        waiting: Waiting,
        pause_seconds: float,
        pause_seconds_max: float,
    ) -> None:
        self.seconds_max = seconds_max
        self._retried = retried
        self._waiting = waiting
        self._pause_first_seconds = pause_seconds
        self._pause_seconds = pause_seconds
        self._pause_seconds_max = pause_seconds_max
        self._most = 0
        self._until: float | None = None

    def progress(self, count: int) -> None:
        """Take how much is done. More than ever before is progress; the same again after a failure is not."""
        if count > self._most:
            self._most = count
            self._until = None
            self._pause_seconds = self._pause_first_seconds

    def run(self, step: Callable[[], Answer], refusal: Callable[[Failure], Exception | None]) -> Answer:
        """Run a step, and repeat it while its failure may pass.

        Parameters
        ----------
        step
            Safe to repeat.
        refusal
            The exception to raise for a failure; None if it may pass.

        Raises
        ------
        TransportError
            As `failed`.
        """
        while True:
            try:
                return step()
            except self._retried as error:
                if (refused := refusal(error)) is not None:
                    raise refused from error
                self.failed(error)

    def failed(self, error: Failure) -> None:
        """Report a failure and pause: the next attempt may fail at once, too.

        Raises
        ------
        TransportError
            If there was no progress for too long, or no wait can help.
        """
        reason = self.observe(error)
        left_seconds = self.left_seconds()
        if left_seconds <= 0:
            raise self.exhausted(error) from error
        until = time.monotonic() + min(self._pause_seconds, left_seconds)
        self._pause_seconds = min(2 * self._pause_seconds, self._pause_seconds_max)
        while (pause_seconds := until - time.monotonic()) > 0:
            self._waiting(reason)
            time.sleep(min(pause_seconds, _SLEEP_SECONDS_MAX))

    def left_seconds(self) -> float:
        """The time that is left for progress; the first question starts it."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self.seconds_max
        return self._until - now

    @abstractmethod
    def observe(self, error: Failure) -> str:
        """Report an outage to the log and return the reason for the wait; raise what no wait can fix."""

    @abstractmethod
    def exhausted(self, error: Failure) -> TransportError:
        """The error to raise after too long a wait."""
