"""Names that settings choose from, without the libraries behind them."""

from __future__ import annotations

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
    "inactivity-rule",
    "base-rate",
]
MODELS: tuple[ModelName, ...] = get_args(ModelName)
ChampionName = Literal["auto", ModelName]
AUTO: ChampionName = "auto"
