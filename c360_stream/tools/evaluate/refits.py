"""Batch models as a careful team has them: refitted every 28 days to all that is known by then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from c360_stream.models import trees
from c360_stream.tools.evaluate.matured import Examples
from c360_stream.tools.evaluate.ramps import RampRegression

REFIT_DAYS = 28
ROUNDS, STUMP_ROUNDS = trees.ROUNDS, 600
LIGHTGBM: dict[str, Any] = trees.PARAMETERS
"""Its parameters, those of the contender; all others are LightGBM's defaults."""
STUMPS: dict[str, Any] = LIGHTGBM | {"num_leaves": 2}
"""Of trees of depth 1: a sum of one function a feature, as the flow's own models are."""

Floats = NDArray[np.float64]


class WarmUp(NamedTuple):
    """Outcomes, and churned among them, before a model scores: the same for the peers as for the flow."""

    outcomes: int
    churned: int


class Refit(NamedTuple):
    """One of the days on which batch models are fitted.

    Parameters
    ----------
    day
        The tick.
    known, taken
        Rows of the examples whose outcome is known by then; rows that are scored until the next fit.
    label
        The outcomes as they were known then, 0 or 1, shape (known,).
    held
        How many of the known rows, the last ones, are the latest month: 0 if they cannot serve to stop early.
    """

    day: int
    known: slice
    taken: slice
    label: Floats
    held: int


class Fitted(Protocol):
    """A model that is fitted."""

    def predict(self, features: Floats) -> Floats:
        """Risks of rows, shape (n,)."""
        ...


class Peer(NamedTuple):
    """A batch model over the whole log.

    Parameters
    ----------
    risk
        Of each example, shape (n,): by the latest fit before it, NaN before the first.
    fitted
        The models, one for each refit.
    microseconds
        Of fitting, an example that it was fitted to.
    """

    risk: Floats
    fitted: list[Fitted]
    microseconds: float


def schedule(examples: Examples, first_day: int, horizon_days: int, warm_up: WarmUp) -> list[Refit]:
    """The days of fits: every 28 days from the first tick, as soon as enough outcomes are known."""
    return list(_schedule(examples, first_day, horizon_days, warm_up))


def _schedule(examples: Examples, first_day: int, horizon_days: int, warm_up: WarmUp) -> Iterator[Refit]:
    last = int(examples.as_of_day[-1]) if len(examples) else first_day
    for day in range(first_day, last + 1, REFIT_DAYS):
        known, begin, end = np.searchsorted(
            examples.as_of_day, [day - horizon_days + 1, day, day + REFIT_DAYS]
        ).tolist()
        label = examples.known_churned(day)[:known].astype(np.float64)
        if not _enough(label, warm_up):
            continue
        earlier = int(np.searchsorted(examples.as_of_day, examples.as_of_day[known - 1] - REFIT_DAYS + 1))
        held = known - earlier if _enough(label[:earlier], warm_up) and 0 < label[earlier:].mean() < 1 else 0
        yield Refit(day, slice(0, known), slice(begin, end), label, held)


def _enough(label: Floats, warm_up: WarmUp) -> bool:
    churned = int(label.sum())
    return len(label) >= warm_up.outcomes and warm_up.churned <= churned < len(label)


Fit = Callable[[Floats, Refit], Fitted]


def refitted(features: Floats, refits: Sequence[Refit], fit: Fit) -> Peer:
    """A batch model that is fitted on each of the days and scores until the next.

    Parameters
    ----------
    features
        Of all examples, shape (n, k).
    refits
        The days.
    fit
        Fits a model; it may look at the known rows of the features alone.
    """
    risk, seconds = np.full(len(features), np.nan), 0.0
    fitted: list[Fitted] = []
    for refit in refits:
        began = time.perf_counter()
        fitted.append(fit(features, refit))
        seconds += time.perf_counter() - began
        if refit.taken.start < refit.taken.stop:
            risk[refit.taken] = fitted[-1].predict(features[refit.taken])
    count = sum(len(refit.label) for refit in refits)
    return Peer(risk, fitted, 1e6 * seconds / count if count else 0.0)


class Boosted:
    """Boosted trees.

    Parameters
    ----------
    features, label
        Shape (n, k) and (n,).
    parameters, rounds
        Of LightGBM.
    """

    def __init__(self, features: Floats, label: Floats, parameters: dict[str, Any], rounds: int) -> None:
        import lightgbm

        self.rounds = rounds
        self._booster = lightgbm.train(parameters, lightgbm.Dataset(features, label), rounds)

    def predict(self, features: Floats) -> Floats:
        """Risks of rows, shape (n,)."""
        return np.asarray(self._booster.predict(features, num_threads=1), np.float64)


def boosted(features: Floats, refit: Refit) -> Boosted:
    """LightGBM with as many rounds as serve the latest month best: 150 at most, and if that month cannot tell."""
    return Boosted(features[refit.known], refit.label, LIGHTGBM, best_rounds(features, refit))


def best_rounds(features: Floats, refit: Refit) -> int:
    """How many rounds, fitted to all but the latest matured month, have the least log loss in it."""
    import lightgbm

    if not refit.held:
        return ROUNDS
    earlier = len(refit.label) - refit.held
    rows = features[refit.known]
    train = lightgbm.Dataset(rows[:earlier], refit.label[:earlier])
    month = lightgbm.Dataset(rows[earlier:], refit.label[earlier:], reference=train)
    losses: dict[str, dict[str, list[float]]] = {}
    noted = lightgbm.record_evaluation(losses)
    lightgbm.train(LIGHTGBM, train, ROUNDS, valid_sets=[month], callbacks=[noted])
    by_rounds = losses["valid_0"]["binary_logloss"]
    best = min(by_rounds)
    return by_rounds.index(best) + 1 if best < by_rounds[-1] else ROUNDS


def stumps(features: Floats, refit: Refit) -> Boosted:
    """LightGBM whose trees have one split: more of them, since each says less."""
    return Boosted(features[refit.known], refit.label, STUMPS, STUMP_ROUNDS)


def regression(features: Floats, refit: Refit) -> RampRegression:
    """Logistic regression on ramps between deciles."""
    return RampRegression(features[refit.known], refit.label)
