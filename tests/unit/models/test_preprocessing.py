"""Imputation, ramps and scaling: dict and array forms agree, and each does what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from river import base, checks

from c360_stream.features.definitions import FEATURES
from c360_stream.models.curves import CURVES, NULLABLE
from c360_stream.models.preprocessing import NullImputer, Ramps, StandardScaler
from tests.unit.learning.rows import as_dict, feature_rows


@pytest.mark.parametrize("transformer", [NullImputer(), Ramps(), StandardScaler()], ids=lambda t: type(t).__name__)
def test_is_a_river_transformer(transformer: base.Transformer) -> None:
    for check in checks.yield_checks(transformer):
        check(transformer.clone())


def test_dicts_and_arrays_give_the_same_bits() -> None:
    rows = feature_rows(200, seed=1)
    singly, together = NullImputer(FEATURES, NULLABLE), NullImputer(FEATURES, NULLABLE)
    imputed = together.learn_transform_rows(rows)
    ramps = Ramps(CURVES, FEATURES)
    spread = ramps.transform_rows(imputed[:, : len(FEATURES)])
    scale_singly, scale_together = StandardScaler(ramps.output_names), StandardScaler(ramps.output_names)
    scaled = scale_together.learn_transform_rows(spread)
    for i, row in enumerate(rows):
        x = as_dict(row)
        singly.learn_one(x)
        filled = singly.transform_one(x)
        assert list(filled.values()) == imputed[i].tolist()
        y = ramps.transform_one({name: filled[name] for name in FEATURES})
        assert list(y.values()) == spread[i].tolist()
        scale_singly.learn_one(y)
        assert list(scale_singly.transform_one(y).values()) == scaled[i].tolist()
    assert (singly.transform_rows(rows) == together.transform_rows(rows)).all()
    assert (scale_singly.transform_rows(spread) == scale_together.transform_rows(spread)).all()


@pytest.mark.parametrize("null", [None, math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null(null: float | None) -> None:
    imputer = NullImputer(("a",), nullable=("a",))
    for value in (2.0, null, 4.0):
        imputer.learn_one({"a": value})
    assert imputer.transform_one({"a": null}) == {"a": 3.0, "a_missing": 1.0}
    assert imputer.transform_one({"a": 9.0}) == {"a": 9.0, "a_missing": 0.0}


def test_learning_does_not_depend_on_batches() -> None:
    rows = feature_rows(100, seed=2)
    whole, cut = NullImputer(FEATURES, NULLABLE), NullImputer(FEATURES, NULLABLE)
    expected = whole.learn_transform_rows(rows)
    parts = [cut.learn_transform_rows(part) for part in np.split(rows, [1, 1, 8, 50])]
    assert (np.concatenate(parts) == expected).all()


def test_scaled_columns_are_centred_with_unit_deviation() -> None:
    rows = np.random.default_rng(3).random((5000, 3))
    scaler = StandardScaler(("a", "b", "c"))
    scaler.learn_transform_rows(rows)
    scaled = scaler.transform_rows(rows)
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(scaled.std(axis=0), 1, atol=1e-9)


def test_a_constant_column_does_not_explode() -> None:
    scaler = StandardScaler(("rare",))
    scaler.learn_transform_rows(np.zeros((1000, 1)))
    assert scaler.transform_rows(np.array([[1.0]]))[0, 0] == pytest.approx(10.0)


@pytest.mark.parametrize("name", FEATURES)
def test_ramps_rise_from_0_to_1_one_after_another(name: str) -> None:
    points, heights = CURVES[name]
    assert list(points) == sorted(set(points))
    total = np.sum(heights, axis=0)
    assert total[0] == 0
    assert total[-1] == len(heights)
    for height in heights:
        assert height[0] == 0
        assert height[-1] == 1
        assert (np.diff(height) >= 0).all()


def test_ramps_are_flat_outside_their_points() -> None:
    ramps = Ramps(CURVES, FEATURES)
    high, higher = np.full((1, len(FEATURES)), 1e9), np.full((1, len(FEATURES)), 1e300)
    assert (ramps.transform_rows(high) == ramps.transform_rows(higher)).all()
