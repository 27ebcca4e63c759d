"""What became of contacted and other accounts: a week of as-ofs at a time, by playbook and tier."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np

from c360_stream.contracts.events import US_PER_DAY
from c360_stream.contracts.records import TIERS
from c360_stream.labels.contacts import NOT_CONTACTED, Group
from c360_stream.monitoring.outcome_watch import DAYS_PER_WEEK, SUNDAY
from c360_stream.monitoring.quality import wilson_interval
from c360_stream.monitoring.tick_stats import TickStats
from c360_stream.state.fields import Kept, fields

# Names come from strangers: of more in a week the rest go by one name.
PLAYBOOKS_MAX = 32
OTHER = "other"
# Of the table's column: a few thousand accounts with the highest MRR that the contract lets pass would be past it.
_CENTS_MAX = 2**63 - 1


class InterventionRow(NamedTuple):
    """Row of `interventions`, named and explained as its columns are."""

    as_of_us: int
    contacted: bool
    playbook: str
    tier: str
    accounts: int
    churned: int
    mrr_cents: int
    mrr_churned_cents: int
    mean_risk: float
    churn_rate: float
    churn_rate_low: float
    churn_rate_high: float


class _Example(NamedTuple):
    playbook: str
    churned: bool
    risk: float
    mrr_cents: int


class InterventionWatch(Kept):
    """Counts outcomes by group, and gives them once the last of a week (Monday to Sunday) has matured.

    What it keeps is bounded but for the examples of a week that are in a group: one per horizon and account, and
    the contacted ones.

    Parameters
    ----------
    horizon_days
        Of the labels.
    thresholds
        Risks at which tiers begin.
    """

    kept = fields(_week=list[_Example])

    def __init__(self, horizon_days: int, thresholds: tuple[float, float, float]) -> None:
        self._horizon_days = horizon_days
        self._thresholds = thresholds
        self._week: list[_Example] = []

    def on_tick(self, stats: TickStats) -> list[InterventionRow]:
        """Take a tick's matured examples; at the end of a week give its rows, ordered by group and tier."""
        mrr_cents = np.nan_to_num(stats.mrr_cents, nan=0.0).astype(np.int64).tolist()
        columns = (stats.group, stats.churned.tolist(), stats.risk.tolist(), mrr_cents)
        self._week += [_Example(group, *row) for group, *row in zip(*columns, strict=True) if group is not None]
        last_day = stats.tick - self._horizon_days
        if last_day % DAYS_PER_WEEK != SUNDAY:
            return []
        week, self._week = self._week, []
        return self._rows(last_day, week)

    def _rows(self, last_day: int, week: list[_Example]) -> list[InterventionRow]:
        kept = _most_frequent(week)
        tier = np.searchsorted(self._thresholds, [each.risk for each in week], side="right")
        cells: dict[tuple[bool, str, int], list[_Example]] = defaultdict(list)
        for each, of in zip(week, tier.tolist(), strict=True):
            contacted = each.playbook != NOT_CONTACTED
            name = OTHER if contacted and each.playbook not in kept else each.playbook
            cells[contacted, name, of].append(each)
        return [_row(last_day, *key, cells[key]) for key in sorted(cells)]


def _most_frequent(week: list[_Example]) -> set[Group]:
    counts = Counter(each.playbook for each in week if each.playbook not in {NOT_CONTACTED, OTHER})
    return set(sorted(counts, key=lambda name: (-counts[name], name))[:PLAYBOOKS_MAX])


def _row(last_day: int, contacted: bool, playbook: str, tier: int, examples: list[_Example]) -> InterventionRow:
    accounts, churned = len(examples), sum(each.churned for each in examples)
    low, high = wilson_interval(churned, accounts)
    return InterventionRow(
        as_of_us=last_day * US_PER_DAY,
        contacted=contacted,
        playbook=playbook,
        tier=TIERS[tier],
        accounts=accounts,
        churned=churned,
        mrr_cents=min(sum(each.mrr_cents for each in examples), _CENTS_MAX),
        mrr_churned_cents=min(sum(each.mrr_cents for each in examples if each.churned), _CENTS_MAX),
        # `fsum` is exact, so the order of the examples does not matter.
        mean_risk=math.fsum(each.risk for each in examples) / accounts,
        churn_rate=churned / accounts,
        churn_rate_low=low,
        churn_rate_high=high,
    )
