"""Histograms: merging is addition, and a value's bin depends on the value alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from c360_stream.features.definitions import FEATURES
from c360_stream.monitoring.histograms import (
    BINS,
    RISK_BINS,
    bins,
    feature_histogram,
    median_feature,
    median_risk,
    risk_histogram,
)

Matrix = NDArray[np.float64]
VALUES = st.floats(allow_nan=True, allow_infinity=True)
MATRICES = hnp.arrays(np.float64, st.tuples(st.integers(0, 8), st.just(len(FEATURES))), elements=VALUES)
RISKS = hnp.arrays(np.float64, st.integers(0, 30), elements=st.floats(0, 1))


@given(MATRICES, MATRICES)
def test_merging_feature_histograms_is_addition(one: Matrix, other: Matrix) -> None:
    counts, nulls = feature_histogram(np.concatenate((one, other)))
    (counts_one, nulls_one), (counts_other, nulls_other) = feature_histogram(one), feature_histogram(other)
    np.testing.assert_array_equal(counts, counts_one + counts_other)
    np.testing.assert_array_equal(nulls, nulls_one + nulls_other)
    assert counts.shape == (len(FEATURES), BINS)
    assert (counts.sum(axis=1) + nulls == len(one) + len(other)).all()


@given(RISKS, RISKS)
def test_merging_risk_histograms_is_addition(one: Matrix, other: Matrix) -> None:
    merged = risk_histogram(np.concatenate((one, other)))
    np.testing.assert_array_equal(merged, risk_histogram(one) + risk_histogram(other))
    assert merged.shape == (RISK_BINS,)
    assert merged.sum() == len(one) + len(other)


@given(hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(allow_nan=False)))
def test_bins_ascend_with_the_value(values: Matrix) -> None:
    values.sort()
    assert (np.diff(bins(values)) >= 0).all()


@given(st.integers(-32, 32), st.integers(-32, 32))
def test_small_integers_have_bins_of_their_own_and_exact_medians(one: int, other: int) -> None:
    index = bins(np.array([one, other], np.float64))
    assert (index[0] == index[1]) == (one == other)
    assert median_feature(np.bincount(index[:1], minlength=BINS)) == one


@given(st.floats(1 / 32, 1e9))
def test_a_bin_is_at_most_a_sixteenth_wide(value: float) -> None:
    start = median_feature(np.bincount(bins(np.array([value])), minlength=BINS))
    assert start <= value <= start * 17 / 16


@given(st.floats(0.001, 0.999))
def test_risk_bins_resolve_a_fifth_of_the_odds(risk: float) -> None:
    start = median_risk(risk_histogram(np.array([risk])))
    assert start <= risk * (1 + 1e-12)
    assert risk / (1 - risk) <= start / (1 - start) * 1.25 * (1 + 1e-12)
