"""`c360 heartbeat`: sends heartbeats into the input topics: their arrival at the sinks shows the output's freshness."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from uuid import uuid4

import click

from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.connectors.kafka.writer import KafkaWriter
from c360_stream.connectors.ports import OutRecord
from c360_stream.contracts.events import HEARTBEAT_ACCOUNT, HEARTBEAT_TYPE
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.contracts.records import rfc3339_ms
from c360_stream.errors import ConfigurationError
from c360_stream.logs.events import HEARTBEATS_STARTED
from c360_stream.operators.life import log_from
from c360_stream.settings import Settings


def heartbeat(settings: Settings, *, every_seconds: int | None) -> None:
    """Send a heartbeat into every partition of every input topic, and wait until Kafka has them.

    Parameters
    ----------
    settings
        Settings; Kafka must be configured.
    every_seconds
        How long from one round to the next, for ever. None: one round.

    Raises
    ------
    ConfigurationError
        If Kafka is not configured.
    TransportError
        If a topic is missing, or an outage lasts for longer than `outage_seconds_max`.
    """
    log_from(settings)
    if not settings.uses_kafka:
        raise ConfigurationError(
            "c360 heartbeat needs Kafka: the files of a log directory belong to their writers",
            "set C360_KAFKA_BROKERS",
        )
    with ExitStack() as held:
        transport = held.enter_context(closing(KafkaTransport(settings)))
        writers: dict[KafkaWriter, Sequence[int]] = {}
        for topic in [settings.input_topic(kind) for kind in INPUT_KINDS]:
            writer = held.enter_context(closing(transport.writer(topic, None)))
            writers[writer] = transport.partitions(topic)
        if every_seconds is None:
            send_round(writers)
            click.echo(f"sent a heartbeat to each of {_count(writers)}")
            return
        partitions = sum(map(len, writers.values()))
        HEARTBEATS_STARTED.log(every_seconds=every_seconds, partitions=partitions, topics=len(writers))
        due = time.monotonic()
        while True:
            send_round(writers)
            due = max(due + every_seconds, time.monotonic())  # after an outage no round is made up for
            time.sleep(max(0.0, due - time.monotonic()))


def send_round(writers: Mapping[KafkaWriter, Sequence[int]]) -> None:
    """Send one to each of the partitions of each writer's topic; return once all are acknowledged."""
    for writer, partitions in writers.items():
        for partition in partitions:
            writer.write([new_heartbeat()], partition=partition)
    for writer in writers:
        writer.flush()


def new_heartbeat() -> OutRecord:
    """A heartbeat that is sent now."""
    event = {
        "event_id": uuid4().hex,
        "account_id": HEARTBEAT_ACCOUNT,
        "event_type": HEARTBEAT_TYPE,
        "occurred_at": rfc3339_ms(time.time_ns() // 1000),
    }
    return OutRecord(HEARTBEAT_ACCOUNT, json.dumps(event).encode())


def _count(writers: Mapping[KafkaWriter, Sequence[int]]) -> str:
    return f"{sum(map(len, writers.values()))} partitions of {len(writers)} topics"
