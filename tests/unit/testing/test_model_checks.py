"""The kit passes what may contend and names what may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from c360_stream.testing import check_model
from tests.own_models import models


@pytest.mark.parametrize(
    "make", [models.hoeffding, models.forest_of_trees, models.logistic, models.from_scikit_learn, models.silence]
)
def test_good_models_pass(make: Callable[[], Any]) -> None:
    check_model(make)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (models.no_model, "returned str, which is no river.base.Classifier"),
        (models.gives_nan, "gave nan for True, which is no probability"),
        (models.gives_two, "gave 2.0 for True, which is no probability"),
        (models.curious, "predicting changes it"),
        (models.forgetful, "pickled after 1 examples and taught the rest, it differs"),
        (models.fails_to_pickle, "cannot be pickled after 200 examples: cannot pickle luck"),
        (models.by_order, "depends on the order of the names in a dict"),
    ],
)
def test_bad_models_are_told_what_is_wrong(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_model(make)


def test_a_model_without_a_seed_is_found() -> None:
    with pytest.raises(AssertionError, match="gives other probabilities when asked again"):
        check_model(models.unseeded)
