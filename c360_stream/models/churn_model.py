"""The churn model: a River pipeline that learns from matured examples and gives versions to score with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import compose

from c360_stream.features.definitions import FEATURES
from c360_stream.models.additive import AdditiveVersion, Curve
from c360_stream.models.calibration import PlattScaling
from c360_stream.models.classifier import RowClassifier
from c360_stream.models.columns import Floats
from c360_stream.models.curves import CURVES, NULLABLE
from c360_stream.models.exposure import WINDOW_DAYS_MAX, corrected
from c360_stream.models.logistic import SecondOrderLogistic
from c360_stream.models.names import TreatedPolicy
from c360_stream.models.preprocessing import MISSING, NullImputer, Ramps, StandardScaler
from c360_stream.models.prior import prior_version
from c360_stream.models.treatment import Treated, Treatment
from c360_stream.models.version import ModelVersion
from c360_stream.state.fields import Kept, copied, fields, of_kind

MODEL_NAME = "online-logistic"
# Rows prepared at once: bounds memory; what is learnt does not depend on it.
_ROWS_MAX = 4096


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the model takes from the settings of the same names."""

    warmup_outcomes: int = 400
    warmup_churned: int = 40
    prior_churn_rate: float = 0.08
    horizon_days: int = 60
    treated_examples: TreatedPolicy = "keep"
    treated_weight: float = 0.5


class Linear(NamedTuple):
    """A sum of curves: log-odds of the average account, and one curve per feature."""

    base: float
    curves: dict[str, Curve]


class ChurnModel(Kept):
    """Learns the probability of churn within the horizon, one matured example after another.

    `pipeline` is an ordinary River pipeline over dicts of features; `learn` feeds the same steps with arrays.
    What has been learnt is a function of the sequence of examples; how it was cut into calls changes last bits only.
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
        _imputer=NullImputer,
        _scaler=StandardScaler,
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
        self._imputer = NullImputer(FEATURES, NULLABLE)
        self._ramps = Ramps(CURVES, (*FEATURES, *(name + MISSING for name in NULLABLE)))
        self._scaler = StandardScaler(self._ramps.output_names)
        self._treatment = Treatment(self.config.treated_examples, self.config.treated_weight)
        self._classifier = classifier((*self._ramps.output_names, *self._treatment.columns))
        self._calibration = PlattScaling(self._classifier, start=calibration_start)
        self.pipeline = compose.Pipeline(self._imputer, self._ramps, self._scaler, self._calibration)

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
        outcomes = np.asarray(churned, dtype=np.float64)
        treated = _known(treated, len(outcomes))
        importance = self._treatment.importance(treated)
        for part in _parts(self._treatment.teaching(treated)):
            rows = self._prepared(features[part], as_of_us[part], treated[part], learn=True)
            self._calibration.learn_rows(rows, outcomes[part], importance[part])
        self.count(outcomes)

    def learn_weighted(
        self,
        features: Floats,
        outcomes: Floats,
        importance: Floats,
        as_of_us: NDArray[np.int64],
        treated: Treated | None = None,
        *,
        new: bool,
    ) -> None:
        """Teach the classifier alone, examples of some importance; `calibrate` has to follow once labels mature.

        Parameters
        ----------
        new
            Whether these examples are seen for the first time: only then do means and deviations heed them.
        """
        treated = _known(treated, len(outcomes))
        importance = importance * self._treatment.importance(treated)
        for part in _parts(self._treatment.teaching(treated)):
            rows = self._prepared(features[part], as_of_us[part], treated[part], learn=new)
            self._classifier.learn_rows(rows, outcomes[part], importance[part])

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
        return self._classifier.log_odds_rows(self._prepared(features, as_of_us, nobody, learn=False))

    def _prepared(self, features: Floats, as_of_us: NDArray[np.int64], treated: Treated, *, learn: bool) -> Floats:
        """Rows as the classifier takes them."""
        features = corrected(features, as_of_us, self.exposures)
        if learn:
            rows = self._ramps.transform_rows(self._imputer.learn_transform_rows(features))
            rows = self._scaler.learn_transform_rows(rows)
        else:
            rows = self._ramps.transform_rows(self._imputer.transform_rows(features))
            rows = self._scaler.transform_rows(rows)
        return self._treatment.with_columns(rows, treated)

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
        return AdditiveVersion(self.name, tick_day, *self.linear(1.0), recent)

    def linear(self, factor: float, *, calibrated: bool = True) -> Linear:
        """The log-odds, times a factor, as a base and one curve per feature."""
        slope, offset = (self._calibration.slope, self._calibration.offset) if calibrated else (1.0, 0.0)
        base = factor * (slope * float(self._classifier.weights[0]) + offset)
        return Linear(base, self._curves(factor * slope))

    def calibrated(self, raw_log_odds: Floats) -> Floats:
        """Log-odds after calibration, shape (n,)."""
        return self._calibration.slope * raw_log_odds + self._calibration.offset

    def recent_exposures(self, tick_day: int) -> dict[int, float]:
        """The exposures that windows reach from `tick_day` on; forgets those that nothing reaches any more."""
        oldest = tick_day - self.config.horizon_days - 2 * WINDOW_DAYS_MAX
        self.exposures = {day: share for day, share in sorted(self.exposures.items()) if day >= oldest}
        # A day more than windows reach: the last scores are made again, to explain what has moved since.
        return {day: share for day, share in self.exposures.items() if day >= tick_day - WINDOW_DAYS_MAX - 1}

    def _curves(self, slope: float) -> dict[str, Curve]:
        """Each feature's ramps and indicator, weighted and added up: the same model with nothing left to multiply."""
        means, deviations = self._scaler.moments
        # The column of treated examples is 0 for every scored account.
        weights = slope * self._classifier.weights[1 : len(deviations) + 1] / deviations
        column = {name: i for i, name in enumerate(self._ramps.output_names)}
        curves = {}
        for name, imputed in zip(FEATURES, self._imputer.means.tolist(), strict=True):
            points, heights = CURVES[name]
            present, null = np.zeros(len(points)), 0.0
            for ramp, height in zip(self._ramps.ramps_of(name), heights, strict=True):
                i = column[ramp]
                present += weights[i] * (np.array(height) - means[i])
                null += weights[i] * (float(np.interp(imputed, points, height)) - means[i])
            if name in NULLABLE:
                i = column[name + MISSING]
                present += weights[i] * (0.0 - means[i])
                null += weights[i] * (1.0 - means[i])
            curves[name] = Curve(points, tuple(present.tolist()), float(null))
        return curves

    def restored(self) -> None:
        """The model that was kept may be of another policy, with more columns or fewer."""
        self._classifier.fit_columns()


def _known(treated: Treated | None, rows: int) -> Treated:
    return np.zeros(rows, np.bool_) if treated is None else treated


def _parts(rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    return (rows[start : start + _ROWS_MAX] for start in range(0, len(rows), _ROWS_MAX))
