"""The churn model: a River pipeline that learns from matured examples and gives versions to score with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import compose

from c360_stream.features.definitions import SPECS
from c360_stream.models.additive import AdditiveVersion, Curve, PairGrid
from c360_stream.models.basis import Basis
from c360_stream.models.calibration import PlattScaling
from c360_stream.models.classifier import RowClassifier
from c360_stream.models.columns import Floats
from c360_stream.models.exposure import WINDOW_DAYS_MAX, corrected
from c360_stream.models.logistic import SecondOrderLogistic
from c360_stream.models.names import TreatedPolicy
from c360_stream.models.prior import prior_version
from c360_stream.models.treatment import Treated, Treatment
from c360_stream.models.version import ModelVersion
from c360_stream.state.fields import Kept, PlainState, copied, fields, of_kind

MODEL_NAME = "online-logistic"
# Rows prepared at once: bounds memory; what is learnt does not depend on it.
_ROWS_MAX = 4096
EXPOSURES_KEPT_DAYS = 730
"""A new generation learns the examples of the replay buffer, however old they are."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the model takes from the settings of the same names."""

    warmup_outcomes: int = 400
    warmup_churned: int = 40
    prior_churn_rate: float = 0.08
    horizon_days: int = 60
    treated_examples: TreatedPolicy = "keep"
    treated_weight: float = 0.5
    monotone_features: tuple[str, ...] = ()


class Linear(NamedTuple):
    """A sum of curves and grids: log-odds of the average account, one curve per feature, one grid per pair."""

    base: float
    curves: dict[str, Curve]
    pairs: tuple[PairGrid, ...]


class ChurnModel(Kept):
    """Learns the probability of churn within the horizon, one matured example after another.

    `pipeline` is an ordinary River pipeline over dicts of features; `learn` feeds the same steps with arrays.
    The first generation has the basis that is shipped, the next ones have what `begin` is given. What has been learnt
    is a function of the sequence of examples; how it was cut into calls changes last bits only.
    `models/treatment.py` decides what treated examples teach; where none are given there are none.

    Parameters
    ----------
    config
        Settings.
    name
        Name of its versions.
    classifier
        Makes the last step, given the columns: `SecondOrderLogistic` if absent.
    calibration_start
        Log-odds that the calibration adds before any example.
    """

    kept = fields(
        outcomes=int,
        churned=int,
        exposures=copied(dict[int, float]),
        _basis=Basis,
        _classifier=of_kind("classifier"),
        _calibration=PlattScaling,
    )

    def __init__(
        self,
        config: ModelConfig | None = None,
        name: str = MODEL_NAME,
        classifier: Callable[[tuple[str, ...]], RowClassifier] = SecondOrderLogistic,
        calibration_start: float = 0.0,
    ) -> None:
        self.config = config or ModelConfig()
        self.name = name
        self.outcomes = 0
        self.churned = 0
        self.exposures: dict[int, float] = {}
        self._treatment = Treatment(self.config.treated_examples, self.config.treated_weight)
        self._make_classifier, self._calibration_start = classifier, calibration_start
        self.begin(Basis.shipped())

    def begin(self, basis: Basis) -> None:
        """Begin a generation: forget what was learnt, but not how many outcomes are known, and take another basis."""
        self._basis = basis
        self._classifier = self._make_classifier((*basis.output_names, *self._treatment.columns))
        self._calibration = PlattScaling(self._classifier, start=self._calibration_start)
        self._directions = basis.directions(
            {spec.name: spec.bad for spec in SPECS if spec.bad and spec.name in self.config.monotone_features}
        )

    @property
    def pipeline(self) -> compose.Pipeline:
        """What learns and scores, over dicts of features."""
        return compose.Pipeline(self._basis, self._calibration)

    def learn(
        self,
        features: Floats,
        churned: NDArray[np.bool_] | Floats,
        as_of_us: NDArray[np.int64],
        treated: Treated | None = None,
    ) -> None:
        """Learn from examples whose label is known.

        Parameters
        ----------
        features
            Shape (n, 21), as they were stored when the example was taken; in the order (as-of, account).
        churned
            Label of each.
        as_of_us
            As-of time of each.
        treated
            Whether the account of each was contacted, bool of shape (n,).
        """
        self.teach(features, churned, as_of_us, treated)
        self.count(churned)

    def teach(
        self,
        features: Floats,
        churned: NDArray[np.bool_] | Floats,
        as_of_us: NDArray[np.int64],
        treated: Treated | None = None,
    ) -> None:
        """`learn` without counting: these outcomes were counted by an earlier generation."""
        outcomes = np.asarray(churned, dtype=np.float64)
        treated = _known(treated, len(outcomes))
        importance = self._treatment.importance(treated)
        for part in _parts(self._treatment.teaching(treated)):
            rows = self._prepared(features[part], as_of_us[part], treated[part])
            self._calibration.learn_rows(rows, outcomes[part], importance[part])

    def learn_weighted(
        self,
        features: Floats,
        outcomes: Floats,
        importance: Floats,
        as_of_us: NDArray[np.int64],
        treated: Treated | None = None,
    ) -> Floats:
        """Teach the classifier alone, examples of some importance; `calibrate` has to follow once labels mature.

        Returns
        -------
        Log-odds of each example from just before it was learnt, shape (n,); NaN for one that teaches nothing.
        """
        treated = _known(treated, len(outcomes))
        importance = importance * self._treatment.importance(treated)
        before = np.full(len(outcomes), np.nan)
        for part in _parts(self._treatment.teaching(treated)):
            rows = self._prepared(features[part], as_of_us[part], treated[part])
            before[part] = self._classifier.learn_rows(rows, outcomes[part], importance[part])
        return before

    def calibrate(self, raw_log_odds: Floats, churned: NDArray[np.bool_], treated: Treated | None = None) -> None:
        """Learn the calibration from the log-odds predicted at the as-of of n examples that have matured."""
        treated = _known(treated, len(churned))
        rows, importance = self._treatment.calibrating(treated), self._treatment.importance(treated)
        self._calibration.correct_rows(raw_log_odds[rows], np.asarray(churned, np.float64)[rows], importance[rows])

    def count(self, outcomes: NDArray[np.bool_] | Floats) -> None:
        """Count outcomes that have matured, shape (n,): once there are enough, the model scores."""
        self.outcomes += len(outcomes)
        self.churned += int(np.count_nonzero(outcomes))

    def raw_log_odds(self, features: Floats, as_of_us: NDArray[np.int64]) -> Floats:
        """Log-odds before calibration of accounts that nobody is going to contact, shape (n,)."""
        nobody = _known(None, len(features))
        return self._classifier.log_odds_rows(self._prepared(features, as_of_us, nobody), self._held_weights())

    def _prepared(self, features: Floats, as_of_us: NDArray[np.int64], treated: Treated) -> Floats:
        """Rows as the classifier takes them."""
        rows = self._basis.transform_rows(corrected(features, as_of_us, self.exposures))
        return self._treatment.with_columns(rows, treated)

    def _held_weights(self) -> Floats:
        """The classifier's weights, steps of curves that have a direction held to it; shape (1 + columns,)."""
        weights = self._classifier.weights
        steps = weights[1 : len(self._directions) + 1]
        steps[self._directions * steps < 0.0] = 0.0
        return weights

    def expose(self, day: int, share: float) -> None:
        """Note that only `share` (0..1) of a day's usual usage could happen; examples not yet learnt heed it."""
        self.exposures[day] = share

    @property
    def warm(self) -> bool:
        """Whether enough outcomes are known to score with what was learnt. Never turns back."""
        return self.outcomes >= self.config.warmup_outcomes and self.churned >= self.config.warmup_churned

    def version(self, tick_day: int) -> ModelVersion:
        """The version to score with from the tick at the start of `tick_day` on; forgets exposures past use."""
        recent = self.recent_exposures(tick_day)
        if not self.warm:
            return prior_version(tick_day, self.config.prior_churn_rate, recent)
        base, curves, pairs = self.linear(1.0)
        return AdditiveVersion(self.name, tick_day, base, curves, recent, pairs=pairs)

    def linear(self, factor: float, *, calibrated: bool = True) -> Linear:
        """The log-odds, times a factor, as a base, one curve per feature and one grid per pair."""
        slope, offset = (self._calibration.slope, self._calibration.offset) if calibrated else (1.0, 0.0)
        weights = self._held_weights()
        base = factor * (slope * float(weights[0]) + offset)
        # The column of treated examples is 0 for every scored account.
        columns = len(self._basis.centre)
        return Linear(base, *self._basis.curves(factor * slope * weights[1 : columns + 1]))

    def calibrated(self, raw_log_odds: Floats) -> Floats:
        """Log-odds after calibration, shape (n,)."""
        return self._calibration.slope * raw_log_odds + self._calibration.offset

    def recent_exposures(self, tick_day: int) -> dict[int, float]:
        """The exposures that windows reach from `tick_day` on; forgets those that no example to learn reaches."""
        oldest = tick_day - EXPOSURES_KEPT_DAYS
        self.exposures = {day: share for day, share in sorted(self.exposures.items()) if day >= oldest}
        # A day more than windows reach: the last scores are made again, to explain what has moved since.
        return {day: share for day, share in self.exposures.items() if day >= tick_day - WINDOW_DAYS_MAX - 1}

    def restore(self, state: PlainState) -> None:
        """Restore what `state` gave, of whatever basis."""
        basis = Basis()
        basis.restore(state["basis"])
        self.begin(basis)
        super().restore(state)

    def restored(self) -> None:
        """The model that was kept may be of another policy, with more columns or fewer."""
        self._classifier.fit_columns()


def _known(treated: Treated | None, rows: int) -> Treated:
    return np.zeros(rows, np.bool_) if treated is None else treated


def _parts(rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    return (rows[start : start + _ROWS_MAX] for start in range(0, len(rows), _ROWS_MAX))
