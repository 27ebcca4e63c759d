"""The scores of every account at every tick in one byte each, with whether the risk is `high`; and cancellations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from c360_stream.arrays.growth import grow_array
from c360_stream.features.definitions import INDEX
from c360_stream.features.emissions import TickRows
from c360_stream.scoring.scored import ScoredTick
from c360_stream.scoring.tiers import NO_TIER

_OVER = 4
_MRR = INDEX["mrr_cents"]


class Matrices(NamedTuple):
    """All ticks (rows, the first is `first_day`) and accounts (columns).

    Parameters
    ----------
    first_day
        Day of the first row.
    ids
        Account ids, one per column.
    tier
        int8: index into `TIERS`, or `NO_TIER` where the account was not scored.
    over
        bool: the risk was at or above the threshold of `high`.
    gone
        bool: the account cancelled in the day before this tick.
    mrr_cents
        float64, one per column: at the last tick that the account was scored at; NaN if unknown.
    """

    first_day: int
    ids: list[str]
    tier: NDArray[np.int8]
    over: NDArray[np.bool_]
    gone: NDArray[np.bool_]
    mrr_cents: NDArray[np.float64]


class _Shard:
    """One shard's part; the arrays grow by doubling."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.coded: list[NDArray[np.int8]] = []
        self.gone: list[NDArray[np.int32]] = []
        self.mrr = np.full(64, np.nan)

    def take(self, rows: TickRows, scored: ScoredTick, high: float) -> None:
        self.ids += rows.new_ids
        self.mrr = grow_array(self.mrr, len(self.ids), np.nan)
        coded = np.full(len(self.ids), NO_TIER, np.int8)
        coded[rows.account] = scored.scores.tier + _OVER * (scored.scores.risk >= high)
        self.coded.append(coded)
        self.gone.append(rows.gone)
        self.mrr[rows.account] = rows.features[:, _MRR]


class ScoreLedger:
    """Records the ticks of one run. Memory: one byte per account and tick, and 8 per account.

    Parameters
    ----------
    shards
        How many there are.
    high
        Risk at which the tier `high` begins.
    """

    def __init__(self, shards: int, high: float) -> None:
        self._shards = [_Shard() for _ in range(shards)]
        self._high = high
        self._first_day: int | None = None

    def take(self, day: int, rows: list[TickRows], scored: list[ScoredTick]) -> None:
        """Take a tick; rows and scores are in the order of the shards."""
        if self._first_day is None:
            self._first_day = day
        for one, shard_scores in zip(rows, scored, strict=True):
            self._shards[one.shard].take(one, shard_scores, self._high)

    def matrices(self) -> Matrices:
        """Everything, the accounts in the order of their ids."""
        ids = [account for shard in self._shards for account in shard.ids]
        ticks = len(self._shards[0].coded)
        coded = np.full((ticks, len(ids)), NO_TIER, np.int8)
        gone = np.zeros((ticks, len(ids)), np.bool_)
        begin = 0
        for shard in self._shards:
            for tick, (values, left) in enumerate(zip(shard.coded, shard.gone, strict=True)):
                coded[tick, begin : begin + len(values)] = values
                gone[tick, begin + left] = True
            begin += len(shard.ids)
        mrr = np.concatenate([shard.mrr[: len(shard.ids)] for shard in self._shards])
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
        coded = coded[:, order]
        tier = np.where(coded >= 0, coded % _OVER, NO_TIER).astype(np.int8)
        return Matrices(self._first_day or 0, [ids[i] for i in order], tier, coded >= _OVER, gone[:, order], mrr[order])
