"""How a step is tried again that a broker may fail: for how long, and what is said meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from c360_stream.connectors.kafka.connection import MEND, Connection
from c360_stream.connectors.kafka.error_codes import OUTAGE
from c360_stream.connectors.ports import Waiting
from c360_stream.errors import TransportError

WAIT_SECONDS = 0.5
"""The longest call into a client, so that signals are heard and heartbeats go on."""
_SAY_EVERY_SECONDS = 0.2
_PAUSE_SECONDS = 0.1

Answer = TypeVar("Answer")


class Patience:
    """Waiting for a broker, within a bound on the time without progress.

    Parameters
    ----------
    connection
        What the client in question heard.
    what
        What is waited for, in words.
    seconds_max
        The longest outage to ride out.
    waiting
        Called at every wait.
    """

    def __init__(self, connection: Connection, what: str, seconds_max: float, waiting: Waiting) -> None:
        self._connection = connection
        self._what = what
        self._seconds_max = seconds_max
        self._waiting = waiting
        self._most = 0
        self._until = time.monotonic() + seconds_max
        self._said_at = 0.0

    def progress(self, count: int) -> None:
        """Take how much is done. More than ever before is progress; the same again after a failure is not."""
        if count > self._most:
            self._most = count
            self._until = time.monotonic() + self._seconds_max

    def run(self, step: Callable[[], Answer], refusal: Callable[[KafkaError], Exception | None]) -> Answer:
        """Take a step, again and again while what it fails with may pass.

        Parameters
        ----------
        step
            Takes at most `WAIT_SECONDS` or so, and raises `KafkaException`.
        refusal
            What to raise for an error. None: it may pass.

        Raises
        ------
        TransportError
            As `wait`.
        """
        while True:
            try:
                return step()
            except KafkaException as error:
                cause: KafkaError = error.args[0]
                if (refused := refusal(cause)) is not None:
                    raise refused from error
                self.wait(cause)

    def wait(self, error: KafkaError | None = None) -> None:
        """Say that there is a wait, on account of `error`.

        Raises
        ------
        TransportError
            If there was no progress for too long, or there can be none.
        """
        self._connection.raise_refused()
        if error is not None:
            time.sleep(_PAUSE_SECONDS)  # what failed may fail at once again
        now = time.monotonic()
        if now < min(self._until, self._said_at + _SAY_EVERY_SECONDS):
            return
        self._said_at = now
        why = error.str() if error is not None else ""
        if (error is None or error.code() in OUTAGE) and self._connection.last:
            why = self._connection.last
        if self._connection.outage:
            self._connection.missed()
        if now >= self._until:
            waited = f"{self._what}: no progress for {self._seconds_max:g} s"
            raise TransportError(f"{self._connection.name}: {waited}{why and f'; last: {why}'}", MEND)
        self._waiting(f"{self._connection.name}: {self._what}{why and f': {why}'}")
