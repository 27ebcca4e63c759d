"""Statistics of playbooks, against published examples, SciPy and simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_stream.labels.contacts import NOT_CONTACTED
from c360_stream.monitoring.playbooks import (
    Cell,
    Stratum,
    accounts_needed,
    against_not_contacted,
    between_playbooks,
    churn_difference,
    cochran_mantel_haenszel,
    compare,
    summaries,
    with_others,
)
from c360_stream.monitoring.quality import wilson_interval

# Lung cancer and smoking in eight Chinese cities (Agresti, "Categorical Data Analysis"): of the smokers and of the
# others, cases and controls. Admissions to Berkeley by department (R's `UCBAdmissions`): of men and of women, admitted
# and rejected.
_SMOKING = (
    *((126, 100, 35, 61), (908, 688, 497, 807), (913, 747, 336, 598), (235, 172, 58, 121)),
    *((402, 308, 121, 215), (182, 156, 72, 98), (60, 99, 11, 43), (104, 89, 21, 36)),
)
_BERKELEY = (
    *((512, 313, 89, 19), (353, 207, 17, 8), (120, 205, 202, 391)),
    *((138, 279, 131, 244), (53, 138, 94, 299), (22, 351, 24, 317)),
)
# University Group Diabetes Program, deaths under tolbutamide and placebo below and above 55 (Rothman and Greenland,
# "Modern Epidemiology").
_DIABETES = (Stratum(106, 8, 120, 5), Stratum(98, 22, 85, 16))


def strata(tables: tuple[tuple[int, int, int, int], ...]) -> list[Stratum]:
    return [Stratum(a + b, a, c + d, c) for a, b, c, d in tables]


def chi_square(p_value: float) -> float:
    stats = pytest.importorskip("scipy.stats")
    return float(stats.chi2.isf(p_value, 1))


@pytest.mark.parametrize(("tables", "published"), [(_SMOKING, 280.1), (_BERKELEY, 1.5246)])
def test_the_test_gives_published_statistics(tables: tuple[tuple[int, int, int, int], ...], published: float) -> None:
    assert chi_square(cochran_mantel_haenszel(strata(tables))) == pytest.approx(published, rel=2e-4)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_of_one_stratum_it_is_pearson_s_test(accounts: int, others: int, data: st.DataObject) -> None:
    stats = pytest.importorskip("scipy.stats")
    churned, lost = data.draw(st.integers(0, accounts)), data.draw(st.integers(0, others))
    found = cochran_mantel_haenszel([Stratum(accounts, churned, others, lost)])
    if churned + lost in (0, accounts + others):
        assert math.isnan(found)
        return
    table = [[churned, accounts - churned], [lost, others - lost]]
    pearson = stats.chi2_contingency(table, correction=False).statistic * (accounts + others - 1) / (accounts + others)
    assert found == pytest.approx(float(stats.chi2.sf(pearson, 1)), rel=1e-9, abs=1e-12)


def test_the_difference_gives_a_published_example() -> None:
    difference, low, high = churn_difference(_DIABETES)
    assert difference == pytest.approx(0.035, abs=0.0005)
    # For strata as large as these Sato's interval is close to that of independent rates, weighted alike.
    weight = sum(each.weight for each in _DIABETES)
    variance = 0.0
    for each in _DIABETES:
        one, other = each.churned / each.accounts, each.others_churned / each.others
        own = one * (1 - one) / each.accounts + other * (1 - other) / each.others
        variance += (each.weight / weight) ** 2 * own
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(variance), rel=0.03)


@pytest.mark.parametrize("sizes", [[(300, 900), (120, 200), (40, 30)], [(2, 6)] * 120], ids=["few large", "many small"])
def test_the_interval_covers(sizes: list[tuple[int, int]]) -> None:
    rng, truth, covered, rejected = np.random.default_rng(3), -0.06, [], []
    for _ in range(1_500):
        drawn = []
        for number, (accounts, others) in enumerate(sizes):
            base = 0.1 + 0.1 * (number % 3)
            drawn.append(
                Stratum(accounts, int(rng.binomial(accounts, base + truth)), others, int(rng.binomial(others, base)))
            )
        _, low, high = churn_difference(drawn)
        covered.append(low <= truth <= high)
        same = [
            Stratum(s.accounts, int(rng.binomial(s.accounts, 0.2)), s.others, int(rng.binomial(s.others, 0.2)))
            for s in drawn
        ]
        rejected.append(cochran_mantel_haenszel(same) < 0.05)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.02)


@given(st.lists(st.tuples(*(st.integers(0, 30) for _ in range(4))), max_size=5))
def test_any_counts_have_an_answer_and_the_groups_can_be_exchanged(drawn: list[tuple[int, int, int, int]]) -> None:
    found = [Stratum(a + b, a, c + d, c) for a, b, c, d in drawn]
    turned = [Stratum(s.others, s.others_churned, s.accounts, s.churned) for s in found]
    difference, low, high = churn_difference(found)
    back, back_low, back_high = churn_difference(turned)
    assert (-back, -back_high, -back_low) == pytest.approx((difference, low, high), abs=1e-9, nan_ok=True)
    p_value = cochran_mantel_haenszel(found)
    assert p_value == pytest.approx(cochran_mantel_haenszel(turned), nan_ok=True)
    assert math.isnan(p_value) or 0 <= p_value <= 1
    assert math.isnan(low) or low <= difference <= high


@pytest.mark.parametrize(
    ("rate", "needed"),
    # From less than 5 points upwards.
    [(0.10, 435), (0.15, 686), (0.50, 1_565), (0.03, accounts_needed(0.08)), (0.0, accounts_needed(0.05))],
)
def test_accounts_needed(rate: float, needed: int) -> None:
    assert accounts_needed(rate) == needed


def test_so_many_accounts_do_see_it() -> None:
    rng, size = np.random.default_rng(4), accounts_needed(0.15)
    draws = zip(rng.binomial(size, 0.10, 2_000).tolist(), rng.binomial(size, 0.15, 2_000).tolist(), strict=True)
    seen = [cochran_mantel_haenszel([Stratum(size, one, size, other)]) < 0.05 for one, other in draws]
    assert np.mean(seen) == pytest.approx(0.80, abs=0.03)


def cell(playbook: str, tier: str, accounts: int, churned: int, risk: float = 0.1) -> Cell:
    return Cell(
        playbook=playbook,
        tier=tier,
        accounts=accounts,
        churned=churned,
        mrr_cents=1_000 * accounts,
        mrr_churned_cents=1_000 * churned,
        expected_churned=risk * accounts,
    )


CELLS = [
    cell(NOT_CONTACTED, "low", 900, 45, 0.05),
    cell(NOT_CONTACTED, "high", 100, 40, 0.4),
    cell("check_in", "low", 100, 4, 0.05),
    cell("check_in", "high", 400, 120, 0.4),
    cell("training", "critical", 5, 5, 0.7),
]


def test_who_is_at_risk_is_compared_with_who_is_at_risk() -> None:
    """Contacted accounts churn more here, since risky ones were chosen; in each tier they churn less."""
    nobody, check_in, _ = summaries(CELLS)
    assert nobody.playbook == NOT_CONTACTED
    assert check_in.retention < nobody.retention
    found, none = against_not_contacted(CELLS)
    weights = {"low": 900 * 100 / 1_000, "high": 100 * 400 / 500}
    lift = (weights["low"] * 0.01 + weights["high"] * 0.1) / sum(weights.values())
    assert found.lift == pytest.approx(lift)
    assert found.lift_low < found.lift < found.lift_high
    assert (found.accounts, found.against_accounts) == (500, 1_000)
    base = (weights["low"] * 0.05 + weights["high"] * 0.4) / sum(weights.values())
    assert found.accounts_min == accounts_needed(base)
    assert found.too_small is (found.accounts_min > 500)
    assert (none.playbook, none.accounts, none.too_small) == ("training", 0, True)
    assert math.isnan(none.lift)
    assert math.isnan(none.p_value)


def test_a_summary() -> None:
    _, check_in, training = summaries(CELLS)
    assert (check_in.accounts, check_in.churned, check_in.mrr_cents) == (500, 124, 500_000)
    assert check_in.retention == 376 / 500
    assert (check_in.retention_low, check_in.retention_high) == wilson_interval(376, 500)
    assert check_in.expected_retention == pytest.approx(1 - (5 + 160) / 500)
    assert check_in.mrr_kept == pytest.approx(376 / 500)
    assert training.retention == training.retention_low == 0.0
    assert math.isnan(summaries([replace(CELLS[0], mrr_cents=0, mrr_churned_cents=0)])[0].mrr_kept)


def test_playbooks_are_compared_two_by_two() -> None:
    cells = [*CELLS, cell("webinar", "high", 50, 10), cell("webinar", "low", 50, 1)]
    pairs = [(each.playbook, each.against) for each in between_playbooks(cells)]
    assert pairs == [("check_in", "training"), ("check_in", "webinar"), ("training", "webinar")]
    one, other = compare(cells[2:4], cells[5:]), compare(cells[5:], cells[2:4])
    assert one.lift == pytest.approx(-other.lift)
    assert one.p_value == pytest.approx(other.p_value)


def test_without_anything_there_is_nothing() -> None:
    assert (summaries([]), against_not_contacted([]), between_playbooks([]), with_others([], 3)) == ([], [], [], [])
    assert against_not_contacted(CELLS[2:]) == [], "nobody to hold them against"


def test_many_playbooks_become_few_and_no_account_is_lost() -> None:
    cells = [*CELLS, *(cell(f"p{number:04d}", "low", number % 7 + 1, 1) for number in range(1_000))]
    cells.append(cell("other", "low", 10_000, 7))
    few = with_others(cells, 5)
    assert [group.playbook for group in summaries(few)] == [
        *(NOT_CONTACTED, "check_in", "other", "p0006", "p0013", "p0020", "p0027")
    ]
    for name in ("accounts", "churned", "mrr_cents", "mrr_churned_cents"):
        assert sum(getattr(each, name) for each in few) == sum(getattr(each, name) for each in cells)
