"""What a run's own scores rest on: how much each group of features adds to them on average."""

from __future__ import annotations

from typing import Any

import numpy as np

from c360_stream.features.definitions import FEATURES, GROUPS, SPECS
from c360_stream.scoring.scored import ScoredRows

COLUMNS_OF: dict[str, list[int]] = {
    group: [column for column, spec in enumerate(SPECS) if spec.group == group] for group in GROUPS
}
"""Group of features -> its columns of the feature matrix."""


class Contributions:
    """Adds up the contributions of all tick scores of one run, against the average account."""

    def __init__(self) -> None:
        self._scores = 0
        self._groups = np.zeros(len(GROUPS))
        self._features = np.zeros(len(FEATURES))

    def take(self, scores: ScoredRows) -> None:
        """Take the scores of a shard's tick."""
        self._scores += len(scores.risk)
        added = scores.contributions
        self._features += np.abs(added).sum(axis=0)
        for place, columns in enumerate(COLUMNS_OF.values()):
            self._groups[place] += np.abs(added[:, columns].sum(axis=1)).sum()

    def figures(self) -> dict[str, Any]:
        """Mean absolute contribution to the log-odds: by group, a score's added up first, and by feature."""
        count = max(self._scores, 1)
        return {
            "groups": dict(zip(COLUMNS_OF, (self._groups / count).tolist(), strict=True)),
            "features": dict(zip(FEATURES, (self._features / count).tolist(), strict=True)),
        }
