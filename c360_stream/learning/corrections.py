"""Corrected labels: models return to their state before the wrong one and learn the right one."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from c360_stream.features.example_block import ExampleBlock
from c360_stream.labels.ledger import CORRECTION_DAYS
from c360_stream.learning.contender import Contender
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.state.fields import PLAIN, Kept, PlainState, deque_of, dict_of, fields, record

# Bounds what is kept: past it, the oldest days can no longer be learnt again.
EXAMPLES_MAX = 50_000


@dataclass(slots=True)
class _Day:
    """A tick's matured examples, and the models as they were before it."""

    day: int
    matured: ExampleBlock
    before: dict[str, PlainState]


class Corrections(Kept):
    """The last ticks, as far back as a label may still be corrected.

    Only models that wait for labels learn again. One that took every example for a stayer until it knew better has
    made up for such errors already, and a week-old example's label is not touched by what comes late.
    """

    kept = fields(_days=deque_of(record(_Day, before=dict_of(str, PLAIN))))

    def __init__(self) -> None:
        self._days: deque[_Day] = deque()

    def before(self, day: int, matured: ExampleBlock, contenders: Mapping[str, Contender]) -> None:
        """Note a tick that is about to be learnt."""
        states: dict[str, PlainState] = {
            name: contender.state() for name, contender in contenders.items() if contender.waits
        }
        self._days.append(_Day(day, matured, states))
        while self._days[0].day < day - CORRECTION_DAYS or (
            len(self._days) > 1 and sum(len(each.matured) for each in self._days) > EXAMPLES_MAX
        ):
            self._days.popleft()

    def relearn(self, corrected: Mapping[tuple[int, str], bool], contenders: Mapping[str, Contender]) -> int:
        """Relabel examples (as-of day, account) as churned and learn them again; give the number still kept.

        The mapping has whether the account was contacted before it cancelled: a later contact is no treatment.
        """
        first, count = len(self._days), 0
        for number, each in enumerate(self._days):
            block = each.matured
            pairs = list(zip(block.as_of_day.tolist(), block.ids, strict=True))
            wrong = np.array([pair in corrected for pair in pairs], np.bool_) & ~block.churned
            if wrong.any():
                treated = np.array([corrected.get(pair, False) for pair in pairs], np.bool_)
                each.matured = replace(
                    block, churned=block.churned | wrong, treated=np.where(wrong, treated, block.treated)
                )
                first, count = min(first, number), count + int(wrong.sum())
        if count:
            for name, contender in contenders.items():
                if contender.waits:
                    self._learn_again(name, contender, first)
                elif contender.entry.kind != "blend":  # which counts only examples it has predicted
                    contender.model.churned += count
        return count

    def _learn_again(self, name: str, contender: Contender, first: int) -> None:
        days = list(self._days)[first:]
        if name not in days[0].before:
            return  # begun after that
        exposures = contender.model.exposures
        contender.restore(days[0].before[name])
        contender.model.exposures = exposures
        none = ExampleBlock.none()
        for each in days:
            each.before[name] = contender.state()
            contender.learn(TrainingBatch(each.matured, none, none, none, np.full(len(each.matured), np.nan)))

    def forget(self, name: str) -> None:
        """Another model takes this name: there is nothing of it to go back to."""
        for each in self._days:
            each.before.pop(name, None)
