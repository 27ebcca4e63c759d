"""Imputation: dict and array forms agree, and what is not finite is null."""

from __future__ import annotations

import math

import numpy as np
import pytest
from river import base, checks

from c360_stream.features.definitions import FEATURES, NULLABLE
from c360_stream.models.basis import Basis
from c360_stream.models.preprocessing import NullImputer
from tests.unit.learning.rows import as_dict, feature_rows


@pytest.mark.parametrize("transformer", [NullImputer(), Basis()], ids=lambda t: type(t).__name__)
def test_is_a_river_transformer(transformer: base.Transformer) -> None:
    for check in checks.yield_checks(transformer):
        check(transformer.clone())


def test_dicts_and_arrays_give_the_same_bits() -> None:
    rows = feature_rows(200, seed=1)
    singly, together = NullImputer(FEATURES, NULLABLE), NullImputer(FEATURES, NULLABLE)
    imputed = together.learn_transform_rows(rows)
    for i, row in enumerate(rows):
        x = as_dict(row)
        singly.learn_one(x)
        assert list(singly.transform_one(x).values()) == imputed[i].tolist()
    assert (singly.transform_rows(rows) == together.transform_rows(rows)).all()


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
