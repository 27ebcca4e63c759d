"""The churn model: a River pipeline that learns from matured examples and gives versions to score with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import compose

from c360_stream.features.definitions import FEATURES
from c360_stream.learning.calibration import PlattScaling
from c360_stream.learning.columns import Floats
from c360_stream.learning.curves import CURVES, NULLABLE
from c360_stream.learning.exposure import WINDOW_DAYS_MAX, corrected
from c360_stream.learning.logistic import SecondOrderLogistic
from c360_stream.learning.preprocessing import MISSING, NullImputer, Ramps, StandardScaler
from c360_stream.learning.prior import prior_version
from c360_stream.learning.version import Curve, ModelVersion

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


class ChurnModel:
    """Learns the probability of churn within the horizon, one matured example after another.

    `pipeline` is an ordinary River pipeline over dicts of features; `learn` feeds the same steps with arrays.
    What has been learnt is a function of the sequence of examples, not of how it was cut into calls.
    """

    def __init__(self, config: ModelConfig | None = None) -> None:
        self.config = config or ModelConfig()
        self.outcomes = 0
        self.churned = 0
        self.exposures: dict[int, float] = {}
        self._imputer = NullImputer(FEATURES, NULLABLE)
        self._ramps = Ramps(CURVES, (*FEATURES, *(name + MISSING for name in NULLABLE)))
        self._scaler = StandardScaler(self._ramps.output_names)
        self._classifier = SecondOrderLogistic(self._ramps.output_names)
        self._calibration = PlattScaling(self._classifier)
        self.pipeline = compose.Pipeline(self._imputer, self._ramps, self._scaler, self._calibration)

    def learn(self, features: Floats, churned: NDArray[np.bool_] | Floats, as_of_us: NDArray[np.int64]) -> None:
        """Learn from examples whose label is known.

        Parameters
        ----------
        features
            Shape (n, 21), as they were stored when the example was taken; in the order (as-of, account).
        churned
            Label of each.
        as_of_us
            As-of time of each.
        """
        outcomes = np.asarray(churned, dtype=np.float64)
        for start in range(0, len(outcomes), _ROWS_MAX):
            part = slice(start, start + _ROWS_MAX)
            rows = self._imputer.learn_transform_rows(corrected(features[part], as_of_us[part], self.exposures))
            self._calibration.learn_rows(
                self._scaler.learn_transform_rows(self._ramps.transform_rows(rows)), outcomes[part]
            )
        self.outcomes += len(outcomes)
        self.churned += int(np.count_nonzero(outcomes))

    def expose(self, day: int, share: float) -> None:
        """Note that only `share` (0..1) of a day's usual usage could happen; examples not yet learnt heed it."""
        self.exposures[day] = share

    @property
    def warm(self) -> bool:
        """Whether enough outcomes are known to score with what was learnt. Never turns back."""
        return self.outcomes >= self.config.warmup_outcomes and self.churned >= self.config.warmup_churned

    def version(self, tick_day: int) -> ModelVersion:
        """The version to score with from the tick at the start of `tick_day` on; forgets exposures past use."""
        oldest = tick_day - self.config.horizon_days - 2 * WINDOW_DAYS_MAX
        self.exposures = {day: share for day, share in sorted(self.exposures.items()) if day >= oldest}
        recent = {day: share for day, share in self.exposures.items() if day >= tick_day - WINDOW_DAYS_MAX}
        if not self.warm:
            return prior_version(tick_day, self.config.prior_churn_rate, recent)
        slope, offset = self._calibration.slope, self._calibration.offset
        base = slope * float(self._classifier.weights[0]) + offset
        return ModelVersion(MODEL_NAME, tick_day, base, self._curves(), recent)

    def _curves(self) -> dict[str, Curve]:
        """Each feature's ramps and indicator, weighted and added up: the same model with nothing left to multiply."""
        means, deviations = self._scaler.moments
        weights = self._calibration.slope * self._classifier.weights[1:] / deviations
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

    def state(self) -> dict[str, Any]:
        """Plain data for `from_state`."""
        return {
            "outcomes": self.outcomes,
            "churned": self.churned,
            "exposures": [[day, share] for day, share in sorted(self.exposures.items())],
            "imputer": self._imputer.state(),
            "scaler": self._scaler.state(),
            "classifier": self._classifier.state(),
            "calibration": self._calibration.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], config: ModelConfig | None = None) -> ChurnModel:
        """A model that goes on from a `state()`."""
        model = cls(config)
        model.outcomes, model.churned = int(state["outcomes"]), int(state["churned"])
        model.exposures = {int(day): float(share) for day, share in state["exposures"]}
        model._imputer.restore(state["imputer"])
        model._scaler.restore(state["scaler"])
        model._classifier.restore(state["classifier"])
        model._calibration.restore(state["calibration"])
        return model
