"""A contender: a model of the catalogue at work, whether it scores or runs in shadow."""

from __future__ import annotations

import numpy as np

from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.schemes import TrainingBatch, scheme_named
from c360_stream.models.additive import AdditiveVersion
from c360_stream.models.basis import Basis
from c360_stream.models.catalogue import BASE_RATE, Entry, entry_named
from c360_stream.models.churn_model import ChurnModel, ModelConfig
from c360_stream.models.classifier import logit
from c360_stream.models.columns import Floats
from c360_stream.models.horizons import PRIOR_OUTCOMES
from c360_stream.models.names import SchemeName
from c360_stream.models.prior import inactivity_curves
from c360_stream.models.version import ModelVersion
from c360_stream.state.fields import Kept, fields, part_of


class Contender(Kept):
    """One model by itself.

    Parameters
    ----------
    name
        Of the catalogue.
    config
        Settings of the models.
    scheme
        How a learner learns whose catalogue entry names no scheme.
    entry
        Of a model that is not in the catalogue.
    """

    kept = fields(model=ChurnModel)

    def __init__(self, name: str, config: ModelConfig, scheme: SchemeName, entry: Entry | None = None) -> None:
        self.name = name
        self.entry = entry or entry_named(name)
        self.learns = self.entry.kind == "learner"
        self._scheme_name = self.entry.scheme or scheme
        self._scheme = scheme_named(self._scheme_name)
        self.start = self._scheme.start(config.horizon_days)
        self.model = ChurnModel(config, name, self.entry.classifier, self.start)

    @property
    def ready(self) -> bool:
        """Whether its versions are its own: before it is warm, a learner scores with the prior rule."""
        return self.entry.kind == "baseline" or self.model.warm

    @property
    def waits(self) -> bool:
        """Whether it learns from matured labels alone, so that a corrected one can be learnt again."""
        return self.learns and self._scheme_name == "matured"

    def learn(self, batch: TrainingBatch) -> None:
        """Learn what a tick has to teach. A baseline only counts what happened."""
        if self.learns:
            self._scheme.learn(self.model, batch)
        else:
            self.model.count(batch.matured.churned)

    def begin(self, basis: Basis, matured: ExampleBlock, week_old: ExampleBlock) -> None:
        """Begin a generation: another basis, and the examples of before learnt again; see `Scheme.learn_again`."""
        self.model.begin(basis)
        self._scheme.learn_again(self.model, matured, week_old)

    def version(self, tick_day: int) -> ModelVersion:
        """The version from the tick at the start of `tick_day` on."""
        if self.learns:
            return self.model.version(tick_day)
        config, exposures = self.model.config, self.model.recent_exposures(tick_day)
        if self.name == BASE_RATE:
            counted = self.model.outcomes + PRIOR_OUTCOMES
            rate = (self.model.churned + PRIOR_OUTCOMES * config.prior_churn_rate) / counted
            return AdditiveVersion(self.name, tick_day, logit(rate), {}, exposures)
        return AdditiveVersion(
            self.name, tick_day, logit(config.prior_churn_rate), inactivity_curves(), exposures, False
        )

    def raw_log_odds(self, block: ExampleBlock, as_of_us: int) -> Floats:
        """Log-odds before calibration, which calibrate the model once the labels mature; shape (n,)."""
        if not self.learns:
            return np.full(len(block), np.nan)
        return self.model.raw_log_odds(block.features, np.full(len(block), as_of_us, np.int64))


class Baseline(Contender):
    """One that never learns: little more than two numbers are kept of it."""

    kept = fields(model=part_of(ChurnModel, "outcomes", "churned", "exposures"))
