"""Tiers of risk, with hysteresis so that a risk near a threshold does not flap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TIERS: tuple[str, ...] = ("low", "medium", "high", "critical")
HIGH = TIERS.index("high")
NO_TIER = -1


class Tiers:
    """Assigns tiers: one is entered at its threshold and left below its threshold less the hysteresis.

    Parameters
    ----------
    thresholds
        Risk at which `medium`, `high` and `critical` begin; ascending.
    hysteresis
        Share of its threshold by which risk has to fall below it to leave a tier.

    Examples
    --------
    >>> tiers = Tiers((0.1, 0.25, 0.5), hysteresis=0.1)
    >>> tiers.assign(np.array([0.24, 0.24, 0.2]), np.array([NO_TIER, 2, 2])).tolist()
    [1, 2, 1]
    """

    def __init__(self, thresholds: tuple[float, float, float], hysteresis: float) -> None:
        self._enter = np.array(thresholds)
        self._leave = self._enter * (1.0 - hysteresis)

    def assign(self, risk: NDArray[np.float64], previous: NDArray[np.int8]) -> NDArray[np.int8]:
        """Tiers (index into `TIERS`, int8 of shape (n,)) given the previous ones, `NO_TIER` for none."""
        lowest = np.searchsorted(self._enter, risk, side="right")
        highest = np.searchsorted(self._leave, risk, side="right")
        held = np.where(previous == NO_TIER, lowest, previous)
        return np.clip(held, lowest, highest).astype(np.int8)
