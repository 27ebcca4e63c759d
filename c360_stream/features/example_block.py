"""Blocks of examples on their way from the account shards to the learner."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import FEATURES

# Of more examples a day those with the smallest hashes are judged: bounds what waits for its labels.
JUDGED_A_DAY_MAX = 2_000


@dataclass(slots=True)
class ExampleBlock:
    """Examples, n rows.

    Parameters
    ----------
    as_of_day
        int64, shape (n,): days since the Unix epoch.
    ids
        Account ids.
    features
        float64, shape (n, 21), as stored when the example was taken, NaN for null.
    churned
        bool, shape (n,): the label, where the block's kind has one.
    treated
        bool, shape (n,): contacted after the as-of, within the horizon and before it cancelled, as far as is known.
    """

    as_of_day: NDArray[np.int64]
    ids: list[str]
    features: NDArray[np.float64]
    churned: NDArray[np.bool_]
    treated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> ExampleBlock:
        """The rows at positions `rows`, in that order."""
        order = np.asarray(rows, np.int64)
        ids = [self.ids[row] for row in order.tolist()]
        return ExampleBlock(self.as_of_day[order], ids, self.features[order], self.churned[order], self.treated[order])

    def judged_rows(self) -> NDArray[np.int64]:
        """The rows of a day's examples that are judged later: at most 2,000."""
        return self.sampled_rows(JUDGED_A_DAY_MAX)

    def sampled_rows(self, most: int) -> NDArray[np.int64]:
        """As many rows of a day's examples, chosen by the ids alone; ascending."""
        if len(self) <= most:
            return np.arange(len(self))
        hashes = [(zlib.crc32(account.encode()), account) for account in self.ids]
        order = sorted(range(len(self)), key=hashes.__getitem__)
        return np.sort(np.array(order[:most]))

    @classmethod
    def none(cls) -> ExampleBlock:
        """No examples."""
        nobody = np.zeros(0, np.bool_)
        return cls(np.zeros(0, np.int64), [], np.zeros((0, len(FEATURES))), nobody, nobody)

    @classmethod
    def merged(cls, blocks: Sequence[ExampleBlock]) -> ExampleBlock:
        """All rows in canonical order: as-of, then account."""
        ids = [account for block in blocks for account in block.ids]
        if not ids:
            return cls.none()
        as_of_day = np.concatenate([block.as_of_day for block in blocks])
        days = as_of_day.tolist()
        order = np.array(sorted(range(len(ids)), key=lambda row: (days[row], ids[row])), np.int64)
        whole = cls(
            as_of_day,
            ids,
            np.concatenate([block.features for block in blocks]),
            np.concatenate([block.churned for block in blocks]),
            np.concatenate([block.treated for block in blocks]),
        )
        return whole.take(order)
