"""Where a simulation writes its events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from c360_stream.contracts.kinds import INPUT_KINDS
from c360_stream.errors import ConfigurationError, TransportError


class EventSink(Protocol):
    """Takes event lines, in order within each partition."""

    def write(self, topic_kind: str, partition: int, lines: list[bytes]) -> None:
        """Append lines (no line ends) to a partition of the kind's topic. May block."""

    def close(self) -> None:
        """Return once everything written is safe; raises `TransportError` if it is not."""


def account_of(line: bytes) -> bytes:
    """The account of a line that a simulation wrote: the record's key.

    >>> account_of(b'{"event_id":"b-20240101-000000","account_id":"acc-000007","event_type":"invoice_paid"}')
    b'acc-000007'
    """
    return line.split(b'"', 8)[7]


class LogDirectorySink:
    """Writes `<directory>/<prefix>.<kind>.events.v1/<partition>.jsonl`.

    Every partition's file exists from the start, so that readers know all of them. Nothing is buffered here but
    what the operating system's files do.

    Raises
    ------
    ConfigurationError
        If one of the topics already holds events: a second world would mix with the first.
    TransportError
        If the directory cannot be written.
    """

    def __init__(self, directory: Path, topic_prefix: str, partitions: int) -> None:
        self._files: dict[tuple[str, int], BinaryIO] = {}
        topics = {kind: directory / f"{topic_prefix}.{kind}.events.v1" for kind in INPUT_KINDS}
        for topic in topics.values():
            if any(topic.glob("*.jsonl*")):
                raise ConfigurationError(f"{topic} already holds events", "choose another --out or remove it")
        try:
            for kind, topic in topics.items():
                topic.mkdir(parents=True, exist_ok=True)
                for partition in range(partitions):
                    self._files[kind, partition] = (topic / f"{partition}.jsonl").open("xb")
        except OSError as error:
            self.close()
            raise TransportError(
                f"{directory}: {error.strerror or error}", "check the path and the free space"
            ) from error

    def write(self, topic_kind: str, partition: int, lines: Sequence[bytes]) -> None:
        """Append lines to the partition's file."""
        try:
            self._files[topic_kind, partition].write(b"\n".join(lines) + b"\n" if lines else b"")
        except OSError as error:
            raise TransportError(f"{topic_kind} events: {error}", "free some space and start again") from error

    def close(self) -> None:
        """Flush and close the files."""
        try:
            for file in self._files.values():
                file.close()
        except OSError as error:
            raise TransportError(f"events: {error}", "free some space and start again") from error
