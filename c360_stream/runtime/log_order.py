"""A look at the beginning of every partition of a log directory: whether it is in about the order of time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from c360_stream.connectors.factory import open_transport
from c360_stream.connectors.ports import RecordReader, Transport
from c360_stream.contracts.events import US_PER_SECOND, Decoder, is_heartbeat, time_us
from c360_stream.contracts.kinds import INPUT_KINDS, InputKind
from c360_stream.errors import ConfigurationError
from c360_stream.features.time_order import Order, order_of
from c360_stream.operators.ingest import partition_name
from c360_stream.operators.late_share import sort_command, way_out
from c360_stream.settings import Settings

HEAD_RECORDS = 20_000
"""Of each partition: enough to judge by, and read in some 20 ms."""
HEAD_BYTES_MAX = 64 * 1024 * 1024
LATE_MIN = 100
"""Fewer late events in all refuse nothing: a small log may well hold somebody's history, sent after the event."""
_READ_RECORDS = 2048


@dataclass(frozen=True)
class Heads:
    """The order of the beginnings of all partitions, by name."""

    partitions: dict[str, Order]

    @property
    def events(self) -> int:
        """How many were looked at."""
        return sum(order.events for order in self.partitions.values())

    @property
    def late(self) -> int:
        """How many of them were late."""
        return sum(order.late for order in self.partitions.values())

    def is_past(self, share_max: float) -> bool:
        """Whether too many of them were late."""
        return self.late >= LATE_MIN and self.late > share_max * self.events

    def disorder(self, settings: Settings) -> str:
        """In words, what is out of order, and where most."""
        name, worst = max(self.partitions.items(), key=lambda item: item[1].late)
        return (
            f"{self.late:,} of the first {self.events:,} events come more than"
            f" {settings.allowed_lateness_seconds:,} s behind one before them; most in {name}:"
            f" {worst.late:,} of {worst.events:,}, by up to {worst.behind_us / US_PER_SECOND / 86_400:,.1f} days"
        )


def look_at_heads(settings: Settings, transport: Transport) -> Heads:
    """Read and measure the beginning of each input partition.

    Raises
    ------
    ConfigurationError, TransportError
        If a topic or partition cannot be read.
    """
    lateness_us = settings.allowed_lateness_seconds * US_PER_SECOND
    found = {}
    for kind in INPUT_KINDS:
        topic = settings.input_topic(kind)
        for number in transport.partitions(topic):
            with contextlib.closing(transport.reader(topic, number, None, live=True)) as reader:
                times = [us for part in _times(reader, kind) for us in part]
            found[partition_name(topic, number)] = order_of(times, lateness_us)
    return Heads(found)


def _times(reader: RecordReader, kind: InputKind) -> Iterator[list[int]]:
    """Times of the events that the first records hold, heartbeats apart."""
    decoder = Decoder(kind)
    records = size = 0
    while records < HEAD_RECORDS and size < HEAD_BYTES_MAX:
        values = reader.read(min(_READ_RECORDS, HEAD_RECORDS - records)).values
        for block in decoder.decode_blocks(values):
            yield [time_us(event.occurred_at) for event in block.events if not is_heartbeat(event)]
        records += len(values)
        size += sum(map(len, values))
        if reader.at_end:
            return


def refuse_disorder(settings: Settings) -> None:
    """Refuse to replay a log directory that is not in about the order of time, before anything is written.

    Raises
    ------
    ConfigurationError
        If more than `late_share_max` of what stands at the beginning of its partitions is late.
    """
    with contextlib.closing(open_transport(settings)) as transport:
        heads = look_at_heads(settings, transport)
    if heads.is_past(settings.late_share_max):
        raise ConfigurationError(
            f"log directory {settings.log_dir} is not in the order of time: {heads.disorder(settings)}",
            f"{sort_command(settings.log_dir)}, and run that, or {way_out()}",
        )
