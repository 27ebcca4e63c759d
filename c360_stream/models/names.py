"""Names that settings choose from, without the libraries behind them."""

from __future__ import annotations

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


def trees_installed() -> bool:
    """Whether LightGBM can be imported: the extra `trees`. Does not import it."""
    return find_spec("lightgbm") is not None


def default_challengers() -> tuple[ModelName, ...]:
    """Models that learn in shadow unless the settings name others: trees are among them where they are installed."""
    return ("online-logistic-fast", "online-logistic-hazard", *((LIGHTGBM,) if trees_installed() else ()))
