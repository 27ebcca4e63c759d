"""The retry of steps that a broker may fail."""

from __future__ import annotations

import time

from confluent_kafka import KafkaError, KafkaException

from c360_stream.connectors.kafka.connection import HINT, Connection
from c360_stream.connectors.kafka.error_codes import OUTAGE
from c360_stream.connectors.patience import Patience
from c360_stream.connectors.ports import Waiting
from c360_stream.errors import TransportError

WAIT_SECONDS = 0.5
"""The longest call into a client, so that signals are handled and heartbeats go on."""
PAUSE_SECONDS = 0.1
_REPORT_EVERY_SECONDS = 0.2


class KafkaPatience(Patience[KafkaException]):
    """Waits for a broker; a step takes at most `WAIT_SECONDS` or so.

    Parameters
    ----------
    connection
        The errors that the client reported.
    what
        The work that waits, in words.
    seconds_max, waiting
        As for `Patience`.
    """

    def __init__(self, connection: Connection, what: str, seconds_max: float, waiting: Waiting) -> None:
        super().__init__(
            KafkaException,
            seconds_max=seconds_max,
            waiting=waiting,
            pause_seconds=PAUSE_SECONDS,
            pause_seconds_max=PAUSE_SECONDS,
        )
        self._connection = connection
        self._what = what
        self._reported_at = 0.0

    def wait(self) -> None:
        """Report that a call has returned without an answer; call it as often as you like.

        Raises
        ------
        TransportError
            As `failed`.
        """
        left_seconds = self.left_seconds()
        now = time.monotonic()
        if left_seconds > 0 and now < self._reported_at + _REPORT_EVERY_SECONDS:
            return
        self._reported_at = now
        reason = self._observe(None)
        if left_seconds <= 0:
            raise self._exhausted(None)
        self._waiting(reason)

    def observe(self, error: KafkaException) -> str:
        """Log the outage, if there is one; return the work that waits and the reason."""
        return self._observe(error.args[0])

    def exhausted(self, error: KafkaException) -> TransportError:
        """The error that names the work, the bound and the last reason."""
        return self._exhausted(error.args[0])

    def _observe(self, error: KafkaError | None) -> str:
        self._connection.raise_refused()
        if self._connection.outage:
            self._connection.missed()
        why = self._why(error)
        return f"{self._connection.name}: {self._what}{why and f': {why}'}"

    def _exhausted(self, error: KafkaError | None) -> TransportError:
        why = self._why(error)
        waited = f"{self._what}: no progress for {self.seconds_max:g} s"
        return TransportError(f"{self._connection.name}: {waited}{why and f'; last: {why}'}", HINT)

    def _why(self, error: KafkaError | None) -> str:
        if self._connection.last and (error is None or error.code() in OUTAGE):
            return self._connection.last
        return error.str() if error is not None else ""
