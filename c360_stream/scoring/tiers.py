"""Tiers of risk that stay: entered at once, left only when the risk has been well below for some days."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from c360_stream.contracts.records import TIERS

HIGH = TIERS.index("high")
NO_TIER = -1


class Tiers:
    """Assigns tiers (indexes into `TIERS`).

    At a tick, a tier is entered as soon as the risk is at its threshold. It is left once the risk has been below a
    lower line, the threshold less a band, at every tick of the last `min_days`. So an account that enters a tier stays
    in it, or above, for `min_days` or more. What has to be remembered are risks, not tiers: the highest risk of the
    last `min_days` decides which tiers may be left.

    Between ticks a tier can only rise, and only if the risk is above the threshold by the band. The tick that follows
    does not know of it (`docs/decisions/0001-ticks-form-a-chain-of-their-own.md`), and would take back what was not
    certain.

    Parameters
    ----------
    thresholds
        Risk at which `medium`, `high` and `critical` begin; ascending.
    hysteresis
        The band, as a share of the threshold.
    min_days
        Ticks, one per day, at which the risk has to be below the band in a row; at 0 as at 1, a single one is enough.

    Examples
    --------
    Three accounts at three ticks, the newest first. The first has been below 0.2 for two ticks and leaves `high`; the
    second was above a day ago and stays; the third is in the band and stays:

    >>> tiers = Tiers((0.1, 0.25, 0.5), hysteresis=0.2, min_days=2)
    >>> risks = np.array([[0.15, 0.15, 0.21], [0.19, 0.3, 0.19], [0.3, 0.1, 0.3]])
    >>> tiers.at_tick(risks, np.array([2, 2, 2], np.int8)).tolist()
    [1, 2, 2]

    Between ticks 0.28 is not certain to be `high` at the next tick, 0.31 is; nothing falls:

    >>> tiers.between(np.array([0.28, 0.31, 0.05]), np.array([1, 1, 1], np.int8)).tolist()
    [1, 2, 1]
    """

    def __init__(self, thresholds: tuple[float, float, float], hysteresis: float, min_days: int) -> None:
        self._enter = np.array(thresholds)
        self._leave = self._enter * (1.0 - hysteresis)
        self._certain = self._enter * (1.0 + hysteresis)
        self.ticks = max(min_days, 1)
        """How many of the last risks count."""

    def at_tick(self, risks: NDArray[np.float64], previous: NDArray[np.int8]) -> NDArray[np.int8]:
        """Tiers at a tick, int8 of shape (n,).

        Parameters
        ----------
        risks
            Shape (ticks, n): this tick's first, then those of the ticks before it; NaN where there was none. Risks of
            an earlier subscription do no harm: no tier that was entered since depends on them.
        previous
            Tiers at the tick before, shape (n,); `NO_TIER` for none.
        """
        entered = self.entered(risks[0])
        kept = np.searchsorted(self._leave, np.fmax.reduce(risks[: self.ticks], axis=0), side="right")
        return np.maximum(entered, np.minimum(previous, kept)).astype(np.int8)

    def between(self, risk: NDArray[np.float64], previous: NDArray[np.int8]) -> NDArray[np.int8]:
        """Tiers between ticks, int8 of shape (n,), given those of the last emitted scores."""
        return np.maximum(previous, np.searchsorted(self._certain, risk, side="right")).astype(np.int8)

    def entered(self, risk: NDArray[np.float64]) -> NDArray[np.int8]:
        """Tiers whose thresholds the risks have reached, int8 of shape (n,): those of accounts without a past."""
        return np.searchsorted(self._enter, risk, side="right").astype(np.int8)
