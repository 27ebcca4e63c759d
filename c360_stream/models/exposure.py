"""Usage windows put right for days on which the product was not there to be used.

After an outage every account's usage is depressed, and a model would flag the whole base. The exposure of a day is the
share of its usual usage that could happen: 1 on a normal day, 0 when the product was down from midnight to midnight.
Totals and averages over a window of N days are multiplied by N / (sum of its days' exposures); silence is shortened
by the time lost to it. Counts of distinct things (features, seats, users who comment) are left as they are:
they saturate, so two lost days in thirty take next to nothing from them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.definitions import INDEX
from c360_stream.models.columns import Floats

WINDOW_DAYS_MAX = 30
# Bounds the correction: when hardly anything of a window is left there is nothing to scale up from.
EXPOSURE_MIN = 0.25

_SCALED = {
    "avg_dau_7d": 7,
    "avg_dau_14d": 14,
    "avg_dau_30d": 30,
    "active_days_30d": 30,
    "invites_sent_30d": 30,
    "export_requests_30d": 30,
}


def corrected(features: Floats, as_of_us: int | NDArray[np.int64], exposures: Mapping[int, float]) -> Floats:
    """Feature rows as they would be, had the product been there all the time.

    Parameters
    ----------
    features
        Shape (n, 21), NaN for null. Never changed; returned as it is if there is nothing to correct.
    as_of_us
        As-of time of every row, or of each, in microseconds since the epoch.
    exposures
        Day since the epoch -> exposure, 0..1. Days left out have exposure 1; days outside a row's windows do not
        touch it.
    """
    # At midnight exactly the last day of a window is the one that ended; else it is the day in progress.
    last = (np.asarray(as_of_us) - 1) // US_PER_DAY
    if not exposures or not len(features):
        return features
    result = features.copy()
    factors = {window: _factor(last, window, exposures) for window in (7, 14, 30)}
    for name, window in _SCALED.items():
        result[:, INDEX[name]] *= factors[window]
    days = INDEX["active_days_30d"]
    result[:, days] = np.minimum(result[:, days], WINDOW_DAYS_MAX)
    for name in ("usage_trend_ratio_7d_30d", "action_trend_ratio_7d_30d"):
        result[:, INDEX[name]] *= factors[7] / factors[30]
    silence = INDEX["days_since_last_activity"]
    lost = _lost_silence(features[:, silence], np.asarray(as_of_us), last, exposures)
    result[:, silence] = np.maximum(features[:, silence] - lost, 0.0)
    return result


def _lost(day: int, last: NDArray[np.int64], window: int, exposures: Mapping[int, float]) -> Floats:
    """The share of `day` that is lost to windows which end with the days `last`."""
    return np.where((day <= last) & (day > last - window), 1.0 - exposures[day], 0.0)


def _factor(last: NDArray[np.int64], window: int, exposures: Mapping[int, float]) -> Floats:
    lost = np.zeros(last.shape)
    for day in sorted(exposures):
        lost += _lost(day, last, window, exposures)
    return np.asarray(window / np.maximum(window - lost, window * EXPOSURE_MIN))


def _lost_silence(
    silence: Floats, as_of_us: NDArray[np.int64], last: NDArray[np.int64], exposures: Mapping[int, float]
) -> Floats:
    """How much of each row's silence, in days, fell on time in which the product was not there.

    Only the last 30 days count, as in the longest window: versions carry no older exposures.
    """
    now = as_of_us / US_PER_DAY
    since = now - silence
    total = np.zeros(silence.shape)
    for day in sorted(exposures):
        overlap = np.minimum(now, day + 1.0) - np.maximum(since, float(day))
        total += _lost(day, last, WINDOW_DAYS_MAX, exposures) * np.maximum(overlap, 0.0)
    return total
