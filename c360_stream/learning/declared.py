"""Declared models in the contest: any River classifier, taught one matured example after another."""

from __future__ import annotations

import pickle
import re

import numpy as np

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import DriftAlarm
from c360_stream.errors import StateError
from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.calibrated import CalibratedContender
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models.catalogue import declared_entry
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.classifier import logit
from c360_stream.models.columns import Floats
from c360_stream.models.declared import as_dicts, factory, imputed, new_imputer, probability
from c360_stream.models.exposure import corrected
from c360_stream.models.names import ModelDeclaration, SchemeName
from c360_stream.models.preprocessing import NullImputer
from c360_stream.models.river_version import RiverVersion, taught
from c360_stream.models.version import ModelVersion
from c360_stream.monitoring.alarms import CRITICAL, WARNING, drift_alarm
from c360_stream.state.fields import fields

MODEL_BYTES_MAX = 16 * 1024 * 1024
"""The most that a model may weigh: each snapshot has it once, and once for each shard that it scores."""
_DETAIL_MAX = 300
# Differs from process to process.
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


class DeclaredContender(CalibratedContender):
    """A River classifier that a user has declared.

    What fails in it ends its part in the contest, and nothing else. It learns matured examples, in canonical order,
    whatever the learning scheme; treated ones only under `keep`, since it has no weights. A corrected label is not
    learnt again. It does not come back under its name.

    Parameters
    ----------
    declaration
        Name and maker.
    config, scheme
        As of any contender.
    """

    kept = CalibratedContender.kept | fields(
        _made_by=str, _imputer=NullImputer, _learnt=str, _pickled=bytes, failure=str, _told=bool
    )

    def __init__(self, declaration: ModelDeclaration, config: ModelConfig, scheme: SchemeName) -> None:
        super().__init__(declaration.name, config, scheme, declared_entry(declaration.name, declaration.make))
        self._declaration = declaration
        self._classifier = factory(declaration)()
        self._made_by = declaration.make
        self._imputer = new_imputer()
        self._learnt = declaration.make
        self.failure = ""
        self._told = False
        self._pickled = b""
        self._pickle()

    @property
    def ready(self) -> bool:
        """Whether enough outcomes are known, and it has not failed."""
        return self.model.warm and not self.failure

    @property
    def _prior_log_odds(self) -> float:
        return logit(self.model.config.prior_churn_rate)

    def _pickle(self) -> None:
        """Pickle it as it is now: at ticks alone, so that a failure does not depend on when snapshots are taken."""
        try:
            content = pickle.dumps(self._classifier, protocol=5)
            if len(content) > MODEL_BYTES_MAX:
                raise ValueError(f"it weighs {len(content):,} bytes, more than {MODEL_BYTES_MAX:,}")
            self._pickled = content
        except Exception as error:
            self._fail("could not be kept", error)

    def restored(self) -> None:
        """Take up the model; refuse that of another function."""
        if self._made_by != self._declaration.make:
            raise StateError(
                f"model {self.name} was made by {self._made_by}, and is declared as {self._declaration.make}",
                "declare the new one under another name",
            )
        if self.failure:
            return
        try:
            self._classifier = pickle.loads(self._pickled)  # noqa: S301 - from the recovery directory alone
        except Exception as error:
            raise StateError(
                f"model {self.name} cannot be restored: {type(error).__name__}: {error}",
                "run with the packages that it was made with, or declare it under another name",
            ) from None

    def learn(self, batch: TrainingBatch) -> None:
        """Learn the calibration, then the examples that have matured."""
        super().learn(batch)
        block = batch.matured
        if self.model.config.treated_examples != "keep":
            block = block.take(np.flatnonzero(~block.treated))
        if self.failure or not len(block):
            return
        features = corrected(block.features, block.as_of_day * US_PER_DAY, self.model.exposures)
        rows = self._imputer.learn_transform_rows(features)
        self._learnt = taught(self._learnt, rows, block.churned)
        try:
            for x, churned in zip(as_dicts(rows), block.churned.tolist(), strict=True):
                self._classifier.learn_one(x, churned)
        except Exception as error:
            self._fail("could not learn", error)
            return
        self._pickle()

    def _version(self, tick_day: int, exposures: dict[int, float]) -> ModelVersion:
        means = tuple(self._imputer.means.tolist())
        calibration = self._prior_log_odds, self._map.slope, self._map.offset
        return RiverVersion(self.name, tick_day, self._pickled, self._learnt, means, *calibration, exposures)

    def _raw_log_odds(self, block: ExampleBlock, as_of_us: int) -> Floats:
        rows = imputed(corrected(block.features, as_of_us, self.model.exposures), self._imputer.means)
        try:
            found = [probability(self._classifier, x) for x in as_dicts(rows)]
        except Exception as error:
            self._fail("could not predict", error)
            return np.full(len(block), np.nan)
        return np.array([self._prior_log_odds if p is None else logit(p) for p in found], np.float64)

    def _fail(self, what: str, error: Exception) -> None:
        detail = _ADDRESS.sub("0x...", f"{type(error).__name__}: {error}".replace("\n", " "))
        self.failure = f"{self.name} {what}: {detail}"[:_DETAIL_MAX]
        self._pickled = b""

    def new_failure(self, day: int, champion: str, *, scored: bool) -> DriftAlarm | None:
        """The alarm that it is out of the contest, once.

        Parameters
        ----------
        day
            The tick's, in days since the Unix epoch.
        champion
            Which model scores from now on.
        scored
            Whether this one did.
        """
        if not self.failure or self._told:
            return None
        self._told = True
        return drift_alarm(
            day * US_PER_DAY,
            "performance",
            self.name,
            "model_failure",
            statistic=1.0,
            threshold=0.0,
            level=CRITICAL if scored else WARNING,
            action=f"took {self.name} out of the contest; {champion} scores. Mended, it contends under another name",
            detail=self.failure,
        )


def failed(contender: object) -> bool:
    """Whether it is a declared model that is out of the contest."""
    return isinstance(contender, DeclaredContender) and bool(contender.failure)
