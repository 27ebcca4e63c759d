"""River's drift detectors used plainly, beside which the flow's own alarm is put.

Each takes the log loss of every matured label, one after the other in canonical order, with the defaults that River
gives it. DDM counts errors: a risk at or above the share that has churned so far predicts "churns". A user would
feed them the loss of the first run's stored scores, so that is what they get.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN, KSWIN, PageHinkley
from river.drift.binary import DDM

from c360_stream.monitoring.quality import RISK_MARGIN
from c360_stream.tools.evaluate.matured import Examples

KSWIN_SEED = 1
_DETECTORS: dict[str, Callable[[], Any]] = {
    "ADWIN": ADWIN,
    "PageHinkley": PageHinkley,
    "KSWIN": lambda: KSWIN(seed=KSWIN_SEED),
    "DDM": DDM,
}


def detections(
    examples: Examples, risk: NDArray[np.float64], judged: NDArray[np.bool_], horizon_days: int
) -> dict[str, list[int]]:
    """Days on which each detector found a change, one entry a detection, in order."""
    churned, predicted = examples.churned[judged], risk[judged]
    known_day = (examples.as_of_day[judged] + horizon_days).tolist()
    right = np.clip(np.where(churned, predicted, 1.0 - predicted), RISK_MARGIN, 1.0)
    loss = (-np.log(right)).tolist()
    before = np.arange(len(churned))
    rate = np.cumsum(np.append(0, churned[:-1])) / np.maximum(before, 1)
    wrong = ((predicted >= rate) != churned).tolist()
    found: dict[str, list[int]] = {}
    for name, make in _DETECTORS.items():
        detector = make()
        values = wrong if name == "DDM" else loss
        found[name] = []
        for day, value in zip(known_day, values, strict=True):
            detector.update(value)
            if detector.drift_detected:
                found[name].append(day)
    return found


def detector_row(days: list[int], begin: int, end: int, change: int | None) -> dict[str, Any]:
    """What detections are worth.

    Parameters
    ----------
    days
        Of the detections.
    begin, end
        First and last day on which there could be one.
    change
        Day of the change, if it is known.
    """
    until = end if change is None else min(change, end)
    years = max(until - begin, 1) / 365.25
    before = sum(day <= until for day in days)
    after = [] if change is None else [day for day in days if day > change]
    return {
        "detections": len(days),
        "false_per_year": before / years,
        "delay_days": after[0] - change if change is not None and after else None,
    }
