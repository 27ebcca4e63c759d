"""The retry of calls that a database server may fail."""

from __future__ import annotations

from clickhouse_connect.driver.exceptions import Error as DriverError

from c360_stream.connectors.clickhouse.refusals import explained, is_transient, refusal
from c360_stream.connectors.outages import Outage
from c360_stream.connectors.patience import Patience
from c360_stream.connectors.ports import Waiting
from c360_stream.errors import TransportError

PAUSE_FIRST_SECONDS = 0.1
PAUSE_SECONDS_MAX = 5.0


class TablePatience(Patience[DriverError]):
    """Waits for a database server that is away, overloaded or full.

    Parameters
    ----------
    what
        The call, in words.
    place
        The database: its DSN without the password.
    outage, client
        The outages of the server, and the client that waits.
    seconds_max, waiting
        As for `Patience`; with 0 seconds the first failure is final.
    """

    def __init__(
        self, what: str, place: str, outage: Outage, client: object, *, seconds_max: float, waiting: Waiting
    ) -> None:
        super().__init__(
            DriverError,
            seconds_max=seconds_max,
            waiting=waiting,
            pause_seconds=PAUSE_FIRST_SECONDS,
            pause_seconds_max=PAUSE_SECONDS_MAX,
        )
        self._what = what
        self._place = place
        self._outage = outage
        self._client = client

    def refusal(self, error: DriverError) -> TransportError | None:
        """The error to raise for a failure that does not pass; None for one that may."""
        return None if is_transient(error) else refusal(f"{self._what} at {self._place}", error)

    def observe(self, error: DriverError) -> str:
        """Log the outage; return whether the server is away or refuses, and why."""
        if self.seconds_max > 0:
            again = f"trying again for up to {self.seconds_max:g} s"
            self._outage.seen(self._client, f"{refusal(self._what, error)}; {again}")
        verb = "is away" if error.code is None else "refuses for now"
        return f"{self._place} {verb}: {explained(error)[0]}"

    def exhausted(self, error: DriverError) -> TransportError:
        """The error that names the call, the reason and the bound."""
        refused = refusal(f"{self._what} at {self._place}", error)
        if self.seconds_max <= 0:
            return refused
        return TransportError(f"{refused.what} (tried for {self.seconds_max:g} s)", refused.hint)
