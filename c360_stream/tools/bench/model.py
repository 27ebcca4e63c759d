"""Benchmark `model`: learning from matured examples, and scoring rows in large and in small batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.features.definitions import FEATURES, INDEX, NULLABLE
from c360_stream.models.basis import Basis
from c360_stream.models.churn_model import ChurnModel, ModelConfig
from c360_stream.models.horizons import HorizonLearner
from c360_stream.models.version import ModelVersion
from c360_stream.pipeline import learning_config
from c360_stream.settings import Settings
from c360_stream.tools.bench.result import Result, least_cpu_seconds
from c360_stream.tools.bench.sample import START_DAY

EXAMPLES_PER_TICK = 700
"""The daily examples of about 5,000 accounts with weekly ones."""
NULL_SHARE = 0.1

Floats = NDArray[np.float64]


def examples(count: int, seed: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Feature rows with nulls where features can be null, and labels that depend on one of them."""
    rng = np.random.default_rng([seed, count])
    features = rng.gamma(2.0, 3.0, (count, len(FEATURES)))
    churned = rng.random(count) < 0.25 / (1.0 + features[:, INDEX["avg_dau_7d"]])
    for name in NULLABLE:
        features[rng.random(count) < NULL_SHARE, INDEX[name]] = np.nan
    return features, churned


def trained_model(seed: int) -> ChurnModel:
    """A model that is past its warm-up, so that its versions score with what was learnt."""
    model = begun_model(*examples(2_000, seed))
    _learn(model, *examples(2_000, seed))
    return model


def begun_model(features: Floats, churned: NDArray[np.bool_]) -> ChurnModel:
    """A model at the begin of a generation, with as many columns as one may have."""
    model = ChurnModel(ModelConfig(warmup_outcomes=1, warmup_churned=1))
    model.begin(Basis.learnt(features, float(churned.sum()), list(combinations(range(len(FEATURES)), 2))))
    return model


def trained_version(settings: Settings, seed: int, day: int) -> ModelVersion:
    """A version for a tick that scores with what was learnt, and has a risk curve."""
    horizons = learning_config(settings).horizons
    curve = HorizonLearner(settings.horizon_days, horizons, settings.prior_churn_rate).curve()
    return trained_model(seed).version(day).revised(calibrated=True, curve=curve)


def measure(rows: int, seed: int, repeats: int) -> Iterator[Result]:
    """Learn `rows` examples, a tick's worth at a time; score as many, 1,000 and 10 at a time."""
    features, churned = examples(rows, seed)
    parameters: dict[str, Any] = {"rows": rows, "seed": seed, "repeats": repeats}
    us_per_row = 1e6 / rows

    begun = begun_model(features, churned)
    # Every repeat starts from a model of its own: what has been learnt does not make learning slower or faster.
    yield Result(
        "model_learn",
        "CPU microseconds per example",
        us_per_row * least_cpu_seconds(repeats, lambda: _learn(copy.deepcopy(begun), features, churned)),
        us_per_row * least_cpu_seconds(repeats, _step_row_by_row, features),
        "one multiply-add of a feature row",
        {**parameters, "examples_per_tick": EXAMPLES_PER_TICK},
    )
    version = trained_model(seed).version(START_DAY)
    for batch in (1_000, 10):
        yield Result(
            f"model_score_{batch}",
            "CPU microseconds per row",
            us_per_row * least_cpu_seconds(repeats, _score, version, features, batch),
            us_per_row * least_cpu_seconds(repeats, _weigh_columns, features, batch),
            "one multiply-add of each feature column",
            {**parameters, "batch_rows": batch},
        )


def _learn(model: ChurnModel, features: Floats, churned: NDArray[np.bool_]) -> None:
    for start in range(0, len(features), EXAMPLES_PER_TICK):
        part = slice(start, start + EXAMPLES_PER_TICK)
        as_of_us = np.full(len(churned[part]), START_DAY * US_PER_DAY, np.int64)
        model.learn(features[part], churned[part], as_of_us)


def _score(version: ModelVersion, features: Floats, batch: int) -> None:
    for start in range(0, len(features), batch):
        version.score(features[start : start + batch], START_DAY * US_PER_DAY)


def _step_row_by_row(features: Floats) -> None:
    weights = np.zeros(features.shape[1])
    for row in features:
        weights += 0.1 * row


def _weigh_columns(features: Floats, batch: int) -> None:
    for start in range(0, len(features), batch):
        part = features[start : start + batch]
        log_odds = np.zeros(len(part))
        for column in range(part.shape[1]):
            log_odds += 0.1 * part[:, column]
