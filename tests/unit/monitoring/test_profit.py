"""The expected maximum profit of a campaign against its definition and another implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from c360_stream.monitoring.profit import Campaign, profit
from c360_stream.monitoring.quality import Outcomes, Values


def campaign() -> tuple[Outcomes, Values]:
    place = np.arange(400)
    risk = ((place / 400) ** 3).round(2)
    return (place * place * 7 + place) % 400 < 0.8 * 400 * risk, risk


def test_profit_is_the_integral_of_the_best_profit() -> None:
    rng = np.random.default_rng(11)
    risk = rng.beta(1, 6, 300).round(2)
    churned, worth = rng.random(300) < risk, rng.gamma(2, 100, 300)
    contact, offer, acceptance = 5.0, 20.0, (6.0, 14.0)
    chosen = [risk >= threshold for threshold in (2.0, *np.unique(risk))]

    def best(rate: float) -> float:
        each = np.where(churned, rate * (worth - offer), -offer) - contact
        return max(float(each[rows].sum()) for rows in chosen) / 300

    expected, _ = integrate.quad(lambda rate: best(rate) * stats.beta.pdf(rate, *acceptance), 0, 1, limit=500)
    of = profit(churned, risk, worth, contact_cost=contact, offer_cost=offer, acceptance=acceptance)
    assert of.per_customer == pytest.approx(expected, rel=1e-4)
    assert 0 < of.contacted < 1


@pytest.mark.parametrize(
    ("contact_cost", "offer_cost", "acceptance", "empc"),
    [(1.0, 10.0, (6.0, 14.0), 7.169172119781207), (10.0, 20.0, (2.0, 3.0), 5.742441812466956)],
)
def test_profit_agrees_with_empulse(
    contact_cost: float, offer_cost: float, acceptance: tuple[float, float], empc: float
) -> None:
    # What `empulse.metrics.empc_score` 0.13.1 says, which integrates over the convex hull of the ROC curve.
    churned, risk = campaign()
    of = profit(churned, risk, 200.0, contact_cost=contact_cost, offer_cost=offer_cost, acceptance=acceptance)
    assert of.per_customer == pytest.approx(empc, rel=1e-6)


def test_profit_without_anything_to_gain_is_0() -> None:
    churned, risk = campaign()
    costs = {"contact_cost": 1.0, "offer_cost": 300.0}
    assert profit(churned, risk, 200.0, acceptance=(6.0, 14.0), **costs) == (0.0, 0.0)
    assert profit(churned & False, risk, 1e6, acceptance=(6.0, 14.0), **costs) == (0.0, 0.0)


def test_profit_without_costs_contacts_all_who_churn() -> None:
    churned = np.arange(50) < 5
    of = profit(churned, churned.astype(np.float64), 100.0, contact_cost=0.0, offer_cost=0.0, acceptance=(2.0, 2.0))
    assert of == pytest.approx((0.1 * 100.0 * 0.5, 0.1), rel=1e-6)


def test_profit_of_nobody_is_nan() -> None:
    nobody = profit(np.zeros(0, np.bool_), np.zeros(0), 1.0, contact_cost=0.0, offer_cost=0.0, acceptance=(6.0, 14.0))
    assert all(map(math.isnan, nobody))


@pytest.mark.parametrize(
    ("contact_cost", "offer_cost", "acceptance"),
    [(-1.0, 1.0, (6.0, 14.0)), (1.0, -1.0, (6.0, 14.0)), (1.0, 1.0, (0.0, 14.0))],
)
def test_impossible_campaigns_are_refused(
    contact_cost: float, offer_cost: float, acceptance: tuple[float, float]
) -> None:
    churned, risk = campaign()
    with pytest.raises(ValueError, match="must be 0 or more"):
        profit(churned, risk, 1.0, contact_cost=contact_cost, offer_cost=offer_cost, acceptance=acceptance)


def test_a_campaign_is_measured_in_cents_of_a_kept_year() -> None:
    churned, risk = campaign()
    mrr = np.where(np.arange(400) % 3 == 0, np.nan, 5_000.0)
    costs = Campaign(contact_cost_cents=100, offer_cost_cents=1_000, margin_share=0.5)
    of = profit(
        churned,
        risk,
        np.nan_to_num(mrr) * 6.0,
        contact_cost=100.0,
        offer_cost=1_000.0,
        acceptance=(6.0, 14.0),
    )
    found = {each.metric: each.value for each in costs.measures(churned, risk, mrr)}
    assert found == {"empc_cents": of.per_customer, "empc_contacted_share": of.contacted}
    assert of.per_customer > 0


def test_the_curve_by_plain_counting() -> None:
    churned, risk = campaign()
    mrr = np.where(np.arange(400) % 3 == 0, np.nan, 5_000.0)
    costs = Campaign(contact_cost_cents=100, offer_cost_cents=1_000, margin_share=0.5)
    share, cents = costs.curve(churned, risk, mrr)
    assert (share[0], cents[0]) == (0.0, 0.0)
    assert share[-1] == 1.0
    worth = np.nan_to_num(mrr) * 6.0
    for contacted, earned in zip(share.tolist(), cents.tolist(), strict=True):
        called = np.argsort(-risk, kind="stable")[: round(contacted * 400)]
        stays = 0.3 * (worth[called] - 1_000.0)
        expected = np.where(churned[called], stays, -1_000.0).sum() - 100.0 * len(called)
        assert earned == pytest.approx(expected / 400)


def test_the_curve_of_nobody_is_a_point() -> None:
    nobody = np.zeros(0)
    assert [each.tolist() for each in Campaign().curve(nobody.astype(np.bool_), nobody, nobody)] == [[0.0], [0.0]]
