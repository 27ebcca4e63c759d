"""Dead letters of Kafka, read back: which record each one was, and what is to become of it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from xxhash import xxh3_64_hexdigest

from c360_stream.connectors.ports import TOMBSTONE, TRUNCATED, Headers, OutRecord
from c360_stream.contracts.records import Refusal

FROM, TIMES = "__c360.redriven.from", "__c360.redriven.times"
"""Headers of a record that was redriven: from which dead letter, and how often by now."""
TIMES_MAX = 3
"""A record that was redriven so often, and refused each time, is left: somebody has to look at it."""
_CONNECT = "__connect.errors."
_FACTS = ("topic", "partition", "offset", "stage", "exception.class.name", "exception.message")
_NUMBER_DIGITS_MAX = 18


class Fate(Enum):
    """The outcome for a dead letter. The value completes "left: 3 that ..."."""

    SENT = "sent"
    UNSELECTED = "were not asked for"
    FOREIGN = "do not have the headers of a dead letter"
    UNKNOWN_TOPIC = "name a topic that is none of the input topics"
    CUT = "were cut to 8 MiB: the whole record is at most where it came from"
    REPEATED = f"were redriven {TIMES_MAX} times and refused each time"


class Letter(Refusal, frozen=True):
    """A refused record, as it was, and why it was refused. `headers` are the record's own."""

    key: bytes | None
    value: bytes | None
    """None: it was a tombstone."""
    headers: Headers

    def fate(self, selection: Selection, input_topics: Collection[str]) -> Fate:
        """What is to become of it."""
        if self.topic not in input_topics:  # a header from outside must not choose the target
            return Fate.UNKNOWN_TOPIC
        if not selection.takes(self):
            return Fate.UNSELECTED
        if TRUNCATED in self.headers:
            return Fate.CUT
        return Fate.REPEATED if self.times() >= TIMES_MAX else Fate.SENT

    def times(self) -> int:
        """How often it has been redriven."""
        found = [value for name, value in self.headers if name == TIMES]
        return (_number(found[-1]) or 0) if found else 0

    def record(self, where: str) -> OutRecord:
        """The record to send: as it was, with two headers that name the dead letter `where` as its origin."""
        own = [header for header in self.headers if header[0] not in (FROM, TIMES)]
        redriven = ((FROM, where.encode()), (TIMES, b"%d" % (self.times() + 1)))
        return OutRecord(self.key, self.value, (*own, *redriven))


def read_letter(key: bytes | None, value: bytes, headers: Headers) -> Letter | None:
    """Read a record of the dead-letter topic, as a reader gives it; None if its headers are not a dead letter's.

    >>> read_letter(b"acme", b"{}", [("kind", b"x")]) is None
    True
    """
    gone = len(headers) > 0 and headers[-1] is TOMBSTONE  # the mark that the reader itself adds
    headers = headers[:-1] if gone else headers
    own, added = headers[: -len(_FACTS)], headers[-len(_FACTS) :]
    if [name for name, _ in added] != [f"{_CONNECT}{name}" for name in _FACTS]:
        return None
    topic, partition, offset, stage, exception_class, message = (
        (fact or b"").decode(errors="replace") for _, fact in added
    )
    partition_number, offset_number = _number(partition.encode()), _number(offset.encode())
    if partition_number is None or offset_number is None:
        return None
    return Letter(
        topic=topic,
        partition=partition_number,
        offset=offset_number,
        stage=stage,
        exception_class=exception_class,
        exception_message=message,
        key=key,
        value=None if gone else value,
        headers=own,
    )


def _number(text: bytes | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and len(text) <= _NUMBER_DIGITS_MAX else None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters to redrive; None or empty: all."""

    since: datetime | None = None
    topic: str = ""
    stage: str = ""
    exception: str = ""

    def takes(self, letter: Letter) -> bool:
        """Whether a letter is selected; the reader applies `since`."""
        wanted = ((self.topic, letter.topic), (self.stage, letter.stage), (self.exception, letter.exception_class))
        return all(asked in ("", found) for asked, found in wanted)

    def group(self, prefix: str) -> str:
        """The consumer group that remembers what has been redriven of this selection.

        >>> Selection().group("c360"), Selection(stage="decode").group("c360")
        ('c360.redrive', 'c360.redrive.22d089550d7c3fb8')
        """
        if self == Selection():
            return f"{prefix}.redrive"
        since = self.since.astimezone(UTC).isoformat() if self.since is not None else None
        chosen = json.dumps([since, self.topic, self.stage, self.exception])
        return f"{prefix}.redrive.{xxh3_64_hexdigest(chosen.encode())}"
