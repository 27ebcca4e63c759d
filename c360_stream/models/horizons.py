"""Risks over other horizons than that of the labels: a curve that rises with the days, whatever was learnt.

What is learnt are conditional shares, each a function of the log-odds of the score. Of the accounts that cancel within
the horizon: how many do so within a shorter one. Of those that stay beyond it: how many cancel within a longer one.
Products of shares cannot fall as days grow, and the curve meets the score at its own horizon. A curve is fully observed
once its longest horizon has passed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.example_block import ExampleBlock
from c360_stream.models.calibration import LogOddsMap
from c360_stream.models.classifier import logit, sigmoid
from c360_stream.models.columns import Floats
from c360_stream.state.fields import Kept, PlainState, fields

# How many outcomes the settings' churn rate counts for.
PRIOR_OUTCOMES = 100
# Outcomes count for half in the base rate after half a year.
_KEEP = 0.5 ** (1 / 182)
DAYS_PER_MONTH = 30


PlainShares = list[tuple[int, float, float]]
PlainCurve = tuple[int, float, PlainShares, PlainShares]


class Share(NamedTuple):
    """A conditional share as a function of the score's log-odds: `sigmoid(slope * log-odds + offset)`."""

    slope: float
    offset: float


class RiskCurve(NamedTuple):
    """Risks by days, plain data of a model version.

    Parameters
    ----------
    horizon_days
        Of the score.
    base_rate
        Recent share of all accounts that cancels within it.
    shorter
        Days -> of those who cancel within the next longer horizon, the share that does so within these days; the
        longest first.
    longer
        Days -> of those who stay beyond the next shorter horizon, the share that cancels within these days; ascending.
    """

    horizon_days: int
    base_rate: float
    shorter: Mapping[int, Share]
    longer: Mapping[int, Share]

    @property
    def days(self) -> tuple[int, ...]:
        """All horizons, ascending."""
        return (*sorted(self.shorter), self.horizon_days, *sorted(self.longer))

    @property
    def persistence(self) -> float:
        """How much of an account's distance from the average, in log-odds, is left a month later: 0 to 0.98.

        From the first longer horizon: the slope of its share is how much is left from the middle of the horizon to
        the middle of the days behind it.
        """
        days, share = next(iter(self.longer.items()))
        months = days / 2 / DAYS_PER_MONTH
        return min(math.pow(max(share.slope, 0.0), 1 / months), 0.98)

    def risks(self, risk: Floats) -> Floats:
        """Risks over each of `days`, float64 of shape (n, days), given those over the horizon, (n,).

        >>> curve = RiskCurve(60, 0.1, {30: Share(0.0, 0.0)}, {90: Share(1.0, 0.0)})
        >>> curve.risks(np.array([0.2])).round(3).tolist()
        [[0.1, 0.2, 0.36]]
        """
        log_odds = [logit(p) for p in risk.tolist()]
        columns = {self.horizon_days: risk}
        below = above = risk
        for days, share in self.shorter.items():
            below = below * _shares(share, log_odds)
            columns[days] = below
        for days, share in self.longer.items():
            above = above + (1.0 - above) * _shares(share, log_odds)
            columns[days] = above
        return np.column_stack([columns[days] for days in self.days])

    def plain(self) -> PlainCurve:
        """Plain data for `from_plain`."""
        shorter, longer = (
            [(days, share.slope, share.offset) for days, share in part.items()] for part in (self.shorter, self.longer)
        )
        return self.horizon_days, self.base_rate, shorter, longer

    @classmethod
    def from_plain(cls, values: PlainCurve) -> RiskCurve:
        """What `plain` gave."""
        horizon_days, base_rate, *parts = values
        shorter, longer = ({days: Share(slope, offset) for days, slope, offset in part} for part in parts)
        return cls(horizon_days, base_rate, shorter, longer)


def _shares(share: Share, log_odds: list[float]) -> Floats:
    # Not numpy's exponential, whose last bit depends on the place in the array.
    return np.array([sigmoid(share.slope * z + share.offset) for z in log_odds], np.float64)


def learnt_horizons(horizon_days: int, curve_days: Sequence[int]) -> tuple[int, ...]:
    """Horizons to learn beside that of the score: those of the curve that is shown, and one that value needs.

    >>> learnt_horizons(60, (7, 30, 60))
    (7, 30, 90)
    """
    further = max(horizon_days * 3 // 2, horizon_days + 1)
    return tuple(sorted({*curve_days, further} - {horizon_days}))


class Judged(NamedTuple):
    """A fully observed curve and what happened: days ascending, float32 (n, days); days to the cancellation."""

    days: tuple[int, ...]
    predicted: NDArray[np.float32]
    cancelled_after: NDArray[np.int64]


class HorizonLearner(Kept):
    """Learns the shares, from the champion's predictions for examples whose longest horizon has passed.

    Of more than 2,000 examples a day those with the smallest hashes: it bounds what waits.

    Parameters
    ----------
    horizon_days
        Of the score.
    days
        The other horizons.
    churn_rate
        Expected share that cancels within the horizon, before any outcome.
    """

    kept = fields(
        _shorter=dict[int, LogOddsMap],
        _longer=dict[int, LogOddsMap],
        _churned=float,
        _settled=float,
        _waiting=dict[int, tuple[list[str], Floats, NDArray[np.float32]]],
    )

    def __init__(self, horizon_days: int, days: Sequence[int], churn_rate: float) -> None:
        self.horizon_days = horizon_days
        self._churned, self._settled = PRIOR_OUTCOMES * churn_rate, float(PRIOR_OUTCOMES)
        shorter = sorted((each for each in days if each < horizon_days), reverse=True)
        longer = sorted(each for each in days if each > horizon_days)
        self.reach_days = max((horizon_days, *longer))
        # At a constant rate of cancellation: as many as there are days, and no more of the riskier.
        self._shorter = {
            each: LogOddsMap(0.0, logit(each / before))
            for before, each in zip((horizon_days, *shorter), shorter, strict=False)
        }
        self._longer = {
            each: LogOddsMap(1.0, math.log((each - before) / horizon_days))
            for before, each in zip((horizon_days, *longer), longer, strict=False)
        }
        self._waiting: dict[int, tuple[list[str], Floats, NDArray[np.float32]]] = {}

    def curve(self) -> RiskCurve:
        """What has been learnt."""
        shorter = {days: Share(each.slope, each.offset) for days, each in self._shorter.items()}
        longer = {days: Share(each.slope, each.offset) for days, each in self._longer.items()}
        return RiskCurve(self.horizon_days, self._churned / self._settled, shorter, longer)

    def add_predictions(self, day: int, block: ExampleBlock, risk: Floats) -> None:
        """Keep the champion's predictions for a day's examples until they are fully observed."""
        rows = block.judged_rows()
        if len(rows):
            predicted = self.curve().risks(risk[rows]).astype(np.float32)
            self._waiting[day] = ([block.ids[row] for row in rows.tolist()], risk[rows], predicted)

    def learn_observed(self, day: int, cancelled_after: Mapping[str, int]) -> Judged | None:
        """Learn the examples of an as-of day.

        Parameters
        ----------
        cancelled_after
            Days from the as-of to the first cancellation, 1 within the first; 0 if there is none within reach.
        """
        if day not in self._waiting:
            return None
        ids, risk, predicted = self._waiting.pop(day)
        rows = [row for row, account in enumerate(ids) if account in cancelled_after]
        after = np.array([cancelled_after[ids[row]] for row in rows], np.int64)
        for row, days in zip(rows, after.tolist(), strict=True):
            self._learn(logit(float(risk[row])), days or self.reach_days + 1)
        within = int(np.count_nonzero((after > 0) & (after <= self.horizon_days)))
        self._churned, self._settled = _KEEP * self._churned + within, _KEEP * self._settled + len(rows)
        return Judged(self.curve().days, predicted[rows], after)

    def _learn(self, log_odds: float, days: int) -> None:
        if days <= self.horizon_days:
            for within, share in self._shorter.items():
                share.learn(log_odds, float(days <= within))
                if days > within:
                    return
        else:
            for within, share in self._longer.items():
                share.learn(log_odds, float(days <= within))
                if days <= within:
                    return

    def restore(self, state: PlainState) -> None:
        """Restore what `state` gave, unless the settings have other horizons by now."""
        if [*state["shorter"], *state["longer"]] == [*self._shorter, *self._longer]:
            super().restore(state)
