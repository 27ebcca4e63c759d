"""What the steps, sinks, transports and watches of one run share in this process, its workers included."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from bytewax.inputs import AbortExecution

from c360_stream import metrics
from c360_stream.connectors.outages import Outages
from c360_stream.logs.summaries import DeadLetterSummary, SnapshotSummary
from c360_stream.operators.health import Health
from c360_stream.operators.in_flight_writes import SinkWrites
from c360_stream.operators.intake import IntakeWatch
from c360_stream.operators.late_share import LateCounts
from c360_stream.operators.shutdown import Shutdown, StopRequested
from c360_stream.state.outbox import UnfinishedOutboxes


class RunContext:
    """What a run shares, made once by what starts it.

    Parameters
    ----------
    health
        Health of the process. None: a new one.

    Attributes
    ----------
    health
        Whether the flow moves: sources beat it, the health server shows it.
    shutdown
        Whether the run is to end before its input does, and why.
    intake
        How long the input has not been looked at.
    writes
        Writes to sinks that are not acknowledged yet.
    late
        Events that each partition has had since the start, and how many of them were late.
    outages
        Brokers and servers that are away.
    outboxes
        What is to be published once the engine has returned.
    snapshots, dead_letters
        Their sums for the log.

    Examples
    --------
    >>> run = RunContext()
    >>> run.shutdown.request()
    >>> run.shutdown.requested, RunContext().shutdown.requested
    (True, False)
    """

    def __init__(self, health: Health | None = None) -> None:
        self.health = health or Health()
        self.shutdown = Shutdown(self.health)
        self.intake = IntakeWatch()
        self.writes = SinkWrites()
        self.late: dict[str, LateCounts] = {}
        self.outages = Outages()
        self.outboxes = UnfinishedOutboxes()
        self.snapshots = SnapshotSummary()
        self.dead_letters = DeadLetterSummary()

    def show(self) -> None:
        """Have the metrics, of which a process has one registry, show this run."""
        metrics.READY.set_function(lambda: float(not self.health.unready_reason()))
        metrics.INTAKE_PAUSE_MAX_SECONDS.set_function(self.intake.longest_seconds)

    def log_sums(self) -> None:
        """Log the sums that are due."""
        self.snapshots.log_if_due()
        self.dead_letters.log_if_due()


class OfRun(Protocol):
    """A step, source or sink, or a part of one."""

    @property
    def run(self) -> RunContext:
        """The run that it is of."""


S = TypeVar("S", bound=OfRun)
P = ParamSpec("P")
R = TypeVar("R")


def record_failure(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Record what a step's method raises: the engine turns it into a panic that has lost it."""

    @functools.wraps(method)
    def recorded(step: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(step, *args, **kwargs)
        except (StopIteration, AbortExecution, StopRequested):
            raise
        except Exception as error:
            step.run.shutdown.failed(error)
            raise

    return recorded
