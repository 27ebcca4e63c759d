"""A blend of two models, weighted by outcomes: one that waits for labels, and one that follows the last weeks.

What a week shows is known after a week, long before the labels of the horizon. So both predictions of a week ago are
compared with it, and the one that would have been less surprised gets more of the weight. As long as nothing changes,
the two err differently and the blend is as good as the better one. When other accounts leave than before, the weight
moves within weeks to the one that has seen it.

The blend is a weighted sum of log-odds, so it is a sum of curves, as its parts are. How much of it, and of what parts
them, is right for the horizon is learnt from matured labels, with a long memory: the relation of the risk of a week to
that of the horizon does not depend on who leaves. It scores only where it has been better than its first part, or where
the last weeks are plain: of many companies' data the risk of a week says little about that of two months.

References
----------
Vovk, "Aggregating strategies", COLT 1990: weights by past loss. Here tempered, since losses of one week err together,
and fading, so that the weight comes back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.example_block import ExampleBlock
from c360_stream.labels.ledger import HAZARD_DAYS_MAX
from c360_stream.learning.contender import Baseline, Contender
from c360_stream.learning.schemes import TrainingBatch
from c360_stream.models.additive import AdditiveVersion, summed_grids
from c360_stream.models.calibration import LogOddsMap
from c360_stream.models.churn_model import ModelConfig
from c360_stream.models.classifier import LOG_ODDS_MAX, logit, logits, sigmoid
from c360_stream.models.columns import Floats
from c360_stream.models.logistic import SecondOrderLogistic
from c360_stream.models.names import SchemeName
from c360_stream.models.treatment import Treatment
from c360_stream.models.version import ModelVersion
from c360_stream.monitoring.quality import RISK_MARGIN
from c360_stream.state.fields import Kept, fields

# Days after which a loss counts for half.
HALF_LIFE_DAYS = 14
_KEEP = 0.5 ** (1 / HALF_LIFE_DAYS)
# Share of the difference in log likelihood that is believed.
_TEMPER = 0.1
# Of the second model without evidence: it is the noisier one.
WEIGHT_START = 1 / 3
# Of the stack: it remembers ten times as long as the calibration of a model by itself.
_FORGETTING = 1e-8
# Standard errors by which it has to lead.
LEAD_ERRORS = 2.0
# Share of the second model at which the last weeks are plain enough, and at which they are no more.
_WEIGHT_PLAIN, _WEIGHT_NO_LONGER_PLAIN = 0.9, 0.5
_KEEP_LEAD = 0.5 ** (1 / 90)
_STACK_VARIANCE, _STACK_OFFSET_VARIANCE = 0.1, 0.25


class Mixture(Kept):
    """How much of the second model to take.

    Parameters
    ----------
    horizon_days
        Of the log-odds that are mixed; the labels that decide are those of a week.
    stride_days
        Between the examples of one account: below a week their labels overlap, and each counts for less.
    """

    kept = fields(_weekly=tuple[LogOddsMap, LogOddsMap], _advantage=float)

    def __init__(self, horizon_days: int, stride_days: int = HAZARD_DAYS_MAX) -> None:
        self._temper = _TEMPER / math.ceil(HAZARD_DAYS_MAX / stride_days)
        start = math.log(min(HAZARD_DAYS_MAX, horizon_days) / horizon_days)
        # From each model's log-odds to those of a week: their levels are not what is compared.
        self._weekly = (LogOddsMap(1.0, start), LogOddsMap(1.0, start))
        self._advantage = 0.0

    @property
    def weight(self) -> float:
        """Share of the second model, 0 to 1."""
        log_odds = logit(WEIGHT_START) + self._temper * self._advantage
        return sigmoid(min(max(log_odds, -LOG_ODDS_MAX), LOG_ODDS_MAX))

    def fade(self) -> None:
        """Let a day pass."""
        self._advantage *= _KEEP

    def judge(self, first: Floats, second: Floats, churned: Floats) -> None:
        """Compare both predictions with what the week has shown, one example after another.

        Parameters
        ----------
        first, second
            Log-odds, shape (n,), as predicted at the as-of of each.
        churned
            Shape (n,): 1 for an account that cancelled within the week.
        """
        one, other = self._weekly
        for z, w, y in zip(first.tolist(), second.tolist(), churned.tolist(), strict=True):
            p, q = sigmoid(one.learn(z, y)), sigmoid(other.learn(w, y))
            right, before = (q, p) if y else (1.0 - q, 1.0 - p)
            self._advantage += math.log(max(right, RISK_MARGIN) / max(before, RISK_MARGIN))

    def mix(self, first: Floats, second: Floats) -> Floats:
        """The blend's log-odds, shape (n,)."""
        weight = self.weight
        return np.asarray((1.0 - weight) * first + weight * second)


class Blend(Contender):
    """A blend of two other contenders, which learn by themselves; it has to learn before they do.

    Parameters
    ----------
    name, config, scheme
        As of any contender.
    contenders
        All models by name, its parts among them; asked at each tick.
    stride_days
        Between the examples of one account.
    """

    kept = Baseline.kept | fields(
        _mixture=Mixture, _stack=SecondOrderLogistic, _lead=float, _squares=float, _leads=bool, _plain=bool
    )

    def __init__(
        self,
        name: str,
        config: ModelConfig,
        scheme: SchemeName,
        contenders: Mapping[str, Contender],
        *,
        stride_days: int = HAZARD_DAYS_MAX,
    ) -> None:
        super().__init__(name, config, scheme)
        self._contenders = contenders
        self._treatment = Treatment(config.treated_examples, config.treated_weight)
        self._mixture = Mixture(config.horizon_days, stride_days)
        self._stack = SecondOrderLogistic(
            ("mixed", "contrast"),
            prior_variance=_STACK_VARIANCE,
            intercept=0.0,
            intercept_variance=_STACK_OFFSET_VARIANCE,
            forgetting=_FORGETTING,
            start=(1.0, 0.0),
        )
        # Log loss that it has saved against its first part, and squared by example; older outcomes count less.
        self._lead = self._squares = 0.0
        self._leads = self._plain = False
        self._overlap = math.ceil(config.horizon_days / stride_days)

    @property
    def _parts(self) -> tuple[Contender, Contender]:
        first, second = self.entry.parts
        return self._contenders[first], self._contenders[second]

    @property
    def weight(self) -> float:
        """Share of the second part."""
        return self._mixture.weight

    def learn(self, batch: TrainingBatch) -> None:
        """Learn the calibration from what matured, and the weight from the examples that are a week old."""
        matured = batch.matured
        self._lead *= _KEEP_LEAD
        self._squares *= _KEEP_LEAD
        if batch.matured_part_log_odds is not None:
            first, second = batch.matured_part_log_odds
            said = np.column_stack([batch.raw_log_odds, second - first])
            rows = self._treatment.calibrating(matured.treated)
            rows = rows[~np.isnan(said[rows]).any(axis=1)]
            counts, outcomes = self._treatment.importance(matured.treated)[rows], matured.churned[rows]
            blended = self._stack.learn_rows(said[rows], outcomes.astype(np.float64), counts)
            for z, w, y in zip(first[rows].tolist(), blended.tolist(), outcomes.tolist(), strict=True):
                saved = _loss(z, y) - _loss(w, y)
                self._lead += saved
                self._squares += saved * saved
        # As if all examples of an account within a horizon were one. It gives up once it is behind.
        error = math.sqrt(self._squares * self._overlap)
        self._leads = self._lead > (0.0 if self._leads else LEAD_ERRORS * error)
        # It is warm once it has been calibrated to outcomes of its own predictions.
        self.model.count(matured.churned[~np.isnan(batch.raw_log_odds)])
        self._mixture.fade()
        if batch.part_log_odds is not None:
            first, second = batch.part_log_odds
            rows = self._treatment.calibrating(batch.week_old.treated)
            rows = rows[~np.isnan(first[rows] + second[rows])]
            churned = batch.week_old.churned[rows].astype(np.float64)
            self._mixture.judge(first[rows], second[rows], churned)
        self._plain = self.weight > (_WEIGHT_NO_LONGER_PLAIN if self._plain else _WEIGHT_PLAIN)

    def past_log_odds(
        self, risk_of: Callable[[str], Floats], raw_log_odds_of: Callable[[str], Floats]
    ) -> tuple[Floats, Floats]:
        """What the parts predicted for some examples, as log-odds on the level at which they are mixed.

        Parameters
        ----------
        risk_of, raw_log_odds_of
            Give a model's risks, and its log-odds before calibration; NaN where it gave none.
        """
        first, second = self.entry.parts
        return logits(risk_of(first)), raw_log_odds_of(second) + self._parts[1].start

    @property
    def ready(self) -> bool:
        """Whether it has been calibrated to outcomes of its own, both parts know enough, and there is reason for it.

        Either it has foreseen the outcomes of the horizon better than its first part, or the last weeks show plainly
        that the second one is right, long before there are such outcomes.
        """
        return self.model.warm and self._parts_ready and (self._leads or self._plain)

    @property
    def _parts_ready(self) -> bool:
        """Whether both parts know enough to be compared."""
        return all(part.model.warm for part in self._parts)

    def _log_odds(self, block: ExampleBlock, as_of_us: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Of the first part, calibrated; of the second, as it learns them, at the level that it starts from."""
        first, second = self._parts
        return (
            first.model.calibrated(first.model.raw_log_odds(block.features, as_of_us)),
            second.model.raw_log_odds(block.features, as_of_us) + second.start,
        )

    def raw_log_odds(self, block: ExampleBlock, as_of_us: int) -> Floats:
        """Log-odds of the blend before its calibration, shape (n,); NaN while a part is not warm."""
        if not self._parts_ready or not len(block):
            return np.full(len(block), np.nan)
        return self._mixture.mix(*self._log_odds(block, np.full(len(block), as_of_us, np.int64)))

    def version(self, tick_day: int) -> ModelVersion:
        """The blend's version; the first part's until it is warm itself."""
        first, second = self._parts
        exposures = self.model.recent_exposures(tick_day)
        if not self.ready:
            return first.version(tick_day)
        offset, slope, contrast = self._stack.weights.tolist()
        share = slope * self.weight + contrast
        one = first.model.linear(slope - share)
        other = second.model.linear(share, calibrated=False)
        base = one.base + other.base + share * second.start + offset
        curves = {name: curve.plus(other.curves[name]) for name, curve in one.curves.items()}
        pairs = summed_grids((*one.pairs, *other.pairs))
        return AdditiveVersion(self.name, tick_day, base, curves, exposures, pairs=pairs)


def _loss(log_odds: float, churned: bool) -> float:
    """Log loss of a prediction."""
    risk = sigmoid(log_odds)
    return -math.log(max(risk if churned else 1.0 - risk, RISK_MARGIN))
