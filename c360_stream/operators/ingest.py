"""The source: all partitions of the input topics."""

from __future__ import annotations

import math
import threading
from typing import Any, get_args

from bytewax.inputs import FixedPartitionedSource

from c360_stream import metrics
from c360_stream.connectors.ports import Transport
from c360_stream.contracts.events.decoding import RefusalStage
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import ConfigurationError
from c360_stream.features.encoding import KnownAccounts
from c360_stream.logs.events import PARTITION_OPENED
from c360_stream.operators.alignment import ReadAlignment
from c360_stream.operators.ingest_partition import IngestPartition, Item
from c360_stream.operators.rest import Rest
from c360_stream.operators.run_context import RunContext, record_failure
from c360_stream.operators.shared_intake import DEAD_LETTER_BYTES_MAX, HeldDeadLetters, SharedIntake
from c360_stream.settings import Settings


def partition_name(topic: str, partition: int) -> str:
    """Name of a source partition, in the recovery store and in marks."""
    return f"{topic}/{partition}"


def input_partitions(settings: Settings, transport: Transport) -> tuple[str, ...]:
    """Names of all source partitions, ascending.

    Raises
    ------
    ConfigurationError
        If Kafka lacks one of the topics. A log directory need not have all.
    """
    found = []
    for topic in [settings.input_topic(kind) for kind in INPUT_KINDS]:
        numbers = transport.partitions(topic)
        if settings.uses_kafka and not numbers:
            raise ConfigurationError(f"Kafka at {settings.kafka_brokers} has no topic {topic}", "create it: c360 setup")
        metrics.INPUT_PARTITIONS.labels(topic).set(len(numbers))
        begin_topic(topic)
        found += [partition_name(topic, number) for number in numbers]
    return tuple(sorted(found))


def begin_topic(topic: str) -> None:
    """Begin the counters of an input topic at 0: one that begins at its first count has no rise before."""
    metrics.EVENTS_READ.labels(topic)
    metrics.EVENTS_ACCEPTED.labels(topic)
    metrics.HEARTBEATS_READ.labels(topic)
    for stage in get_args(RefusalStage):
        metrics.DEAD_LETTERS.labels(topic, stage)


class IngestSource(FixedPartitionedSource[Item, tuple[Any, ...]]):
    """All partitions of the three input topics.

    Parameters
    ----------
    settings
        Settings.
    transport
        Where the topics are.
    partitions
        Names of all partitions, as `input_partitions` gives them.
    alignment
        Shared by the partitions of this process.
    run
        What its steps share.
    recovering
        Whether there is a recovery store, for whose snapshots dead letters wait.
    rest
        Where the partitions of this process wait.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        partitions: tuple[str, ...],
        alignment: ReadAlignment,
        *,
        run: RunContext,
        recovering: bool = False,
        rest: Rest | None = None,
    ) -> None:
        self.run = run
        self.settings = settings
        self.transport = transport
        self.partitions = partitions
        self._accounts = threading.local()
        held = HeldDeadLetters(DEAD_LETTER_BYTES_MAX if recovering else math.inf)
        self._shared = SharedIntake(alignment, run, rest or Rest(None), held)

    def list_parts(self) -> list[str]:
        """Names of all partitions. The engine asks in every process, once the cluster is complete."""
        self.run.health.cluster_formed()
        return list(self.partitions)

    @record_failure
    def build_part(self, step_id: str, for_part: str, resume_state: tuple[Any, ...] | None) -> IngestPartition:
        """Open one partition."""
        topic, _, number = for_part.rpartition("/")
        position, *seen = resume_state or (None,)
        reader = self.transport.reader(topic, int(number), position, live=self.settings.live)
        offset = position[-1] if position else None
        begins = "its start" if offset is None else f"offset {offset}"
        PARTITION_OPENED.log(partition=for_part, position=begins, offset=offset)
        if not hasattr(self._accounts, "known"):  # shared by the partitions of a worker thread, and by no other's
            self._accounts.known = KnownAccounts(self.settings.shards)
        return IngestPartition(
            self.settings,
            reader,
            for_part,
            tuple(seen),
            self._shared,
            accounts=self._accounts.known,
            alone=len(self.partitions) == 1,
        )
