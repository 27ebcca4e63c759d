"""The contest: which model would have been better? Judged on predictions made before the outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.example_block import ExampleBlock
from c360_stream.models.columns import Floats
from c360_stream.state.fields import Kept, copied, fields

# A loss is what a risk within these bounds would have cost: one certain and wrong risk decides nothing.
_RISK_MIN = 1e-3
# Days of event time after which an outcome counts for half.
HALF_LIFE_DAYS = 90
_KEEP = 0.5 ** (1 / HALF_LIFE_DAYS)


class Standing(NamedTuple):
    """A model against another.

    Parameters
    ----------
    gain
        Mean log loss that it saves per example.
    t
        The gain in standard errors.
    examples
        Outcomes that this rests on, older ones counting less.
    """

    gain: float
    t: float
    examples: float


class Predictions(NamedTuple):
    """Predictions for the matured examples: row numbers in the block, and per model risks and raw log-odds."""

    rows: NDArray[np.int64]
    risk: dict[str, Floats]
    raw: dict[str, Floats]

    def over_block(self, values: Mapping[str, Floats], name: str, count: int) -> Floats:
        """A model's values over all rows of the block, shape (count,); NaN where it gave none."""
        spread = np.full(count, np.nan)
        if name in values:
            spread[self.rows] = values[name]
        return spread


class Contest(Kept):
    """Paired losses of all models on the same examples.

    The labels of one account overlap, since a single cancellation settles those of as many examples as the
    horizon has strides. So the standard error is that of as many examples fewer: as if all labels of an account
    within a horizon were one, which is never too small.

    Parameters
    ----------
    names
        Models.
    horizon_days, stride_days
        Of the labels, and between the examples of one account.

    References
    ----------
    Dawid, "Present position and potential developments: the prequential approach", JRSS A 1984. Gama, Sebastiao and
    Rodrigues, "On evaluating stream learning algorithms", Machine Learning 90, 2013: fading factors.
    """

    kept = fields(
        names=list[str],
        _count=copied(Floats),
        _sum=copied(Floats),
        _squares=copied(Floats),
        _loss=copied(Floats),
        _losses=copied(Floats),
        _waiting=dict[int, tuple[list[str], Floats, Floats]],
    )

    def __init__(self, names: Sequence[str], horizon_days: int, stride_days: int) -> None:
        self.names = list(names)
        self._overlap = math.ceil(horizon_days / stride_days)
        size = len(self.names)
        self._count = np.zeros((size, size))
        self._sum = np.zeros((size, size))
        self._squares = np.zeros((size, size))
        self._loss, self._losses = np.zeros(size), np.zeros(size)
        self._waiting: dict[int, tuple[list[str], Floats, Floats]] = {}

    def add_predictions(self, day: int, block: ExampleBlock, risk: dict[str, Floats], raw: dict[str, Floats]) -> None:
        """Keep the predictions for a day's n examples (ascending by account) until their labels are known.

        Parameters
        ----------
        risk, raw
            By model, shape (n,): risks, and log-odds before calibration; a model left out made none.
        """
        if not len(block):
            return
        chosen = block.judged_rows()
        columns = [
            np.stack([each[name][chosen] if name in each else np.full(len(chosen), np.nan) for name in self.names])
            for each in (risk, raw)
        ]
        self._waiting[day] = ([block.ids[row] for row in chosen.tolist()], columns[0], columns[1])

    def pop_predictions(self, day: int, block: ExampleBlock) -> Predictions:
        """Remove and return the predictions for a day's examples, which have matured."""
        ids, risk, raw = self._waiting.pop(day, ([], np.zeros((0, 0)), np.zeros((0, 0))))
        place = {account: column for column, account in enumerate(ids)}
        rows = [row for row, account in enumerate(block.ids) if account in place]
        columns = [place[block.ids[row]] for row in rows]
        return Predictions(
            np.array(rows, np.int64),
            {name: risk[i, columns] for i, name in enumerate(self.names) if len(ids)},
            {name: raw[i, columns] for i, name in enumerate(self.names) if len(ids)},
        )

    def pending_predictions(self, day: int, block: ExampleBlock, name: str) -> Floats:
        """A model's risks of examples of a day that still wait; shape (n,), NaN where nothing was kept."""
        ids, risk, _ = self._waiting.get(day, ([], np.zeros((0, 0)), np.zeros((0, 0))))
        i = self.names.index(name)
        return _of_accounts(block, ids, risk[i] if i < len(risk) else risk)

    def pending_log_odds(self, day: int, block: ExampleBlock, name: str) -> Floats:
        """A model's log-odds before calibration, shape (n,), as `pending_predictions`."""
        ids, _, raw = self._waiting.get(day, ([], np.zeros((0, 0)), np.zeros((0, 0))))
        i = self.names.index(name)
        return _of_accounts(block, ids, raw[i] if i < len(raw) else raw)

    def fade(self) -> None:
        """Let a day pass: what was judged before counts less."""
        for sums in (self._count, self._sum, self._squares, self._loss, self._losses):
            np.multiply(sums, _KEEP, out=sums)

    def judge(self, predictions: Predictions, churned: NDArray[np.bool_]) -> None:
        """Compare predictions with the labels of `predictions.rows`, shape (rows,)."""
        if not len(predictions.rows):
            return
        loss = np.stack([_loss(predictions.risk[name], churned) for name in self.names])
        known = ~np.isnan(loss)
        for i in range(len(self.names)):
            self._loss[i] += float(np.add.reduce(loss[i][known[i]]))
            self._losses[i] += int(known[i].sum())
            for j in range(i):
                both = known[i] & known[j]
                saved = loss[i][both] - loss[j][both]  # by j against i
                total, squares = float(np.add.reduce(saved)), float(np.add.reduce(saved * saved))
                self._sum[i, j] += total
                self._sum[j, i] -= total
                for pair in ((i, j), (j, i)):
                    self._count[pair] += len(saved)
                    self._squares[pair] += squares

    def standing(self, name: str, against: str) -> Standing:
        """How a model does against another."""
        pair = self.names.index(against), self.names.index(name)
        count = self._count[pair]
        if count < 2 * self._overlap:
            return Standing(0.0, 0.0, float(count))
        gain = self._sum[pair] / count
        variance = max(self._squares[pair] / count - gain * gain, 1e-12)
        return Standing(float(gain), float(gain / math.sqrt(variance * self._overlap / count)), float(count))

    def loss(self, name: str) -> float:
        """Mean log loss, recent outcomes counting more; NaN before any outcome."""
        i = self.names.index(name)
        return float(self._loss[i] / self._losses[i]) if self._losses[i] else math.nan

    def reset(self, name: str) -> None:
        """Forget a model's results and pending predictions: another one takes its name. A new name joins."""
        if name not in self.names:
            self.names.append(name)
            self._count, self._sum, self._squares = (
                np.pad(sums, ((0, 1), (0, 1))) for sums in (self._count, self._sum, self._squares)
            )
            self._loss, self._losses = np.pad(self._loss, (0, 1)), np.pad(self._losses, (0, 1))
        i = self.names.index(name)
        for sums in (self._count, self._sum, self._squares):
            sums[i, :] = sums[:, i] = 0.0
        self._loss[i] = self._losses[i] = 0.0
        self._waiting = {
            day: (ids, _without(risk, i), _without(raw, i)) for day, (ids, risk, raw) in self._waiting.items()
        }


def _of_accounts(block: ExampleBlock, ids: list[str], values: Floats) -> Floats:
    """The value of each account of a block, NaN where there is none."""
    by_account = dict(zip(ids, values.tolist(), strict=False))
    return np.array([by_account.get(account, math.nan) for account in block.ids], np.float64)


def _without(values: Floats, row: int) -> Floats:
    """A copy in which a row is NaN; lengthened if it has no such row."""
    longer = np.full((max(len(values), row + 1), values.shape[1]), np.nan)
    longer[: len(values)] = values
    longer[row] = np.nan
    return longer


def _loss(risk: Floats, churned: NDArray[np.bool_]) -> Floats:
    """Log loss, NaN where the risk is."""
    right = np.where(churned, risk, 1.0 - risk).tolist()
    return np.array([math.nan if math.isnan(p) else -math.log(min(max(p, _RISK_MIN), 1.0)) for p in right])
