"""Models that users declare: any River classifier, made by a function of theirs, fed with rows as dicts."""

from __future__ import annotations

import importlib
import pickle
import re
import sys
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np
from river import base

from c360_stream.errors import ConfigurationError
from c360_stream.features.definitions import FEATURES, NULLABLE
from c360_stream.models.columns import Floats
from c360_stream.models.names import MAKE_PATTERN, ModelDeclaration
from c360_stream.models.preprocessing import MISSING, NullImputer

# What a log-odds is made of at most: trees and counts give 0 and 1 long before they know.
RISK_MARGIN = 1e-3
Row = dict[Hashable, float]
"""A row as River takes it: every feature by name, null replaced by the mean, and indicators of null."""
_COLUMNS: tuple[Hashable, ...] = (*FEATURES, *(name + MISSING for name in NULLABLE))


def factory(declaration: ModelDeclaration) -> Callable[[], base.Classifier]:
    """The function that makes the model, imported.

    Raises
    ------
    ConfigurationError
        If there is none, or it makes something else; the message names the declaration.
    """
    where = f"[[model]] {declaration.name}, key make: {declaration.make!r}"
    if not re.fullmatch(MAKE_PATTERN, declaration.make):
        raise ConfigurationError(f"{where} is not package.module:function", "name the function that makes the model")
    module, _, function = declaration.make.partition(":")
    if declaration.folder and declaration.folder not in sys.path:
        sys.path.append(declaration.folder)
    try:
        make = getattr(importlib.import_module(module), function)
    except Exception as error:
        raise ConfigurationError(
            f"{where} cannot be imported: {type(error).__name__}: {error}",
            "install the package, or put it beside the file that declares it",
        ) from None
    return _checked(make, where)


def _checked(make: Any, where: str) -> Callable[[], base.Classifier]:
    try:
        model = make()
    except Exception as error:
        raise ConfigurationError(f"{where} failed: {type(error).__name__}: {error}", "fix the function") from None
    if not is_classifier(model):
        raise ConfigurationError(
            f"{where} returned {type(model).__name__}, which is no river.base.Classifier", "return one"
        )
    try:
        pickle.dumps(model)
    except Exception as error:
        raise ConfigurationError(
            f"{where} returned a model that cannot be pickled: {error}", "a snapshot keeps its pickle: hold no lambda"
        ) from None
    checked: Callable[[], base.Classifier] = make
    return checked


def is_classifier(model: Any) -> bool:
    """Whether it is a River classifier, or a pipeline that ends with one."""
    last = list(model.steps.values())[-1] if hasattr(model, "steps") and model.steps else model
    return isinstance(last, base.Classifier)


def as_dicts(rows: Floats) -> Iterator[Row]:
    """Imputed rows, shape (n, columns), as a River model takes them: all names, always in this order."""
    return (dict(zip(_COLUMNS, row, strict=True)) for row in rows.tolist())


def new_imputer() -> NullImputer:
    """What puts the mean where a value is null, and an indicator beside it: a model sees every name in every row."""
    return NullImputer(FEATURES, NULLABLE)


def imputed(features: Floats, means: Floats) -> Floats:
    """Rows with the given means, shape (21,), where they are null; shape (n, columns)."""
    present = np.isfinite(features)
    nullable = [FEATURES.index(name) for name in NULLABLE]
    return np.concatenate([np.where(present, features, means), ~present[:, nullable]], axis=1)


def probability(model: base.Classifier, x: Row) -> float | None:
    """The probability of churn that a model gives, None if it gives none yet.

    Raises
    ------
    ValueError
        If what it gives is no probability.
    """
    given = model.predict_proba_one(x)
    if not given:
        return None
    found = float(given.get(True, 0.0))
    if not 0.0 <= found <= 1.0:
        raise ValueError(f"predict_proba_one gave {found!r} for True, which is no probability")
    return min(max(found, RISK_MARGIN), 1.0 - RISK_MARGIN)
