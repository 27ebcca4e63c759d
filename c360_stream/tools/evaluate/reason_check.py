"""Do reasons agree with sense? Judged by what is declared of a feature and what is ordinary in the log.

The judge knows nothing of how a sentence was chosen: a reason is against its direction if its value is on the better
side of the upper quartile of all accounts, and a mitigation if it is on the worse side of the lower one, where better
and worse follow from the declared direction alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from c360_stream.features.definitions import INDEX, SPECS
from c360_stream.scoring.reasons import Reasons, reasons
from c360_stream.scoring.scored import ScoredRows
from c360_stream.scoring.tiers import HIGH
from c360_stream.tools.evaluate.cells import Table, number, percent

Figures = dict[str, Any]
Floats = NDArray[np.float64]


class ReasonCheck:
    """Checks the reasons of the high and critical scores of one run. Memory: some 120 bytes for each of them.

    Parameters
    ----------
    high
        Risk from which a score has to have a reason. One that is held in its tier for a few days more, though its risk
        has fallen below this, may have nothing left that raises it.
    """

    def __init__(self, high: float = 0.0) -> None:
        self._high = high
        self._scores = 0
        self._without = 0
        self._first_lowers = 0
        self._difference = 0.0
        self._entries: list[NDArray[np.float64]] = [np.zeros((0, 4))]

    def take(self, scores: ScoredRows) -> None:
        """Take the scores of a shard's tick."""
        if not len(scores.risk):
            return
        added = scores.version.base_log_odds + scores.contributions.sum(axis=1)
        log_odds = np.log(scores.risk) - np.log1p(-scores.risk)
        self._difference = max(self._difference, float(np.abs(added - log_odds).max()))
        chosen = np.flatnonzero(scores.tier >= HIGH)
        needed = np.ones(len(chosen), np.bool_)
        fallen = scores.risk[chosen] < self._high
        self.count(*reasons(scores.features[chosen], scores.contributions[chosen], needed), fallen)

    def count(self, raising: Reasons, lowering: Reasons, fallen: NDArray[np.bool_] | None = None) -> None:
        """Count the reasons and mitigations of some high or critical scores; `fallen` may be without."""
        first, counts = raising.offsets[:-1], np.diff(raising.offsets)
        self._without += int(np.count_nonzero((counts == 0) & ~(np.False_ if fallen is None else fallen)))
        contribution = np.array(raising.contribution)
        self._first_lowers += int((contribution[first[counts > 0]] <= 0).sum())
        self._entries += [self._rows(raising, 1.0), self._rows(lowering, -1.0)]
        self._scores += len(counts)

    def _rows(self, reasons: Reasons, way: float) -> Floats:
        """One row per reason: number of the score, column (-1 for no feature), value, and 1 (raising) or -1."""
        number_of = self._scores + np.repeat(np.arange(len(reasons.offsets) - 1), np.diff(reasons.offsets))
        column = [INDEX.get(name, -1) for name in reasons.feature]
        value = np.array(reasons.value, np.float64)
        return np.stack([number_of, np.array(column, np.float64), value, np.full(len(column), way)], axis=1)

    def figures(self, ordinary: Floats) -> Figures:
        """The result.

        Parameters
        ----------
        ordinary
            Feature rows of all kinds of accounts, shape (n, 21), NaN for null.
        """
        score, column, value, way = np.concatenate(self._entries).T
        against = np.zeros(len(score), np.bool_)
        for place, spec in enumerate(SPECS):
            known = ordinary[~np.isnan(ordinary[:, place]), place]
            if spec.bad is None or not len(known):
                continue
            side = -1.0 if spec.bad == "high" else 1.0  # turned so that more is better
            lower, upper = np.quantile(known * side, [0.25, 0.75])
            turned = value * side  # a null is on no side
            against |= (column == place) & np.where(way > 0, turned > upper, turned < lower)
        shares = {
            "against_direction": len(np.unique(score[against])),
            "without_reason": self._without,
            "first_lowers": self._first_lowers,
            "only_fallback": int(((column < 0) & (way > 0)).sum()),
        }
        wrong = np.bincount(column[against].astype(np.int64), minlength=len(SPECS)).tolist()
        found: Figures = {
            "scores": self._scores,
            "largest_difference": self._difference,
            "against_direction_by_feature": {name: wrong[place] for name, place in INDEX.items() if wrong[place]},
        }
        return found | {
            f"share_{name}": count / self._scores if self._scores else None for name, count in shares.items()
        }


_SHARES = (
    ("share_against_direction", "#against their direction"),
    ("share_without_reason", "#without any"),
    ("share_first_lowers", "#first one lowers the risk"),
    ("share_only_fallback", "#no topic can be told"),
)


def reason_table(figures: Figures) -> Table:
    """One row per world and run."""
    rows = []
    for world in figures["worlds"]:
        for name, run in world["runs"].items():
            check = run["reasons"]
            shares = (percent(check[share], 2) for share, _ in _SHARES)
            difference = number(check["largest_difference"], ".1e")
            rows.append((world["world"]["title"], name, f"{check['scores']:,}", *shares, difference))
    return Table(("world", "run", "#scores", *(name for _, name in _SHARES), "#largest difference"), rows)
