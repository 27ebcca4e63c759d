"""One day of events of one kind as columns, and their canonical lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np

from c360_stream.tools.simulate.population import Floats, Ints

DAY_MS = 86_400_000
LINES_MAX = 65_536

_CLOCK = [b"%02d:%02d:%02d" % (s // 3600, s // 60 % 60, s % 60) for s in range(86_400)]
_LINE = b'{"event_id":"%s%06d","account_id":"%s","event_type":"%s","occurred_at":"%sT%s.%03dZ"%s%s}'

# Share of a day's activity by UTC hour: office hours with a dip at lunch, a few people in the evening.
_HOURLY = np.array([1, 1, 1, 1, 1, 2, 6, 20, 48, 70, 76, 70, 50, 60, 74, 70, 56, 36, 18, 12, 9, 6, 4, 2], np.float64)
_REACHED = np.concatenate(([0.0], np.cumsum(_HOURLY) / _HOURLY.sum()))


def times_of_day(rng: np.random.Generator, count: int) -> Ints:
    """Milliseconds since midnight that follow the daily rhythm."""
    return clock(rng.random(count))


def clock(quantile: Floats) -> Ints:
    """Milliseconds since midnight by which that share of a day's activity has happened."""
    hours = np.interp(quantile, _REACHED, np.arange(25.0))
    return np.asarray((hours * (DAY_MS / 24)).astype(np.int64) % DAY_MS)


@dataclass(frozen=True, slots=True)
class Column:
    """Strings as indices into a table."""

    table: list[bytes]
    index: Ints

    def take(self, chosen: Ints) -> list[bytes]:
        """The strings at some positions."""
        table = self.table
        return [table[i] for i in self.index[chosen].tolist()]


@dataclass(frozen=True, slots=True)
class DayEvents:
    """Events of one kind on one day, in any order.

    Attributes
    ----------
    at_ms
        Time since midnight.
    account
        Index of the account.
    event_type
        Names.
    first, second
        Further JSON fields, each with its leading comma, or empty.
    """

    at_ms: Ints
    account: Ints
    event_type: Column
    first: Column
    second: Column


def day_lines(
    events: DayEvents, kind: str, day: date, account_ids: list[bytes], account_partition: Ints
) -> Iterator[tuple[int, list[bytes]]]:
    """Write a day's events as lines in time order, at most `LINES_MAX` at a time.

    An id is the kind's letter, the date and the event's place in the day over all partitions: unique in a topic,
    and the same for any number of partitions.

    Parameters
    ----------
    events
        The day's events.
    kind
        Of which topic.
    day
        UTC date.
    account_ids, account_partition
        Id and partition of every account.

    Yields
    ------
    Partition and lines, without line ends.
    """
    order = np.argsort(events.at_ms, kind="stable")
    place = account_partition[events.account[order]]
    stamp = day.isoformat().encode()
    head = b"%s-%s-" % (kind[:1].encode(), day.strftime("%Y%m%d").encode())
    for partition in np.unique(place).tolist():
        sequence = np.flatnonzero(place == partition)
        for begin in range(0, len(sequence), LINES_MAX):
            numbers = sequence[begin : begin + LINES_MAX]
            rows = order[numbers]
            at_ms = events.at_ms[rows]
            columns = zip(
                [head] * len(rows),
                numbers.tolist(),
                [account_ids[i] for i in events.account[rows].tolist()],
                events.event_type.take(rows),
                [stamp] * len(rows),
                [_CLOCK[s] for s in (at_ms // 1000).tolist()],
                (at_ms % 1000).tolist(),
                events.first.take(rows),
                events.second.take(rows),
                strict=True,
            )
            yield partition, [_LINE % row for row in columns]


class Notebook:
    """Collects a day's few billing or support events one by one."""

    def __init__(self) -> None:
        self._at_ms: list[int] = []
        self._account: list[int] = []
        self._types: list[bytes] = []
        self._fields: list[bytes] = []

    def note(self, at_ms: int, account: int, event_type: bytes, fields: bytes = b"") -> None:
        """Add an event; `fields` is JSON with a leading comma. A time past the day is its last millisecond."""
        self._at_ms.append(min(at_ms, DAY_MS - 1))
        self._account.append(account)
        self._types.append(event_type)
        self._fields.append(fields)

    def events(self) -> DayEvents:
        """Everything noted, as columns."""
        rows = np.arange(len(self._at_ms))
        return DayEvents(
            np.array(self._at_ms, np.int64),
            np.array(self._account, np.int64),
            Column(self._types, rows),
            Column(self._fields, rows),
            Column([b""], np.zeros_like(rows)),
        )
