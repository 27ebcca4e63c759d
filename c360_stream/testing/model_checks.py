"""Checks of a declared model: what a run relies on, so that it resumes, rescales and repeats bit for bit."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np

from c360_stream.features.definitions import FEATURES
from c360_stream.learning.declared import MODEL_BYTES_MAX
from c360_stream.models.declared import Row, as_dicts, is_classifier, new_imputer

EXAMPLES = 600
_PROBES = 40
_CUTS = (1, EXAMPLES // 3, EXAMPLES // 2)
_TOLERANCE = 1e-6

Probabilities = list[dict[Hashable, float]]


def check_model(make: Callable[[], Any], seed: int = 1) -> None:
    """Hold a model to what the flow needs; speed is not looked at.

    Call it in a test of yours, with the function that `make` of your `[[model]]` names. It teaches several copies 600
    made-up examples: take a smaller model for the test if yours is slow.

    Parameters
    ----------
    make
        Takes nothing, returns a `river.base.Classifier`.
    seed
        Of the examples.

    Raises
    ------
    AssertionError
        What is wrong, in plain words.

    Examples
    --------
    >>> from river import linear_model, preprocessing
    >>> check_model(lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression())
    """
    rows, outcomes = _examples(seed)
    lessons, probes = list(zip(rows[:EXAMPLES], outcomes, strict=False)), rows[EXAMPLES:]
    model = make()
    assert is_classifier(model), f"make() returned {type(model).__name__}, which is no river.base.Classifier"
    _check_probabilities(model, probes[:5], "before it has learnt anything")
    _teach(model, lessons)
    expected = _ask(model, probes)
    _check_probabilities(model, probes, f"after {EXAMPLES} examples")
    _check_same(_ask(model, probes), expected, "predicting changes it: it gives other probabilities when asked again")
    _check_same(
        _ask(_teach(make(), lessons), probes),
        expected,
        "two models of make(), taught the same, differ: give every random part a seed",
    )
    _check_pickles(make, lessons, probes, expected)
    _check_order(make, lessons, probes, expected)


def _check_pickles(make: Callable[[], Any], lessons: list[Any], probes: list[Row], expected: Probabilities) -> None:
    for cut in _CUTS:
        resumed = _teach(make(), lessons[:cut])
        try:
            content = pickle.dumps(resumed)
        except Exception as error:
            raise AssertionError(f"it cannot be pickled after {cut} examples: {error}") from None
        resumed = pickle.loads(content)  # noqa: S301 - what has just been pickled
        _check_same(
            _ask(_teach(resumed, lessons[cut:]), probes),
            expected,
            f"pickled after {cut} examples and taught the rest, it differs from one that never was",
        )
    size = len(pickle.dumps(_teach(make(), lessons)))
    assert size <= MODEL_BYTES_MAX, f"it weighs {size:,} bytes, more than the {MODEL_BYTES_MAX:,} that a run allows"


def _check_order(make: Callable[[], Any], lessons: list[Any], probes: list[Row], expected: Probabilities) -> None:
    turned = [(dict(reversed(x.items())), y) for x, y in lessons]
    found = _ask(_teach(make(), turned), [dict(reversed(x.items())) for x in probes])
    # A run gives names in one order always. Sums in another order have other last bits, which is no fault.
    differing = sum(
        abs(one.get(True, 0.0) - other.get(True, 0.0)) > _TOLERANCE for one, other in zip(found, expected, strict=True)
    )
    assert not differing, (
        "it depends on the order of the names in a dict: go by names "
        f"({differing} of {len(expected)} predictions differ)"
    )


def _check_probabilities(model: Any, probes: Iterable[Row], when: str) -> None:
    for x in probes:
        before = dict(x)
        given = model.predict_proba_one(x)
        assert x == before, f"{when}, predicting changes the dict of features"
        assert isinstance(given, dict), f"{when}, predict_proba_one gave {given!r}, which is no dict"
        assert set(given) <= {False, True}, f"{when}, predict_proba_one gave classes {list(given)}, not False and True"
        for label, share in given.items():
            assert 0.0 <= share <= 1.0, f"{when}, predict_proba_one gave {share!r} for {label}, which is no probability"
        whole = sum(given.values())
        assert len(given) < 2 or abs(whole - 1.0) < _TOLERANCE, f"{when}, probabilities add up to {whole!r}, not 1"


def _check_same(found: Probabilities, expected: Probabilities, wrong: str) -> None:
    differing = sum(each != other for each, other in zip(found, expected, strict=True))
    assert not differing, f"{wrong} ({differing} of {len(expected)} predictions differ)"


def _teach(model: Any, lessons: Iterable[tuple[Row, bool]]) -> Any:
    for x, churned in lessons:
        given = dict(x)
        model.learn_one(given, churned)
        assert list(given.items()) == list(x.items()), "learning changes the dict of features"
    return model


def _ask(model: Any, probes: Iterable[Row]) -> Probabilities:
    return [dict(model.predict_proba_one(dict(x))) for x in probes]


def _examples(seed: int) -> tuple[list[Row], list[bool]]:
    """Rows as a run gives them, nulls replaced and marked, and outcomes that silence has much to do with."""
    rng = np.random.default_rng(seed)
    features = np.abs(rng.normal(4.0, 5.0, (EXAMPLES + _PROBES, len(FEATURES))))
    silence = features[:, FEATURES.index("days_since_last_activity")]
    churned = rng.random(len(features)) < 0.1 + 0.5 * (silence > 7)
    features[rng.random(features.shape) < 0.1] = np.nan
    return list(as_dicts(new_imputer().learn_transform_rows(features))), churned.tolist()
