"""Names that settings choose from, without the libraries behind them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

SchemeName = Literal["matured", "fake_negative_weighted", "hazard"]
TreatedPolicy = Literal["keep", "leave_out", "weight", "model"]
ModelName = Literal[
    "online-logistic-blend",
    "online-logistic",
    "online-logistic-fast",
    "online-logistic-early",
    "online-logistic-hazard",
    "gradient-logistic",
    "lightgbm",
    "inactivity-rule",
    "base-rate",
]
MODELS: tuple[ModelName, ...] = get_args(ModelName)
ChampionName = Literal["auto", ModelName]
AUTO: ChampionName = "auto"
LIGHTGBM: ModelName = "lightgbm"
RETRAINED = ("-retrained", "-retrained-2")
"""What fresh copies of a learner are called; the second while the first scores."""
RESERVED_NAMES = (AUTO, "prior-rule")
"""Names that no declared model may have, beside those of the catalogue."""
NAME_PATTERN = r"[a-z][a-z0-9]*([_-][a-z0-9]+)*"
NAME_LENGTH_MAX = 64
MAKE_PATTERN = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"


@dataclass(frozen=True)
class ModelDeclaration:
    """A `[[model]]` of the configuration file.

    Parameters
    ----------
    name
        What its versions are called.
    make
        `package.module:function`; the function takes nothing and returns a `river.base.Classifier`.
    folder
        Where to look for the package besides the Python path: that of the file which declares it.
    """

    name: str
    make: str
    folder: str = ""


def trees_installed() -> bool:
    """Whether LightGBM can be imported: the extra `trees`. Does not import it."""
    return find_spec("lightgbm") is not None


def default_challengers() -> tuple[ModelName, ...]:
    """Models that learn in shadow unless the settings name others: trees are among them where they are installed."""
    return ("online-logistic-fast", "online-logistic-hazard", *((LIGHTGBM,) if trees_installed() else ()))
