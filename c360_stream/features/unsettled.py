"""Events whose time their partition alone could not judge, until all partitions have said what time it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from c360_stream.features.columns import Unsettled
from c360_stream.features.early import EarlyEvents
from c360_stream.records import DeadLetter


class UnsettledEvents:
    """Holds the unsettled events of one shard: they wait among its early events, and here with their dead letters.

    Parameters
    ----------
    early
        The shard's early events.
    """

    def __init__(self, early: EarlyEvents) -> None:
        self._early = early
        self._held: list[Unsettled] = []

    def take(self, events: Iterable[Unsettled]) -> None:
        """Take more."""
        self._held += events

    def refuse_before(self, time_us: int) -> list[DeadLetter]:
        """Refuse the events before a time."""
        return self._refuse([each for each in self._held if each.time_us < time_us])

    def settle(self, latest_us: int) -> tuple[list[DeadLetter], list[str]]:
        """Refuse the events after a time, and let the others, whose topics are given too, be events like all."""
        refused = self._refuse([each for each in self._held if each.time_us > latest_us])
        accepted = [each.letter.topic for each in self._held]
        self._held.clear()
        return refused, accepted

    def _refuse(self, refused: list[Unsettled]) -> list[DeadLetter]:
        for each in refused:
            self._early.discard(each.event, each.time_us)
            self._held.remove(each)
        letters = [each.letter for each in refused]
        return sorted(letters, key=lambda letter: (letter.topic, letter.partition, letter.offset))

    def state(self) -> list[Any]:
        """Plain data for `restore`."""
        return [[each.time_us, each.event, each.letter.model_dump_json()] for each in self._held]

    def restore(self, state: list[Any]) -> None:
        """Take up what `state` gave."""
        self._held = [
            Unsettled(time_us, event, DeadLetter.model_validate_json(letter)) for time_us, event, letter in state
        ]
