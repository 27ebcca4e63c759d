"""Has the relation between features and churn changed? ADWIN on the log loss of matured labels."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Any, NamedTuple
from zlib import crc32

from river.drift import ADWIN

from c360_stream.errors import StateError

# The layout of ADWIN's state may change with River's release.
_RIVER = version("river")
# A loss is capped as if no risk were below 1% or above 99%: ADWIN's bound is for values in 0..1, and a wide
# scale would make it blind.
_RISK_MIN = 0.01
_LOSS_MAX = -math.log(_RISK_MIN)
# Mean loss of late over what it was: below this, a change is certain but immaterial, or one for the better.
RISE_MIN = 1.1
# Labels that the mean loss of late is taken over, with exponentially falling weights.
_RECENT_LABELS = 500


class Change(NamedTuple):
    """Mean log loss, capped at 4.6 a label: over ADWIN's window until the change, and of late."""

    before: float
    after: float


class ConceptDrift:
    """Watches the loss of one model's stored scores.

    Labels of one account overlap: a single cancellation settles those of as many weeks as the horizon has. ADWIN
    takes its values for independent, so each account gives one label a horizon, and in an order that has
    nothing to do with when it signed up.

    Parameters
    ----------
    horizon_days, stride_days
        Of the labels, and between the examples of one account.

    References
    ----------
    Bifet and Gavalda, "Learning from time-changing data with adaptive windowing", SDM 2007.
    """

    def __init__(self, horizon_days: int, stride_days: int) -> None:
        self._stride_days = stride_days
        self._turns = math.ceil(horizon_days / stride_days)
        self._model = ""
        self._adwin = _adwin()
        self._recent, self._seen = 0.0, 0

    def update(
        self, model: str, as_of_day: int, account_ids: list[str], churned: list[bool], risks: list[float]
    ) -> Change | None:
        """Take the labels of an as-of day; the latest change in their loss, if any.

        A change of `model` starts afresh: another model's loss is no sign of drift.
        """
        if model != self._model:
            self._model, self._adwin = model, _adwin()
            self._recent, self._seen = 0.0, 0
        turn = as_of_day // self._stride_days
        hashes = [crc32(account.encode()) for account in account_ids]
        drawn = [row for row, code in enumerate(hashes) if (code + turn) % self._turns == 0]
        found = None
        for row in sorted(drawn, key=lambda row: (hashes[row] // self._turns, account_ids[row])):
            found = self._feed(_scaled_loss(churned[row], risks[row])) or found
        return found

    def _feed(self, value: float) -> Change | None:
        adwin = self._adwin
        before = float(adwin.estimation)
        adwin.update(value)
        self._seen = min(self._seen + 1, _RECENT_LABELS)
        self._recent += (value - self._recent) / self._seen
        if not adwin.drift_detected:
            return None
        return Change(before * _LOSS_MAX, self._recent * _LOSS_MAX)

    def state(self) -> dict[str, Any]:
        """Plain data for `restore`. River's window gives its fields as bytes, laid out by its release."""
        return {
            "river": _RIVER,
            "model": self._model,
            "window": self._adwin._helper.__getstate__(),
            "detected": bool(self._adwin.drift_detected),
            "recent": self._recent,
            "seen": self._seen,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave.

        Raises
        ------
        StateError
            If another release of River wrote it.
        """
        if state["river"] != _RIVER:
            raise StateError(
                f"drift detector state is of River {state['river']}, this is {_RIVER}",
                "run the release that wrote it, or start with an empty recovery directory",
            )
        self._model = state["model"]
        self._adwin = _adwin()
        self._adwin._helper.__setstate__(state["window"])
        self._adwin._drift_detected = state["detected"]
        self._recent, self._seen = state["recent"], state["seen"]


def _adwin() -> Any:
    return ADWIN()  # type: ignore[no-untyped-call]


def _scaled_loss(churned: bool, risk: float) -> float:
    """Log loss over its cap, so in 0..1."""
    right = min(max(risk if churned else 1.0 - risk, _RISK_MIN), 1.0)
    return -math.log(right) / _LOSS_MAX
