"""Events whose time their partition alone could not judge, until the marks of all partitions decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from c360_stream.contracts.records import DeadLetter
from c360_stream.features.columns import Unsettled
from c360_stream.features.early_events import EarlyEvents
from c360_stream.features.plausibility import AHEAD, BEHIND, oldest_plausible
from c360_stream.state.fields import Kept, fields


class UnsettledEvents(Kept):
    """Holds the unsettled events of one shard: they wait among its early events, and here with their dead letters.

    Parameters
    ----------
    early
        The shard's early events.
    """

    kept = fields(_held=list[Unsettled])

    def __init__(self, early: EarlyEvents) -> None:
        self._early = early
        self._held: list[Unsettled] = []

    def take(self, events: Iterable[Unsettled]) -> None:
        """Take more."""
        self._held += events

    def refuse_behind(self, first_us: int) -> list[DeadLetter]:
        """Refuse the events that are too far behind the first event time."""
        oldest_us = oldest_plausible(first_us)
        return self._refuse(lambda each: each.time_us < oldest_us, BEHIND, first_us)

    def refuse_after(self, end_us: int) -> list[DeadLetter]:
        """Refuse the events after the end."""
        return self._refuse(lambda each: each.time_us > end_us, AHEAD, end_us)

    def accept_until(self, time_us: int) -> list[str]:
        """Let the events up to a time be events like all others; their topics."""
        accepted = [each.letter.topic for each in self._held if each.time_us <= time_us]
        if accepted:
            self._held = [each for each in self._held if each.time_us > time_us]
        return accepted

    def _refuse(self, is_refused: Callable[[Unsettled], bool], reason: str, refused_us: int) -> list[DeadLetter]:
        refused = [each for each in self._held if is_refused(each)]
        if refused:
            self._early.discard(refused)
            self._held = [each for each in self._held if not is_refused(each)]
        letters = [replace(each.letter, exception_message=reason, refused_us=refused_us) for each in refused]
        return sorted(letters, key=lambda letter: (letter.topic, letter.partition, letter.offset))
