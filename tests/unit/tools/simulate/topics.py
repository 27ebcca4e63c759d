"""Input topics, in memory and on a cluster, for the tests of this folder."""

from __future__ import annotations

from contextlib import closing

from c360_stream.cli.top.live import TopicTail
from c360_stream.connectors.kafka.transport import KafkaTransport
from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.settings import Settings
from c360_stream.tools.simulate import EventPlace

DEADLINE_SECONDS = 60.0
PARTITIONS = 2

Events = dict[str, list[bytes]]
"""Lines by topic kind."""


class Memory:
    """What `simulate` writes."""

    def __init__(self) -> None:
        self.lines: Events = {kind: [] for kind in INPUT_KINDS}

    def write(self, topic_kind: str, partition: int, lines: list[bytes]) -> None:
        self.lines[topic_kind] += lines

    def close(self) -> None: ...


def read_events(settings: Settings) -> Events:
    """Every event that the topics hold, repeats included, in the order of their ids."""
    found: Events = {}
    with closing(KafkaTransport(settings)) as transport:
        for kind in INPUT_KINDS:
            with closing(TopicTail(transport, settings.input_topic(kind), DEADLINE_SECONDS)) as tail:
                found[kind] = sorted((line for _, line in tail.read()), key=EventPlace.of)
    return found
