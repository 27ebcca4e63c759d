"""The watchdog thread of a run: ends a flow that stands still, and looks for partitions that nobody reads."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Protocol

from c360_stream import metrics
from c360_stream.connectors.factory import open_transport
from c360_stream.connectors.outages import Outages
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import C360Error
from c360_stream.logs.events import FLOW_WAITS, PARTITIONS_UNREAD
from c360_stream.logs.lines import log_failure
from c360_stream.operators.health import Health
from c360_stream.settings import Settings

LOOK_SECONDS = 1.0
PROBE_SECONDS = 5.0
SUSPENDED_SECONDS = 10.0
PARTITIONS_SECONDS = 60.0
INPUT_PARTITIONS_METRIC = "c360_input_partitions"


class Watch(Protocol):
    """Something to look at again and again."""

    def look(self) -> None:
        """Look once; called about every `LOOK_SECONDS`."""


class Watchdog:
    """Looks from a daemon thread until closed."""

    def __init__(self, *watches: Watch) -> None:
        self._watches = watches
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more. A look under way is left to its time limit: nobody waits for a broker here."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            for watch in self._watches:
                watch.look()


class ProgressWatch:
    """Ends a process of a cluster that stands still with the others, because one of them hangs.

    The engine waits for a peer without end: a process that is gone ends the others, one that hangs does not. An
    outage explains silence too, since another process may be the one that rides it out; so a broker and a server
    that do not answer are a heartbeat. A look that comes late means that this process itself was suspended.

    Parameters
    ----------
    stall_seconds_max
        Silence that ends the process.
    outage
        Which broker or server does not answer; empty if all do. May take a few seconds.
    end
        Ends the process with a message; does not return.
    health
        Has the heartbeats.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        stall_seconds_max: float,
        outage: Callable[[], str],
        end: Callable[[str], None],
        health: Health,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stall_seconds_max = stall_seconds_max
        self._outage = outage
        self._end = end
        self._health = health
        self._clock = clock
        self._looked_at = self._awake_since = self._probed_at = clock()
        self._logged = False

    def look(self) -> None:
        """Ask whether something is away once half the time is over, and end the process when all of it is."""
        now = self._clock()
        if now - self._looked_at > SUSPENDED_SECONDS:
            self._awake_since = now
        silent_seconds = min(self._health.silent_seconds(), now - self._awake_since)
        if silent_seconds + LOOK_SECONDS < now - self._probed_at:
            self._logged = False  # a heartbeat has come that was not the outage's own
        suspicious = self._logged or silent_seconds > self._stall_seconds_max / 2
        if silent_seconds > self._stall_seconds_max or (suspicious and now - self._probed_at >= PROBE_SECONDS):
            self._probe(silent_seconds)
        self._looked_at = self._clock()

    def _probe(self, silent_seconds: float) -> None:
        reason = self._outage()
        self._probed_at = self._clock()
        if reason:
            self._health.waiting(reason)
            if not self._logged:
                FLOW_WAITS.log(seconds=silent_seconds, reason=reason)
            self._logged = True
        elif silent_seconds > self._stall_seconds_max and self._health.silent_seconds() > self._stall_seconds_max:
            self._end(f"no progress for {silent_seconds:.0f} s: a process of the cluster hangs")


class CollectorWatch:
    """Turns the collection of reference cycles on again once the flow has resumed.

    What is there by then stays: looking through it again and again cost a third of a tick's time.

    Parameters
    ----------
    health
        Whether the flow moves.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._done = False

    def look(self) -> None:
        """Look whether a batch has gone through."""
        if not self._done and not self._health.unready_reason():
            gc.freeze()
            gc.set_threshold(50_000, 20, 100)
            gc.enable()
            self._done = True


class PartitionWatch:
    """Warns once if an input topic has more partitions than this run reads: it reads those of its start.

    `c360_input_partitions_found` shows it for as long as it lasts.

    Parameters
    ----------
    counts
        Number of partitions of every input topic; may raise `C360Error`.
    clock
        Monotonic seconds.
    """

    def __init__(self, counts: Callable[[], Mapping[str, int]], clock: Callable[[], float] = time.monotonic) -> None:
        self._counts = counts
        self._clock = clock
        self._look_at = clock() + PARTITIONS_SECONDS
        self._logged = False

    def look(self) -> None:
        """Compare once a minute."""
        if self._clock() < self._look_at:
            return
        with suppress(C360Error):  # an outage: the flow logs it itself
            for topic, count in self._counts().items():
                metrics.INPUT_PARTITIONS_FOUND.labels(topic).set(count)
                read = partitions_read().get(topic, count)
                if count > read and not self._logged:
                    PARTITIONS_UNREAD.log(topic=topic, read=read, found=count)
                    self._logged = True
        self._look_at = self._clock() + PARTITIONS_SECONDS


def partitions_read() -> dict[str, int]:
    """Partitions of each input topic that this process knows of."""
    samples = (sample for family in metrics.REGISTRY.collect() for sample in family.samples)
    return {each.labels["topic"]: int(each.value) for each in samples if each.name == INPUT_PARTITIONS_METRIC}


def input_counts(settings: Settings, outages: Outages) -> dict[str, int]:
    """Number of partitions of every input topic now.

    Raises
    ------
    TransportError
        If no broker answers.
    """
    with closing(open_transport(settings, outages)) as transport:
        topics = [settings.input_topic(kind) for kind in INPUT_KINDS]
        return {topic: len(transport.partitions(topic)) for topic in topics}


def outage(settings: Settings, outages: Outages) -> str:
    """Which broker or server does not answer, and how; empty if all do. Asks with clients of its own."""
    try:
        if settings.uses_kafka:
            _ask_kafka(settings, outages)
        if not settings.embedded_tables:
            from c360_stream.connectors.clickhouse.connection import connect

            with closing(connect(settings.dsn, patience_seconds=0, outages=outages)) as tables:
                tables.schema_version()
    except C360Error as error:
        return error.what
    return ""


def _ask_kafka(settings: Settings, outages: Outages) -> None:
    from c360_stream.connectors.kafka.transport import KafkaTransport

    with closing(KafkaTransport(settings, start_seconds_max=PROBE_SECONDS, outages=outages)) as transport:
        transport.partitions(settings.risk_topic)


def end_process(message: str) -> None:
    """End this process with exit code 1, whatever its threads wait for."""
    what = f"{message}; look at the others, and run again to resume"
    with suppress(OSError, ValueError):
        if not log_failure(what, C360Error.exit_code):
            print(f"c360: error: {what}", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(C360Error.exit_code)
