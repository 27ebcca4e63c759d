"""Generations of the additive models: when they take another basis, and from which examples.

The first begins as soon as enough outcomes are known to score with what was learnt. Another one begins whenever the
company's history has doubled: in days, or in outcomes as long as all of them are still at hand. So breakpoints follow a
young company quickly and rest later on. Fresh challengers take a new basis whenever they are begun.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.example_block import ExampleBlock
from c360_stream.learning.replay_buffer import ReplayBuffer
from c360_stream.models.basis import Basis
from c360_stream.models.churn_model import ChurnModel
from c360_stream.models.classifier import sigmoid
from c360_stream.models.exposure import corrected
from c360_stream.models.logistic import SecondOrderLogistic
from c360_stream.models.pairs import chosen_pairs
from c360_stream.state.fields import Kept, fields

_GROWTH = 2
# As-of days of the outcomes at the first generation count for so many at least.
_SPAN_DAYS_MIN = 7


class Generations(Kept):
    """Keeps week-old examples for a new generation's learners of hazards, and knows how much the last one knew.

    Parameters
    ----------
    horizon_days, stride_days
        Of the labels, and between the examples of one account.
    examples_max
        Week-old examples to keep.
    """

    kept = fields(_week_old=ReplayBuffer, _first_day=int, _outcomes=int, _span_days=int)

    def __init__(self, horizon_days: int, stride_days: int, examples_max: int) -> None:
        self._overlap = math.ceil(horizon_days / stride_days)
        self._week_old = ReplayBuffer(examples_max)
        self._first_day = 0
        self._outcomes = 0
        self._span_days = 0

    def add(self, matured: ExampleBlock, week_old: ExampleBlock) -> None:
        """Take a tick's examples."""
        self._week_old.add(week_old)
        if len(matured) and not self._first_day:
            self._first_day = int(matured.as_of_day[0])

    def week_old(self) -> ExampleBlock:
        """The examples kept, in canonical order."""
        return self._week_old.examples()

    def due(self, model: ChurnModel, examples: ReplayBuffer) -> bool:
        """Whether one begins at this tick; if so, it is noted.

        Parameters
        ----------
        model
            Any of the additive models: all have counted the same outcomes.
        examples
            Those with the labels of the horizon.
        """
        if not model.warm or not len(examples):
            return False
        span = examples.newest_day - self._first_day + 1
        longer = span >= _GROWTH * max(self._span_days, _SPAN_DAYS_MIN)
        more = examples.complete and model.outcomes >= _GROWTH * self._outcomes
        if self._outcomes and not longer and not more:
            return False
        self._outcomes, self._span_days = model.outcomes, span
        return True

    def basis(self, examples: ExampleBlock, exposures: Mapping[int, float]) -> Basis:
        """The basis that examples with labels suggest, its pairs by what single features leave unexplained."""
        features = corrected(examples.features, examples.as_of_day * US_PER_DAY, exposures)
        churned = float(examples.churned.sum()) / self._overlap
        basis = Basis.learnt(features, churned)
        model, outcomes = SecondOrderLogistic(basis.output_names), examples.churned.astype(np.float64)
        rows = basis.transform_rows(features)
        model.learn_rows(rows, outcomes)
        risk = np.array([sigmoid(z) for z in model.log_odds_rows(rows).tolist()], np.float64)
        pairs = chosen_pairs(features, outcomes - risk, risk * (1.0 - risk), self._overlap)
        return Basis.learnt(features, churned, pairs)
