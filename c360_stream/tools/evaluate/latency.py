"""How long models take on this machine: to score rows in batches of 1,000, and to learn an example."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.learning.contender import Contender
from c360_stream.models.version import ModelVersion
from c360_stream.tools.evaluate.matured import Examples
from c360_stream.tools.evaluate.refits import Peer

BATCH_ROWS = 1000

Floats = NDArray[np.float64]
_REPEATS = 5


def contender_latency(contenders: Mapping[str, Contender], examples: Examples) -> dict[str, Any]:
    """Of each model of a contest, as it is at the end, microseconds a scored row and a learnt example.

    A model that counts outcomes, or only weighs others, learns no example: None. What is learnt here is learnt by a
    copy.
    """
    day = int(examples.as_of_day[-1])
    found = {}
    for name, contender in contenders.items():
        version = contender.version(day)
        learn = _learning(contender, examples) if contender.learns else None
        score = _fastest(partial(_scored, version, day * US_PER_DAY), examples)
        found[name] = {"microseconds_a_row": score, "microseconds_an_example": learn}
    return found


def _scored(version: ModelVersion, as_of_us: int, rows: Floats) -> Floats:
    return version.score(rows, as_of_us).risk


def peer_latency(peer: Peer, examples: Examples) -> dict[str, float | None]:
    """The same of a batch model; an example is learnt again at each refit, which counts each time."""
    score = _fastest(peer.fitted[-1].predict, examples) if peer.fitted else None
    return {"microseconds_a_row": score, "microseconds_an_example": peer.microseconds}


def _fastest(score: Callable[[Floats], Floats], examples: Examples) -> float:
    """Of a few times; the first, which may make a table to begin with, only warms up."""
    rows = np.resize(examples.features[-BATCH_ROWS:], (BATCH_ROWS, examples.features.shape[1]))
    score(rows)
    return min(_seconds(lambda: score(rows)) for _ in range(_REPEATS)) * 1e6 / BATCH_ROWS


def _learning(contender: Contender, examples: Examples) -> float:
    rows = slice(-BATCH_ROWS, None)
    features, churned, days = examples.features[rows], examples.churned[rows], examples.as_of_day[rows]
    model = copy.deepcopy(contender.model)
    untreated = np.zeros(len(days), np.bool_)
    return _seconds(lambda: model.learn(features, churned, days * US_PER_DAY, untreated)) * 1e6 / len(days)


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
