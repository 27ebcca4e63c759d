"""The catalogue of models that may score: learners, and baselines that never learn a weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from c360_stream.models.classifier import RowClassifier
from c360_stream.models.gradient import GradientLogistic
from c360_stream.models.logistic import SecondOrderLogistic
from c360_stream.models.names import RETRAINED, ModelName, SchemeName

BASE_RATE = "base-rate"
FIRST_CHAMPION: ModelName = "online-logistic-blend"
_FIRST_LEARNER: ModelName = "online-logistic"
BASELINES: tuple[ModelName, ...] = ("inactivity-rule", "base-rate")

ClassifierFactory = Callable[[tuple[str, ...]], RowClassifier]


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue.

    Parameters
    ----------
    name
        What its versions are called.
    kind
        Whether it learns by itself, blends others, is refitted as trees, is a user's, or never learns.
    description
        One line.
    classifier
        The last step of a learner's pipeline; the steps before it are the same for all.
    scheme
        How a learner learns; None: as the settings have it.
    parts
        Of a blend: the models that it is made of.
    """

    name: str
    kind: Literal["learner", "blend", "trees", "declared", "baseline"]
    description: str
    classifier: ClassifierFactory = SecondOrderLogistic
    scheme: SchemeName | None = None
    parts: tuple[ModelName, ...] = ()


_ENTRIES = (
    Entry(
        "online-logistic-blend",
        "blend",
        "online-logistic and online-logistic-hazard, weighted by how well each foresaw the last weeks",
        parts=("online-logistic", "online-logistic-hazard"),
    ),
    Entry(
        "online-logistic",
        "learner",
        "second-order logistic regression on bounded curves; remembers some 30,000 examples",
    ),
    Entry(
        "online-logistic-fast",
        "learner",
        "the same, remembering some 3,000 examples: follows a change sooner, at the price of noise",
        partial(SecondOrderLogistic, forgetting=3e-6),
    ),
    Entry(
        "online-logistic-early",
        "learner",
        "the same as online-logistic, not waiting for labels: fake negatives, weighted",
        scheme="fake_negative_weighted",
    ),
    Entry(
        "online-logistic-hazard",
        "learner",
        "the same on the next week's hazard, remembering some weeks, calibrated to the horizon",
        partial(SecondOrderLogistic, intercept=-4.5, forgetting=2e-5),
        scheme="hazard",
    ),
    Entry(
        "gradient-logistic",
        "learner",
        "logistic regression by adaptive gradient steps on the same curves: cheaper, slower to learn",
        GradientLogistic,
    ),
    Entry(
        "lightgbm",
        "trees",
        "boosted trees, fitted anew every 28 days to the last outcomes; needs the extra trees",
    ),
    Entry("inactivity-rule", "baseline", "a fixed curve of the days since the last activity; never learns"),
    Entry("base-rate", "baseline", "everybody's risk is the share that churned so far; looks at no feature"),
)
CATALOGUE: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def declared_entry(name: str, make: str) -> Entry:
    """The entry of a model that a user declares."""
    return Entry(name, "declared", f"declared: made by {make}")


def entry_named(name: str) -> Entry:
    """The entry of a name, or of the learner that it is a fresh copy of.

    Raises
    ------
    KeyError
        If there is none.
    """
    return CATALOGUE[without_suffix(name)]


def without_suffix(name: str) -> str:
    """The name of the learner that this is a fresh copy of; any other name as it is.

    >>> without_suffix("online-logistic-retrained-2"), without_suffix("base-rate")
    ('online-logistic', 'base-rate')
    """
    return next((name.removesuffix(suffix) for suffix in RETRAINED if name.endswith(suffix)), name)


def fresh_name(champion: str) -> str:
    """What a fresh challenger is called: a copy of the learner that scores, or of the first there is.

    It never takes the place of the champion, nor of a model under its own name: a blend may be made of that one, and
    drift is detected by its surprise.

    >>> fresh_name("online-logistic-blend"), fresh_name("online-logistic-retrained"), fresh_name("gradient-logistic")
    ('online-logistic-retrained', 'online-logistic-retrained-2', 'gradient-logistic-retrained')
    """
    base = without_suffix(champion)
    base = base if base in CATALOGUE and entry_named(base).kind == "learner" else _FIRST_LEARNER
    return next(base + suffix for suffix in RETRAINED if base + suffix != champion)
