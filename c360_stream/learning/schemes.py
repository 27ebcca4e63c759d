"""Learning schemes: what to make of examples whose label takes a horizon to mature.

- `matured` learns an example once its label is known: late, and right. Its risks are calibrated as they are learnt.
- `fake_negative_weighted` learns every example as stayed at once, and again as churned when its account cancels;
  importance weights make up for the labels that were wrong.
- `hazard` learns whether the account cancels within a week, which is known after a week.

The last two notice a change weeks earlier. Neither is calibrated by itself: its log-odds are mapped to those of the
matured labels by a slope and an offset, learnt from the log-odds predicted at the as-of.

What treated examples teach (`models/treatment.py`) is decided by what is known of them when they teach: in a horizon,
or in the first week of an example. `fake_negative_weighted` teaches before anybody can have been contacted; once it has
taken an account for one that stays, holding back that it left would teach what is wrong. So there treated examples are
left out, or weigh less, in the calibration alone, and `model` learns no effect.

References
----------
Ktena et al., "Addressing delayed feedback for continuous training with neural networks in CTR prediction", RecSys 2019:
the fake negative weighted loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.example_block import ExampleBlock
from c360_stream.labels.ledger import HAZARD_DAYS_MAX
from c360_stream.models.churn_model import ChurnModel
from c360_stream.models.classifier import sigmoid
from c360_stream.models.columns import Floats
from c360_stream.models.names import SchemeName


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """What a tick has to teach, all shards' examples in canonical order.

    Parameters
    ----------
    matured, week_old, churned_before_horizon, opened
        As in `TickExamples`; `opened` are those of the tick before.
    raw_log_odds
        Log-odds before calibration that the model gave each matured example at its as-of; NaN where it gave none.
    part_log_odds
        To a blend: log-odds that its parts gave each week-old example at its as-of; NaN where one gave none.
    matured_part_log_odds
        The same of each matured example.
    """

    matured: ExampleBlock
    week_old: ExampleBlock
    churned_before_horizon: ExampleBlock
    opened: ExampleBlock
    raw_log_odds: Floats
    part_log_odds: tuple[Floats, Floats] | None = None
    matured_part_log_odds: tuple[Floats, Floats] | None = None


class Scheme(Protocol):
    """How a model learns."""

    def learn(self, model: ChurnModel, batch: TrainingBatch) -> None:
        """Learn what a tick has to teach."""

    def learn_again(self, model: ChurnModel, matured: ExampleBlock, week_old: ExampleBlock) -> None:
        """Teach a model that has begun a generation the examples of earlier ones, which it has counted already.

        Parameters
        ----------
        matured, week_old
            Examples of many days, in canonical order: with the label of the horizon, and with that of a week.
        """

    def start(self, horizon_days: int) -> float:
        """Log-odds that the calibration adds before any example."""


class Matured:
    """Waits for labels."""

    def learn(self, model: ChurnModel, batch: TrainingBatch) -> None:
        """Learn the examples that have matured."""
        block = batch.matured
        if len(block):
            model.learn(block.features, block.churned, _as_of_us(block), block.treated)

    def learn_again(self, model: ChurnModel, matured: ExampleBlock, week_old: ExampleBlock) -> None:
        """Learn the labels of the horizon."""
        model.teach(matured.features, matured.churned, _as_of_us(matured), matured.treated)

    def start(self, horizon_days: int) -> float:
        """No correction."""
        return 0.0


class FakeNegativeWeighted:
    """Takes every example for one that stays until it is known better."""

    def learn(self, model: ChurnModel, batch: TrainingBatch) -> None:
        """Learn yesterday's examples as stayed, those whose account has cancelled as churned."""
        _calibrate(model, batch)
        for block, outcome in ((batch.opened, 0.0), (batch.churned_before_horizon, 1.0)):
            if not len(block):
                continue
            as_of_us = _as_of_us(block)
            risk = np.array([sigmoid(z) for z in model.raw_log_odds(block.features, as_of_us).tolist()])
            importance = 1.0 + risk if outcome else (1.0 - risk) * (1.0 + risk)
            outcomes = np.full(len(block), outcome)
            model.learn_weighted(block.features, outcomes, importance, as_of_us)

    def learn_again(self, model: ChurnModel, matured: ExampleBlock, week_old: ExampleBlock) -> None:
        """Learn the labels of the horizon, which are known by now."""
        outcomes = matured.churned.astype(np.float64)
        before = model.learn_weighted(matured.features, outcomes, np.ones(len(matured)), _as_of_us(matured))
        model.calibrate(before, matured.churned, matured.treated)

    def start(self, horizon_days: int) -> float:
        """No correction."""
        return 0.0


class Hazard:
    """Learns the next week's risk."""

    def learn(self, model: ChurnModel, batch: TrainingBatch) -> None:
        """Learn the examples that are a week old."""
        _calibrate(model, batch)
        block = batch.week_old
        if len(block):
            outcomes = block.churned.astype(np.float64)
            counts = np.ones(len(block))
            model.learn_weighted(block.features, outcomes, counts, _as_of_us(block), block.treated)

    def learn_again(self, model: ChurnModel, matured: ExampleBlock, week_old: ExampleBlock) -> None:
        """Learn the labels of a week; calibrate by what it said of each example before it learnt it."""
        counts, outcomes = np.ones(len(week_old)), week_old.churned.astype(np.float64)
        before = model.learn_weighted(week_old.features, outcomes, counts, _as_of_us(week_old), week_old.treated)
        said = dict(zip(zip(week_old.as_of_day.tolist(), week_old.ids, strict=True), before.tolist(), strict=True))
        keys = zip(matured.as_of_day.tolist(), matured.ids, strict=True)
        raw = np.array([said.get(key, math.nan) for key in keys], np.float64)
        known = ~np.isnan(raw)
        model.calibrate(raw[known], matured.churned[known], matured.treated[known])

    def start(self, horizon_days: int) -> float:
        """As many times the odds as the horizon has weeks."""
        return math.log(horizon_days / min(HAZARD_DAYS_MAX, horizon_days))


_BY_NAME: dict[SchemeName, Scheme] = {
    "matured": Matured(),
    "fake_negative_weighted": FakeNegativeWeighted(),
    "hazard": Hazard(),
}


def scheme_named(name: SchemeName) -> Scheme:
    """The scheme of a name."""
    return _BY_NAME[name]


def _calibrate(model: ChurnModel, batch: TrainingBatch) -> None:
    known = ~np.isnan(batch.raw_log_odds)
    model.calibrate(batch.raw_log_odds[known], batch.matured.churned[known], batch.matured.treated[known])
    model.count(batch.matured.churned)


def _as_of_us(block: ExampleBlock) -> NDArray[np.int64]:
    return block.as_of_day * US_PER_DAY
