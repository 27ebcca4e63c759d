"""Fixed grids to count feature values and risks on, so that shards can send integers and sums merge them.

The grid is log-linear: every power of two is cut into the same number of equal bins. A value's bin is read off
its floating-point bits, so it is exact on every machine and in every batch size, and small integers begin
bins of their own.

References
----------
The layout of HdrHistogram (Tene, http://hdrhistogram.org), extended to fractions and negative values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import FEATURES

_MANTISSA_BITS = 52
_EXPONENT_BIAS = 1023

# Features: bins from 1/32 (below it counts as zero) to 2**30, above which money in cents is one bin; 16 bins per
# power of two separate a utilisation of 0.50 from 0.53 and the integers up to 32 from each other. Only
# `days_to_renewal` is ever negative: a renewal 2**11 days overdue is as good as one overdue for longer.
_OCTAVE_MIN, _OCTAVE_MAX, _NEGATIVE_OCTAVE_MAX, _SUB_BITS = -5, 30, 11, 4
ZERO = (_NEGATIVE_OCTAVE_MAX - _OCTAVE_MIN) << _SUB_BITS
BINS = ZERO + 1 + ((_OCTAVE_MAX - _OCTAVE_MIN) << _SUB_BITS)

# For counts that are kept for many weeks: 4 bins per power of two.
_COARSE_SUB_BITS = 2
_COARSE_ZERO = (_NEGATIVE_OCTAVE_MAX - _OCTAVE_MIN) << _COARSE_SUB_BITS
COARSE_BINS = _COARSE_ZERO + 1 + ((_OCTAVE_MAX - _OCTAVE_MIN) << _COARSE_SUB_BITS)

# Risks: on the odds, from 2**-14 to 2**14, so the grid is even in the logit; 4 bins per power of two.
_ODDS_OCTAVES, _ODDS_SUB_BITS = 14, 2
RISK_BINS = 1 + ((2 * _ODDS_OCTAVES) << _ODDS_SUB_BITS)

Counts = NDArray[np.int64]


def _log_linear(magnitude: NDArray[np.float64], octave_min: int, octave_max: int, sub_bits: int) -> Counts:
    """Bin 0 below 2**octave_min, then 2**sub_bits bins per power of two; the last holds what is above."""
    prefix = magnitude.view(np.int64) >> (_MANTISSA_BITS - sub_bits)
    first = (_EXPONENT_BIAS + octave_min) << sub_bits
    index: Counts = np.clip(prefix - (first - 1), 0, (octave_max - octave_min) << sub_bits)
    return index


def bins(values: NDArray[np.float64]) -> Counts:
    """Bin of each value (shape (n,), no NaN), in 0..BINS-1, ascending with the value.

    >>> np.diff(bins(np.array([-3.0, 0.0, 1.0, 2.0, 3.0]))).min() > 0
    np.True_
    """
    magnitude = _log_linear(np.abs(values), _OCTAVE_MIN, _OCTAVE_MAX, _SUB_BITS)
    return ZERO + np.where(values < 0, -np.minimum(magnitude, ZERO), magnitude)


def coarse_bins(values: NDArray[np.float64]) -> Counts:
    """Coarse bin of each value (no NaN), in 0..COARSE_BINS-1, ascending with the value: whole bins of `bins` together.

    >>> coarse_bins(np.array([-3.0, 0.0, 0.01, 1.0, 1.3, 2.0])).tolist()
    [37, 64, 64, 85, 86, 89]
    """
    fine = bins(values) - ZERO
    coarse = (np.abs(fine) + 2 ** (_SUB_BITS - _COARSE_SUB_BITS) - 1) >> (_SUB_BITS - _COARSE_SUB_BITS)
    index: Counts = _COARSE_ZERO + np.where(fine < 0, -coarse, coarse)
    return index


def coarse_bound(index: int) -> float:
    """The value that parts a coarse bin from the next one.

    >>> [coarse_bound(index) for index in (37, 64, 85)]
    [-3.0, 0.03125, 1.25]
    """
    offset = index - _COARSE_ZERO
    if offset < 0:
        return -_bin_start(-offset, _OCTAVE_MIN, _COARSE_SUB_BITS)
    return _bin_start(offset + 1, _OCTAVE_MIN, _COARSE_SUB_BITS)


def _bin_start(index: int, octave_min: int, sub_bits: int) -> float:
    """The magnitude at which a bin of `_log_linear` begins."""
    if index == 0:
        return 0.0
    prefix = index - 1 + ((_EXPONENT_BIAS + octave_min) << sub_bits)
    return float(np.array(prefix << (_MANTISSA_BITS - sub_bits), np.int64).view(np.float64))


def _middle_bin(counts: Counts) -> int:
    cumulative = np.cumsum(counts)
    return int(np.searchsorted(cumulative, (cumulative[-1] + 1) // 2))


def median_feature(counts: Counts) -> float:
    """Median of the values counted in (BINS,): the end of its bin towards zero; NaN if there are none.

    Integers up to 32 come out exactly.
    """
    if not counts.any():
        return float("nan")
    offset = _middle_bin(counts) - ZERO
    magnitude = _bin_start(abs(offset), _OCTAVE_MIN, _SUB_BITS)
    return magnitude if offset >= 0 else -magnitude


def median_risk(counts: Counts) -> float:
    """Median of the risks counted in (RISK_BINS,), some of them: the lower end of its bin."""
    odds = _bin_start(_middle_bin(counts), -_ODDS_OCTAVES, _ODDS_SUB_BITS)
    return odds / (1 + odds)


def feature_histogram(features: NDArray[np.float64]) -> tuple[Counts, Counts]:
    """Count the values of a feature matrix.

    Parameters
    ----------
    features
        Shape (n, features), NaN for null.

    Returns
    -------
    Counts of shape (features, BINS), and nulls of shape (features,). Both merge by addition.
    """
    counts = np.zeros((len(FEATURES), BINS), np.int64)
    nulls = np.zeros(len(FEATURES), np.int64)
    # Column by column: the temporaries stay within the processor's cache.
    for column in range(len(FEATURES)):
        values = np.ascontiguousarray(features[:, column])
        known = values[~np.isnan(values)]
        counts[column] = np.bincount(bins(known), minlength=BINS)
        nulls[column] = len(values) - len(known)
    return counts, nulls


def risk_histogram(risk: NDArray[np.float64]) -> Counts:
    """Count risks (0..1) on a grid that is even in the logit; shape (RISK_BINS,), merges by addition."""
    with np.errstate(divide="ignore"):
        odds = risk / (1.0 - risk)
    index = _log_linear(odds, -_ODDS_OCTAVES, _ODDS_OCTAVES, _ODDS_SUB_BITS)
    return np.bincount(index, minlength=RISK_BINS)
