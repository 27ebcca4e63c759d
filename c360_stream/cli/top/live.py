"""`c360 top`: a terminal board of the riskiest accounts, tier changes, alarms and lag.

It reads the risk and alarm topics and the metrics of the running processes, never the tables, which a run may
hold.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.live import Live

from c360_stream.cli.json_output import print_json
from c360_stream.cli.scrape import Scraper
from c360_stream.cli.top.board import Board
from c360_stream.connectors.factory import open_transport
from c360_stream.connectors.ports import RecordReader, Transport
from c360_stream.connectors.reading import read_within
from c360_stream.contracts.records import TIERS
from c360_stream.errors import TransportError
from c360_stream.settings import Settings

READ_RECORDS_MAX = 2_000
REFRESH_SECONDS = 1.0
ONCE_SECONDS_MAX = 5.0


class TopicTail:
    """Reads every partition of a topic from its start; partitions and the topic itself may come later.

    Parameters
    ----------
    transport
        Stays open as long as this.
    topic
        Its name.
    wait_seconds
        How long to wait for a partition that gives neither records nor its end.
    """

    def __init__(self, transport: Transport, topic: str, wait_seconds: float = 0.0) -> None:
        self._transport = transport
        self._topic = topic
        self._wait_seconds = wait_seconds
        self._readers: dict[int, RecordReader] = {}

    def read(self) -> Iterator[tuple[bytes | None, bytes]]:
        """Keys and values that are there now, in the order of each partition."""
        partitions = self._transport.partitions(self._topic)
        # All before the first is read: a broker takes half a second to say that a partition has no more.
        for partition in partitions:
            if partition not in self._readers:
                self._readers[partition] = self._transport.reader(self._topic, partition, None, live=True)
        for partition in partitions:
            try:
                yield from self._records(self._readers[partition])
            except TransportError:
                # A run that resumes cuts its log files back to its snapshot: next time, read from the start.
                self._readers.pop(partition).close()

    def _records(self, reader: RecordReader) -> Iterator[tuple[bytes | None, bytes]]:
        while (batch := read_within(reader, READ_RECORDS_MAX, self._wait_seconds)).values:
            yield from zip(batch.keys or itertools.repeat(None), batch.values, strict=False)
            if reader.at_end:
                return

    def close(self) -> None:
        """Close the readers."""
        for reader in self._readers.values():
            reader.close()


def top(settings: Settings, *, once: bool, rows: int, as_json: bool = False) -> None:
    """Show the board until interrupted, or once: also if stdout is no terminal, or as one JSON object.

    Raises
    ------
    ConfigurationError, TransportError
        If the topics cannot be reached.
    """
    console = Console(highlight=False)
    begins = {tier: getattr(settings, f"tier_{tier}") for tier in TIERS[1:]}
    board = Board(rows, whole=as_json, begins=begins)
    scraper = Scraper(settings.metrics_address)
    once = once or as_json or not console.is_terminal
    wait_seconds = ONCE_SECONDS_MAX if once else 0.0
    with (
        contextlib.closing(open_transport(settings)) as transport,
        contextlib.closing(TopicTail(transport, settings.risk_topic, wait_seconds)) as scores,
        contextlib.closing(TopicTail(transport, settings.alarm_topic, wait_seconds)) as alarms,
    ):

        def read() -> None:
            for key, value in scores.read():
                board.take_score(key, value)
            for _, value in alarms.read():
                board.take_alarm(value)

        def look() -> RenderableType:
            read()
            return board.frame(scraper.look(), columns=console.width, tall=once)

        if as_json:
            read()
            print_json(board.record(scraper.look()))
            return
        if once:
            console.print(look())
            return
        with contextlib.suppress(KeyboardInterrupt), Live(look(), console=console, screen=True) as live:
            while True:
                time.sleep(REFRESH_SECONDS)
                live.update(look(), refresh=True)
