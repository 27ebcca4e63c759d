"""Models of one's own, as a `[[model]]` names them."""

from __future__ import annotations

import math
import random
from typing import Any

from river import base, compat, compose, forest, linear_model, preprocessing, tree
from sklearn.linear_model import SGDClassifier


def hoeffding() -> base.Classifier:
    return tree.HoeffdingAdaptiveTreeClassifier(grace_period=50, seed=1)


def forest_of_trees() -> base.Classifier:
    return forest.ARFClassifier(n_models=3, grace_period=50, seed=1)


def logistic() -> compose.Pipeline:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def from_scikit_learn() -> compose.Pipeline:
    """From outside River, through its adapter."""
    model = compat.convert_sklearn_to_river(SGDClassifier(loss="log_loss", random_state=1), classes=[False, True])
    return preprocessing.StandardScaler() | model


class Silence(base.Classifier):
    """From nowhere: churn by length of silence, counted in weeks."""

    def __init__(self) -> None:
        self.weeks: dict[int, tuple[int, int]] = {}

    def _week(self, x: dict[Any, Any]) -> int:
        return min(int(x["days_since_last_activity"] // 7), 8)

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        churned, all_of_them = self.weeks.get(self._week(x), (0, 0))
        self.weeks[self._week(x)] = churned + bool(y), all_of_them + 1

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        if not self.weeks:
            return {}
        churned, all_of_them = self.weeks.get(self._week(x), (0, 0))
        risk = (churned + 1) / (all_of_them + 5)
        return {False: 1 - risk, True: risk}


def silence() -> base.Classifier:
    return Silence()


class Mishap(Silence):
    """Fails once it has learnt enough."""

    def __init__(self, learnt_max: int, kind: str) -> None:
        super().__init__()
        self.learnt_max, self.kind, self.learnt = learnt_max, kind, 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        super().learn_one(x, y)
        self.learnt += 1
        if self.kind == "learn" and self.learnt > self.learnt_max:
            raise RuntimeError(f"out of luck at {self!r}")

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        if self.learnt > self.learnt_max and self.kind in ("nan", "two", "predict"):
            if self.kind == "predict":
                raise KeyError("lost")
            return {True: math.nan if self.kind == "nan" else 2.0}
        return super().predict_proba_one(x)

    def __getstate__(self) -> object:
        if self.kind == "pickle" and self.learnt > self.learnt_max:
            raise TypeError("cannot pickle luck")
        return self.__dict__


def fails_to_learn() -> base.Classifier:
    return Mishap(60, "learn")


def fails_to_predict() -> base.Classifier:
    return Mishap(60, "predict")


def gives_nan() -> base.Classifier:
    return Mishap(60, "nan")


def gives_two() -> base.Classifier:
    return Mishap(60, "two")


def fails_to_pickle() -> base.Classifier:
    return Mishap(60, "pickle")


class Dice(Silence):
    """Throws dice that nobody has seeded."""

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        return {True: random.random()}


def unseeded() -> base.Classifier:
    return Dice()


class Forgetful(Silence):
    """Comes back from its pickle without what it knew."""

    def __getstate__(self) -> object:
        return {"weeks": {}}


def forgetful() -> base.Classifier:
    return Forgetful()


class Orderly(Silence):
    """Looks at whatever comes first."""

    def _week(self, x: dict[Any, Any]) -> int:
        return int(next(iter(x.values())) * 10) % 9


def by_order() -> base.Classifier:
    return Orderly()


class Curious(Silence):
    """Counts the questions."""

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        asked, _all = self.weeks.get(-1, (0, 0))
        self.weeks[-1] = asked + 1, 0
        return {True: 1 / (1 + asked)}


def curious() -> base.Classifier:
    return Curious()


def holds_a_lambda() -> base.Classifier:
    model = Silence()
    model.weigh = lambda x: x  # type: ignore[attr-defined]
    return model


def no_model() -> object:
    return "a forest"


def breaks() -> base.Classifier:
    raise ZeroDivisionError("no trees here")
