"""All scorers of a world: the runs, the batch models, the best there could be, and rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import INDEX
from c360_stream.tools.evaluate.baselines import baselines
from c360_stream.tools.evaluate.floor import floor
from c360_stream.tools.evaluate.names import FLOOR, LIGHTGBM, ORACLE, REGRESSION, SILENCE, STUMPS
from c360_stream.tools.evaluate.refits import (
    Boosted,
    Fit,
    Peer,
    Refit,
    WarmUp,
    boosted,
    refitted,
    regression,
    schedule,
    stumps,
)
from c360_stream.tools.evaluate.world import Replayed, World

Floats = NDArray[np.float64]

_FITS: dict[str, Fit] = {LIGHTGBM: boosted, STUMPS: stumps, REGRESSION: regression}


@dataclass(frozen=True)
class Scorers:
    """All scorers of a world: by name the risk of each example, NaN where there is none; and the batch models."""

    scores: dict[str, Floats]
    batch: dict[str, Peer]
    refits: list[Refit]
    floor_kinds: dict[str, str]

    @property
    def lightgbm_rounds(self) -> list[int]:
        """Of each fit of LightGBM."""
        fitted = self.batch[LIGHTGBM].fitted if LIGHTGBM in self.batch else []
        return [each.rounds for each in fitted if isinstance(each, Boosted)]


def scorers_of(world: World, replayed: Replayed) -> Scorers:
    """Fit what has to be fitted, and put all risks side by side."""
    first_run, examples = replayed.contestants[0], replayed.examples
    settings = first_run.settings
    scores = {each.name: examples.risk[each.name] for each in replayed.contestants}
    warm_up = WarmUp(settings.warmup_outcomes, settings.warmup_churned)
    refits = schedule(examples, replayed.first_day, settings.horizon_days, warm_up)
    batch = {name: refitted(examples.features, refits, fit) for name, fit in _FITS.items() if refits}
    scores |= {name: peer.risk for name, peer in batch.items()}
    kinds: dict[str, str] = {}
    if examples.true_risk is not None:
        best, kinds = floor(examples, world.change_day)
        scores |= {FLOOR: best, ORACLE: examples.true_risk}
    scores |= baselines(examples, settings.horizon_days, settings.prior_churn_rate)
    silent_days = examples.features[:, INDEX["days_since_last_activity"]]
    scores[SILENCE] = np.where(np.isnan(silent_days), np.inf, silent_days)
    return Scorers(scores, batch, refits, kinds)
