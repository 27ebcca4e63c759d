"""The learner: at each tick learns the examples that matured, in canonical order, and gives a new version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.events import US_PER_DAY
from c360_stream.features.columns import PRODUCT
from c360_stream.features.shard import TickExamples
from c360_stream.learning.barrier import TickBarrier
from c360_stream.learning.model import ChurnModel, ModelConfig
from c360_stream.learning.version import ModelVersion
from c360_stream.learning.volume import VolumeBaseline


@dataclass(slots=True)
class LearnedTick:
    """What learning at a tick gave."""

    day: int
    version: ModelVersion
    learnt: int
    learnt_churned: int


class Learner:
    """Learns whole ticks, so that what it knows does not depend on how the examples travelled.

    Parameters
    ----------
    shards
        Number of shards that each tick waits for.
    config
        Settings of the model.
    """

    def __init__(self, shards: int, config: ModelConfig) -> None:
        self.model = ChurnModel(config)
        self._barrier: TickBarrier[TickExamples] = TickBarrier(shards)
        self._baseline = VolumeBaseline()

    def receive(self, part: TickExamples) -> LearnedTick | None:
        """Take a shard's part of a tick; give the new version if it was the last part."""
        parts = self._barrier.put(part.day, part.shard, part)
        return self._learn(parts) if parts else None

    def _learn(self, parts: list[TickExamples]) -> LearnedTick:
        day = parts[0].day
        self._see_volume(day - 1, sum(part.events_by_topic[PRODUCT] for part in parts))
        as_of_day = max(part.as_of_day for part in parts)
        ids = [account for part in parts for account in part.ids]
        churned = np.concatenate([part.churned for part in parts])
        if ids:
            order = np.array(sorted(range(len(ids)), key=ids.__getitem__))
            features: NDArray[np.float64] = np.concatenate([part.features for part in parts])[order]
            as_of_us = np.full(len(ids), as_of_day * US_PER_DAY, np.int64)
            self.model.learn(features, churned[order], as_of_us)
        version = self.model.version(day)
        return LearnedTick(
            day,
            version,
            len(ids),
            int(churned.sum()),
        )

    def _see_volume(self, day: int, product_events: int) -> None:
        exposure = self._baseline.day_exposure(day, product_events)
        if exposure < 1.0:
            self.model.expose(day, exposure)

    def state(self) -> dict[str, Any]:
        """Plain data for `restore`."""
        names = TickExamples.__slots__
        return {
            "model": self.model.state(),
            "barrier": self._barrier.state(lambda part: [getattr(part, name) for name in names]),
            "baseline": self._baseline.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self.model = ChurnModel.from_state(state["model"], self.model.config)
        self._barrier.restore(state["barrier"], lambda values: TickExamples(*values))
        self._baseline.restore(state["baseline"])
