"""The event-time watermark: the least of the marks of all source partitions."""

from __future__ import annotations

from collections.abc import Iterable

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.columns import END_OF_TIME, NO_TIME, ShardBatch
from c360_stream.features.plausibility import oldest_plausible
from c360_stream.features.span import plausible_end, plausible_start
from c360_stream.state.fields import Kept, PlainState, fields


class Watermark(Kept):
    """Follows every source partition's mark; never moves backwards.

    The partitions are known by name from the start, so one without a mark yet holds the watermark.
    Once all have ended, it is the greatest event time that all of them together make plausible.

    Parameters
    ----------
    partitions
        Names of all source partitions.
    lateness_us
        The allowed lateness.

    Examples
    --------
    >>> w = Watermark(["a", "b"], lateness_us=0)
    >>> w.receive(ShardBatch(0, "a", 5, 5, False, None, latest_us=5)); w.now_us == NO_TIME
    True
    >>> w.receive(ShardBatch(0, "b", 3, 3, False, None, latest_us=3)); w.now_us
    3
    >>> w.receive(ShardBatch(0, "b", 3, 3, True, None, latest_us=3)); w.now_us
    5
    """

    kept = fields(
        now_us=int,
        first_us=int | None,
        _marks=dict[str, int],
        _firsts=dict[str, int],
        _latest=dict[str, int],
        _events=dict[str, int],
        _accounts=dict[str, list[int]],
        _doubtful=dict[str, list[tuple[int, int]]],
    )

    def __init__(self, partitions: Iterable[str], lateness_us: int) -> None:
        self.lateness_us = lateness_us
        self.now_us = NO_TIME
        self.first_us: int | None = None
        """The first plausible event time; None until it is known of every partition, and without any."""
        self.ended = False
        """Whether all partitions have ended."""
        self._marks: dict[str, int] = dict.fromkeys(sorted(partitions), NO_TIME)
        self._firsts: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._events: dict[str, int] = {}
        self._accounts: dict[str, list[int]] = {}
        # Time and account of the unsettled events after the watermark.
        self._doubtful: dict[str, list[tuple[int, int]]] = {}

    def receive(self, batch: ShardBatch) -> None:
        """Take the mark of a batch whose events have been taken."""
        name = batch.partition
        self._marks[name] = END_OF_TIME if batch.ended else batch.mark_us
        self._latest[name], self._events[name] = batch.latest_us, batch.events_read
        self._accounts[name] = list(batch.accounts)
        if batch.doubtful:
            self._doubtful.setdefault(name, []).extend(batch.doubtful)
        if self._firsts.get(name, NO_TIME) == NO_TIME and (batch.mark_us != NO_TIME or batch.ended):
            # The first known value of each partition counts, so that every shard comes to the same first day.
            self._firsts[name] = batch.first_us
        if self.first_us is None and len(self._firsts) == len(self._marks):
            self.first_us = self._first()
        least = min(self._marks.values())
        self.ended = least == END_OF_TIME
        self.now_us = max(self.now_us, self._end() if self.ended else least)
        if self._doubtful and self.now_us != NO_TIME:
            self._forget_doubts()

    def _first(self) -> int | None:
        sure = [first for first in self._firsts.values() if first != NO_TIME]
        unsure = [self._doubtful.get(name, []) for name, first in self._firsts.items() if first == NO_TIME]
        return plausible_start(sure, [time_us for doubtful in unsure for time_us, _ in doubtful])

    def _end(self) -> int:
        if self.first_us is None:
            return NO_TIME
        oldest_us = oldest_plausible(self.first_us)
        doubtful = [each for of_name in self._doubtful.values() for each in of_name if each[0] >= oldest_us]
        latest_us = max(self.now_us, *self._latest.values())
        if latest_us == NO_TIME and not doubtful:
            return NO_TIME
        accounts = {account for of_name in self._accounts.values() for account in of_name}
        return plausible_end(latest_us, doubtful, self.first_us, sum(self._events.values()), accounts)

    def _forget_doubts(self) -> None:
        """Forget what the watermark has passed, and all at the end: what lies beyond it then is refused."""
        kept_us = END_OF_TIME if self.ended else self.now_us
        self._doubtful = {
            name: kept
            for name, doubtful in self._doubtful.items()
            if (kept := [each for each in doubtful if each[0] > kept_us])
        }

    def first_day(self) -> int | None:
        """Day before which no event within the lateness can lie; None until it is known."""
        return None if self.first_us is None else (self.first_us - self.lateness_us) // US_PER_DAY

    def restore(self, state: PlainState) -> None:
        """Restore a state; partitions that are new since then hold, those that are gone are forgotten."""
        known = self._marks
        super().restore(state)
        # A mark of the earlier run's end does not vouch for what this run will read.
        live = {name: mark for name, mark in self._marks.items() if mark != END_OF_TIME}
        self._marks = {name: live.get(name, NO_TIME) for name in known}
        # Nor does it have the first event time of a partition that was empty.
        self._firsts = {name: first for name, first in self._firsts.items() if first != NO_TIME}
        for of_name in (self._firsts, self._latest, self._events, self._accounts, self._doubtful):
            for name in of_name.keys() - known.keys():
                del of_name[name]
