"""Which playbook keeps accounts? Outcomes of contacted and other accounts compared, tier by tier.

Contacted accounts were chosen, mostly because they looked bad, so groups are compared within tiers of stored risk and
the differences are then averaged. That allows for what the scores know, and for nothing else.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import NormalDist
from typing import NamedTuple

from c360_stream.labels.contacts import NOT_CONTACTED
from c360_stream.monitoring.interventions import OTHER
from c360_stream.monitoring.quality import wilson_interval

# What a group has to be large enough to show: a two-sided test at 5%, with a power of 80%, of 5 points of retention.
LEVEL, POWER, DIFFERENCE = 0.05, 0.80, 0.05
_Z_95 = NormalDist().inv_cdf(1 - LEVEL / 2)


@dataclass(frozen=True, slots=True)
class Cell:
    """Outcomes of one group in one tier, all weeks together.

    Parameters
    ----------
    playbook
        `NOT_CONTACTED`, or the playbook of those that were contacted.
    tier
        Of the risk that was stored at the as-of.
    accounts, churned
        Examples, and those that cancelled.
    mrr_cents, mrr_churned_cents
        Their MRR at the as-of.
    expected_churned
        Sum of the stored risks.
    """

    playbook: str
    tier: str
    accounts: int
    churned: int
    mrr_cents: int
    mrr_churned_cents: int
    expected_churned: float


class Stratum(NamedTuple):
    """Outcomes of two groups in one tier: accounts and churned of the one, then of the one that it is held against."""

    accounts: int
    churned: int
    others: int
    others_churned: int

    @property
    def weight(self) -> float:
        """Of Mantel and Haenszel; 0 where a group is empty."""
        both = self.accounts + self.others
        return self.accounts * self.others / both if both else 0.0


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """What became of one group. Shares are of its accounts, `mrr_kept` of its MRR; NaN where there are none."""

    playbook: str
    accounts: int
    churned: int
    retention: float
    retention_low: float
    retention_high: float
    expected_retention: float
    mrr_cents: int
    mrr_kept: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One group against another.

    Parameters
    ----------
    playbook, against
        The groups.
    accounts, against_accounts
        Of each, in the tiers that both have.
    lift, lift_low, lift_high
        Retention of the one less that of the other, and its 95% interval; NaN if no tier has both.
    p_value
        Of the hypothesis that it makes no difference in any tier; NaN where nobody or everybody churned.
    accounts_min
        Accounts that each group needs to show a difference of 5 points.
    """

    playbook: str
    against: str
    accounts: int
    against_accounts: int
    lift: float
    lift_low: float
    lift_high: float
    p_value: float
    accounts_min: int

    @property
    def too_small(self) -> bool:
        """Whether a group has fewer accounts than it needs."""
        return min(self.accounts, self.against_accounts) < self.accounts_min


def with_others(cells: Iterable[Cell], playbooks_max: int) -> list[Cell]:
    """The cells of the playbooks with the most accounts (ties by name); those of the rest become one playbook's.

    >>> cells = [Cell(name, "low", count, 0, 0, 0, 0.5) for name, count in (("", 90), ("a", 5), ("b", 9), ("c", 3))]
    >>> [(cell.playbook, cell.accounts) for cell in with_others(cells, 1)]
    [('', 90), ('b', 9), ('other', 8)]
    """
    cells = list(cells)
    counts = Counter[str]()
    for cell in cells:
        counts[cell.playbook] += cell.accounts
    frequent = sorted(set(counts) - {NOT_CONTACTED, OTHER}, key=lambda name: (-counts[name], name))[:playbooks_max]
    merged: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        name = cell.playbook if cell.playbook in {NOT_CONTACTED, *frequent} else OTHER
        other = merged.get((name, cell.tier))
        merged[name, cell.tier] = replace(cell, playbook=name) if other is None else _sum(other, cell)
    return [merged[key] for key in sorted(merged)]


def _sum(cell: Cell, more: Cell) -> Cell:
    return Cell(
        playbook=cell.playbook,
        tier=cell.tier,
        accounts=cell.accounts + more.accounts,
        churned=cell.churned + more.churned,
        mrr_cents=cell.mrr_cents + more.mrr_cents,
        mrr_churned_cents=cell.mrr_churned_cents + more.mrr_churned_cents,
        expected_churned=cell.expected_churned + more.expected_churned,
    )


def summaries(cells: Iterable[Cell]) -> list[GroupSummary]:
    """A summary of each group: those not contacted first, then playbooks by name."""
    by_group = _by_group(cells)
    return [_summary(name, by_group[name]) for name in sorted(by_group)]


def against_not_contacted(cells: Sequence[Cell]) -> list[Comparison]:
    """Each playbook against those that were not contacted, by name."""
    by_group = _by_group(cells)
    names = sorted(set(by_group) - {NOT_CONTACTED})
    return [compare(by_group[name], by_group[NOT_CONTACTED]) for name in names if NOT_CONTACTED in by_group]


def between_playbooks(cells: Sequence[Cell]) -> list[Comparison]:
    """Every two playbooks against each other, by name."""
    by_group = _by_group(cells)
    names = sorted(set(by_group) - {NOT_CONTACTED})
    return [compare(by_group[one], by_group[other]) for one, other in combinations(names, 2)]


def compare(group: Sequence[Cell], against: Sequence[Cell]) -> Comparison:
    """Compare two groups in the tiers that both have."""
    ones, others = ({cell.tier: cell for cell in each} for each in (group, against))
    tiers = sorted(set(ones) & set(others))
    strata = [
        Stratum(ones[tier].accounts, ones[tier].churned, others[tier].accounts, others[tier].churned) for tier in tiers
    ]
    fewer, low, high = churn_difference(strata)
    weight = sum(stratum.weight for stratum in strata)
    # The other group's, at the tiers of this comparison.
    base = sum(each.weight * each.others_churned / each.others for each in strata if each.weight) / (weight or 1.0)
    return Comparison(
        playbook=group[0].playbook,
        against=against[0].playbook,
        accounts=sum(stratum.accounts for stratum in strata),
        against_accounts=sum(stratum.others for stratum in strata),
        lift=-fewer,
        lift_low=-high,
        lift_high=-low,
        p_value=cochran_mantel_haenszel(strata),
        accounts_min=accounts_needed(base),
    )


def churn_difference(strata: Iterable[Stratum]) -> tuple[float, float, float]:
    """Churn rate of the one group less that of the other: averaged over strata by their weights, with a 95% interval.

    The interval is Sato's, right for a few large strata as for many small ones. NaN where there is no stratum with both
    groups; the interval is NaN too where nobody or everybody churned, since then nothing shows how much rates scatter.

    >>> [round(value, 4) for value in churn_difference([Stratum(106, 8, 120, 5), Stratum(98, 22, 85, 16)])]
    [0.0349, -0.0276, 0.0974]

    References
    ----------
    Mantel and Haenszel, JNCI 22, 1959; Greenland and Robins, "Estimation of a common effect parameter from sparse
    follow-up data", Biometrics 41, 1985. Sato, "On the variance estimator for the Mantel-Haenszel risk difference",
    Biometrics 45, 1989. The example is the University Group Diabetes Program's, from Rothman, "Modern Epidemiology".
    """
    strata = [stratum for stratum in strata if stratum.weight]
    weight = sum(stratum.weight for stratum in strata)
    if not weight:
        return math.nan, math.nan, math.nan
    difference = sum(s.weight * (s.churned / s.accounts - s.others_churned / s.others) for s in strata) / weight
    if not _varies(strata):
        return difference, math.nan, math.nan
    variance = sum(difference * _skew(stratum) + _scatter(stratum) for stratum in strata) / weight**2
    half = _Z_95 * math.sqrt(max(variance, 0.0))
    return difference, difference - half, difference + half


def _skew(s: Stratum) -> float:
    """P of Sato's variance."""
    both = s.accounts + s.others
    unlike = s.accounts * s.others * (s.others - s.accounts) / 2
    return (s.accounts**2 * s.others_churned - s.others**2 * s.churned + unlike) / both**2


def _scatter(s: Stratum) -> float:
    """Q of Sato's variance."""
    crossed = s.churned * (s.others - s.others_churned) + s.others_churned * (s.accounts - s.churned)
    return crossed / (2 * (s.accounts + s.others))


def _varies(strata: Sequence[Stratum]) -> bool:
    churned = sum(stratum.churned + stratum.others_churned for stratum in strata)
    return 0 < churned < sum(stratum.accounts + stratum.others for stratum in strata)


def cochran_mantel_haenszel(strata: Iterable[Stratum]) -> float:
    """p-value of the Cochran-Mantel-Haenszel test, without continuity correction; NaN if no stratum has information.

    >>> round(cochran_mantel_haenszel([Stratum(20, 15, 20, 5)]), 5)
    0.00179

    References
    ----------
    Mantel and Haenszel, JNCI 22, 1959; Agresti, "Categorical Data Analysis", section 6.3.
    """
    surplus = variance = 0.0
    for each in strata:
        both, churned = each.accounts + each.others, each.churned + each.others_churned
        if both < 2:
            continue
        surplus += each.churned - each.accounts * churned / both
        variance += each.accounts * each.others * churned * (both - churned) / (both**2 * (both - 1))
    # Two-sided, of a chi-square with one degree of freedom.
    return math.erfc(abs(surplus) / math.sqrt(2 * variance)) if variance else math.nan


def accounts_needed(churn_rate: float, difference: float = DIFFERENCE) -> int:
    """Accounts that each of two groups of a size needs, so that a test at 5% sees the difference with a power of 80%.

    From this churn rate (0 to 1) to one lower by `difference`, or higher where it cannot be lower.

    >>> accounts_needed(0.10), accounts_needed(0.50)
    (435, 1565)

    References
    ----------
    Fleiss, Levin and Paik, "Statistical Methods for Rates and Proportions", 2003, section 4.2, without the continuity
    correction.
    """
    other = churn_rate - difference if churn_rate >= difference else churn_rate + difference
    middle = (churn_rate + other) / 2
    null = math.sqrt(2 * middle * (1 - middle))
    alternative = math.sqrt(churn_rate * (1 - churn_rate) + other * (1 - other))
    reach = _Z_95 * null + NormalDist().inv_cdf(POWER) * alternative
    return math.ceil((reach / difference) ** 2)


def _summary(name: str, cells: Sequence[Cell]) -> GroupSummary:
    accounts = sum(cell.accounts for cell in cells)
    churned = sum(cell.churned for cell in cells)
    mrr_cents = sum(cell.mrr_cents for cell in cells)
    low, high = wilson_interval(accounts - churned, accounts)
    return GroupSummary(
        playbook=name,
        accounts=accounts,
        churned=churned,
        retention=(accounts - churned) / accounts if accounts else math.nan,
        retention_low=low,
        retention_high=high,
        expected_retention=1 - math.fsum(cell.expected_churned for cell in cells) / accounts if accounts else math.nan,
        mrr_cents=mrr_cents,
        mrr_kept=1 - sum(cell.mrr_churned_cents for cell in cells) / mrr_cents if mrr_cents else math.nan,
    )


def _by_group(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    groups: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.playbook].append(cell)
    return groups
