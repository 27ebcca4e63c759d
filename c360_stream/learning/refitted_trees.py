"""LightGBM in the contest: refitted to the replay buffer by the calendar, and when a fresh model is asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.calibrated import CalibratedContender
from c360_stream.models import trees
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.columns import Floats
from c360_stream.models.exposure import WINDOW_DAYS_MAX, corrected
from c360_stream.models.names import SchemeName
from c360_stream.models.version import ModelVersion
from c360_stream.state.fields import copied, fields

REFIT_DAYS = 28


class RefittedTrees(CalibratedContender):
    """Boosted trees that never learn one by one: they are fitted anew to the last outcomes.

    Treated examples are left out of the fit, or count in part, as settings have it; under `model` they are left out,
    since trees have no column for them. A label that is corrected later counts from the next fit on only if it was
    corrected before it matured: a few in ten thousand are wrong.

    Parameters
    ----------
    name, config, scheme
        As of any contender.
    """

    kept = CalibratedContender.kept | fields(_trees=str, _fitted_day=int, _exposures=copied(dict[int, float]))

    def __init__(self, name: str, config: ModelConfig, scheme: SchemeName) -> None:
        super().__init__(name, config, scheme)
        self._trees = ""
        self._fitted_day = 0
        # Of all days that the examples' windows reach: further back than scores need.
        self._exposures: dict[int, float] = {}

    @property
    def ready(self) -> bool:
        """Whether it has been fitted."""
        return bool(self._trees)

    @property
    def fitted_day(self) -> int:
        """Tick of the last fit, in days since the Unix epoch; 0 before the first."""
        return self._fitted_day

    def refit(self, day: int, examples: Callable[[], ExampleBlock], *, asked: bool) -> bool:
        """Fit anew if it is time, or if it is `asked`; whether it was done.

        Parameters
        ----------
        day
            The tick's.
        examples
            Gives the last outcomes, in canonical order.
        """
        self._exposures |= self.model.exposures
        due = not self._fitted_day or day - self._fitted_day >= REFIT_DAYS
        if not self.model.warm or not (due or asked):
            return False
        block = examples()
        block = block.take(self._treatment.calibrating(block.treated))
        churned = int(block.churned.sum())
        if not 0 < churned < len(block):
            return False
        oldest = int(block.as_of_day[0]) - WINDOW_DAYS_MAX
        self._exposures = {each: share for each, share in sorted(self._exposures.items()) if each >= oldest}
        features = corrected(block.features, block.as_of_day * US_PER_DAY, self._exposures)
        importance = self._treatment.importance(block.treated)
        self._trees = trees.fitted(features, block.churned.astype(np.float64), importance)
        self._fitted_day = day
        return True

    def _version(self, tick_day: int, exposures: dict[int, float]) -> ModelVersion:
        return trees.TreesVersion(self.name, tick_day, self._trees, self._map.slope, self._map.offset, exposures)

    def _raw_log_odds(self, block: ExampleBlock, as_of_us: int) -> Floats:
        features = corrected(block.features, as_of_us, self.model.exposures)
        return trees.ensemble(self._trees).log_odds(features)
