"""What contenders share whose log-odds are not a sum of curves: how they are calibrated, and when they are warm."""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np

from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.contender import Baseline, Contender
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models.calibration import LogOddsMap
from c360_stream.models.catalogue import Entry
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.columns import Floats
from c360_stream.models.names import SchemeName
from c360_stream.models.prior import prior_version
from c360_stream.models.treatment import Treatment
from c360_stream.models.version import ModelVersion
from c360_stream.state.fields import fields


class CalibratedContender(Contender):
    """A contender with a calibration of its own: a slope and an offset, learnt from predictions before the outcome.

    Parameters
    ----------
    name, config, scheme, entry
        As of any contender.
    """

    kept = Baseline.kept | fields(_map=LogOddsMap)

    def __init__(self, name: str, config: ModelConfig, scheme: SchemeName, entry: Entry | None = None) -> None:
        super().__init__(name, config, scheme, entry)
        self._treatment = Treatment(config.treated_examples, config.treated_weight)
        self._map = LogOddsMap()

    def learn(self, batch: TrainingBatch) -> None:
        """Learn the calibration from what matured, and count it."""
        matured = batch.matured
        counts = self._treatment.importance(matured.treated)
        for row in self._treatment.calibrating(matured.treated).tolist():
            if not math.isnan(batch.raw_log_odds[row]):
                self._map.learn(float(batch.raw_log_odds[row]), float(matured.churned[row]), float(counts[row]))
        self.model.count(matured.churned)

    def version(self, tick_day: int) -> ModelVersion:
        """The version from the tick at the start of `tick_day` on; the prior rule until it is ready."""
        exposures = self.model.recent_exposures(tick_day)
        if not self.ready:
            return prior_version(tick_day, self.model.config.prior_churn_rate, exposures)
        return self._version(tick_day, exposures)

    @abstractmethod
    def _version(self, tick_day: int, exposures: dict[int, float]) -> ModelVersion:
        """The version of a model that is ready."""

    def raw_log_odds(self, block: ExampleBlock, as_of_us: int) -> Floats:
        """Log-odds before calibration, shape (n,); NaN while it is not ready."""
        if not self.ready:
            return np.full(len(block), np.nan)
        return self._raw_log_odds(block, as_of_us)

    @abstractmethod
    def _raw_log_odds(self, block: ExampleBlock, as_of_us: int) -> Floats:
        """Log-odds before calibration of a model that is ready, shape (n,)."""
