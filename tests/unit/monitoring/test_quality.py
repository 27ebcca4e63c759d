"""Quality measures against scikit-learn, against their definitions, and their intervals against the truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from c360_stream.monitoring.profit import profit
from c360_stream.monitoring.quality import (
    Outcomes,
    Values,
    brier,
    ece,
    lift_top_decile,
    lift_top_decile_interval,
    log_loss,
    measure,
    measure_by_segment,
    pr_auc,
    precision_at_recall,
    reliability,
    reliability_measures,
    roc_auc,
    roc_auc_interval,
    wilson_interval,
)

RANKED = {
    "roc_auc",
    "roc_auc_low",
    "roc_auc_high",
    "pr_auc",
    "precision_at_recall_80",
    "lift_top_decile",
    "lift_top_decile_low",
    "lift_top_decile_high",
    "ece",
}
RISKS = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.1, 0.3, 1.0]))


@st.composite
def outcomes(draw: st.DrawFn, size_min: int = 0) -> tuple[Outcomes, Values]:
    rows = draw(st.lists(st.tuples(st.booleans(), RISKS), min_size=size_min, max_size=80))
    return np.array([row[0] for row in rows], np.bool_), np.array([row[1] for row in rows], np.float64)


def found(churned: Outcomes, risk: Values) -> dict[str, float]:
    return {each.metric: each.value for each in measure("all", churned, risk)}


@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_measures_agree_with_sklearn(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    risk = np.clip(rng.random(500).round(decimals), 0.01, 0.99)
    churned = rng.random(500) < risk
    assert roc_auc(churned, risk) == pytest.approx(metrics.roc_auc_score(churned, risk), abs=1e-12)
    assert log_loss(churned, risk) == pytest.approx(metrics.log_loss(churned, risk), abs=1e-12)
    assert brier(churned, risk) == pytest.approx(metrics.brier_score_loss(churned, risk), abs=1e-12)
    assert pr_auc(churned, risk) == pytest.approx(metrics.average_precision_score(churned, risk), abs=1e-12)
    precision, recall, _ = metrics.precision_recall_curve(churned, risk)
    # Thresholds rise: the last one with enough recall is the highest.
    highest = np.flatnonzero(recall >= 0.8)[-1]
    assert precision_at_recall(churned, risk, 0.8) == pytest.approx(precision[highest], abs=1e-12)


def test_roc_auc_is_bit_equal_in_any_order() -> None:
    rng = np.random.default_rng(1)
    risk, churned = rng.random(999).round(2), rng.random(999) < 0.3
    order = rng.permutation(999)
    assert roc_auc(churned, risk) == roc_auc(churned[order], risk[order])


def test_roc_auc_of_one_class_is_nan() -> None:
    assert math.isnan(roc_auc(np.array([True, True]), np.array([0.1, 0.2])))


def test_a_certain_and_wrong_risk_has_a_finite_loss() -> None:
    assert log_loss(np.array([True]), np.array([0.0])) == pytest.approx(math.log(1e6))


def test_few_outcomes_of_a_kind_skip_roc_auc_and_say_so() -> None:
    churned = np.arange(100) < 9
    skipping = {each.metric: each for each in measure("all", churned, np.full(100, 0.18))}
    assert not RANKED & set(skipping)
    assert skipping["roc_auc_skipped"].value == 1.0
    assert skipping["calibration_ratio"].value == pytest.approx(2.0)
    assert skipping["base_rate"].examples == 100
    churned[9] = True
    ranking = found(churned, np.full(100, 0.18))
    assert set(ranking) >= RANKED
    assert "roc_auc_skipped" not in ranking


def test_bands_are_thirds_of_the_known_mrr() -> None:
    mrr = np.array([*range(30), *[np.nan] * 6], np.float64)
    measures = measure_by_segment(np.arange(36) % 2 == 0, np.full(36, 0.5), mrr, [""] * 36)
    sizes = {each.segment: each.examples for each in measures}
    assert sizes == {"all": 36, "mrr_low": 10, "mrr_mid": 10, "mrr_high": 10}


def test_the_most_frequent_plans_are_segments_of_their_own() -> None:
    plan = [f"p{number}" for number in range(10) for _ in range(20 - number)] + [""] * 9
    count = len(plan)
    measures = measure_by_segment(np.arange(count) % 2 == 0, np.full(count, 0.5), np.full(count, np.nan), plan)
    sizes = {each.segment: each.examples for each in measures}
    assert sizes == {"all": count} | {f"plan:p{number}": 20 - number for number in range(8)}


def test_the_reliability_table_as_measures() -> None:
    risk = np.repeat([0.1, 0.2, 0.5, 0.9], 10)
    measures = reliability_measures(np.arange(40) % 10 < risk * 10, risk)
    assert {each.segment for each in measures} == {f"bin:{number:02d}" for number in range(1, 5)}
    assert [each.value for each in measures if each.metric == "observed_rate"] == [0.1, 0.2, 0.5, 0.9]
    assert [each.value for each in measures if each.metric == "mean_risk"] == pytest.approx([0.1, 0.2, 0.5, 0.9])


def test_no_outcomes_have_no_measures() -> None:
    assert measure_by_segment(np.zeros(0, np.bool_), np.zeros(0), np.zeros(0), []) == []


def test_nobody_churned_leaves_out_what_needs_somebody() -> None:
    assert set(found(np.zeros(5, np.bool_), np.full(5, 0.2))) == {
        "base_rate",
        "base_rate_low",
        "base_rate_high",
        "log_loss",
        "brier",
        "roc_auc_skipped",
    }


@settings(deadline=None)
@given(outcomes(), st.randoms(use_true_random=False))
def test_no_measure_depends_on_the_order_of_the_rows(rows: tuple[Outcomes, Values], shuffle: Random) -> None:
    churned, risk = rows
    order = list(range(len(risk)))
    shuffle.shuffle(order)
    worth = np.where(risk > 0.2, 1e4 / 3, 1e3 / 7) * (1 + churned)

    def everything(churned: Outcomes, risk: Values, worth: Values) -> str:
        campaign = profit(churned, risk, worth, contact_cost=0.1, offer_cost=0.7, acceptance=(6.0, 14.0))
        few = roc_auc_interval(churned, risk), lift_top_decile_interval(churned, risk), pr_auc(churned, risk)
        # As text, in which NaN equals NaN and every bit of a float shows.
        return repr((measure("all", churned, risk), reliability(churned, risk, 7), campaign, few))

    assert everything(churned, risk, worth) == everything(churned[order], risk[order], worth[order])


@settings(deadline=None)
@given(outcomes(size_min=2))
def test_every_interval_holds_its_measure(rows: tuple[Outcomes, Values]) -> None:
    churned, risk = rows
    values = found(churned, risk)
    churners = int(churned.sum())
    if churners:
        values["lift_top_decile"] = lift_top_decile(churned, risk)
        values["lift_top_decile_low"], values["lift_top_decile_high"] = lift_top_decile_interval(churned, risk)
    if min(churners, len(churned) - churners) > 1:
        values["roc_auc"] = roc_auc(churned, risk)
        values["roc_auc_low"], values["roc_auc_high"] = roc_auc_interval(churned, risk)
    for metric in ("base_rate", "calibration_ratio", "roc_auc", "lift_top_decile"):
        if metric in values:
            low, high = values[f"{metric}_low"], values[f"{metric}_high"]
            assert 0 <= low <= values[metric] * (1 + 1e-12)
            assert high >= values[metric] * (1 - 1e-12)
            assert math.isfinite(high)
    assert all(values.get(f"{metric}_high", 1.0) <= 1 for metric in ("base_rate", "roc_auc"))


@pytest.mark.parametrize(
    ("rows", "spread", "shift", "auc_least"), [(300, 2.0, -3.0, 0.85), (1500, 1.0, -2.0, 0.7), (400, 4.0, -4.0, 0.95)]
)
def test_intervals_hold_the_truth_about_95_times_in_100(
    rows: int, spread: float, shift: float, auc_least: float
) -> None:
    rng = np.random.default_rng(rows)
    everybody = 1 / (1 + np.exp(-shift - rng.normal(0, spread, 200_000)))
    drawn = rng.random(len(everybody)) < everybody
    truth = {
        "base_rate": float(everybody.mean()),
        "calibration_ratio": 1.0,
        "roc_auc": roc_auc(drawn, everybody),
        "lift_top_decile": float(np.sort(everybody)[-20_000:].mean() / everybody.mean()),
    }
    assert truth["roc_auc"] > auc_least
    draws = 1000
    held = dict.fromkeys(truth, 0)
    for _ in range(draws):
        risk = rng.choice(everybody, rows)
        values = found(rng.random(rows) < risk, risk)
        for metric, value in truth.items():
            held[metric] += values[f"{metric}_low"] <= value <= values[f"{metric}_high"]
    share = {metric: count / draws for metric, count in held.items()}
    assert 0.93 <= share["base_rate"] <= 0.98
    assert 0.92 <= share["roc_auc"] <= 0.97
    # Few customers and a decile of nearly all churners: the hardest of the three.
    assert 0.90 <= share["lift_top_decile"] <= 0.98
    # Wider than need be, and never narrower.
    assert share["calibration_ratio"] >= 0.94


def test_wilson_interval_agrees_with_scipy() -> None:
    for count, examples in ((0, 10), (1, 7), (40, 300), (9, 9)):
        expected = stats.binomtest(count, examples).proportion_ci(method="wilson")
        assert wilson_interval(count, examples) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert all(map(math.isnan, wilson_interval(0, 0)))


def test_roc_auc_interval_is_delongs_on_the_logit_scale() -> None:
    rng = np.random.default_rng(3)
    risk = rng.random(150).round(1)
    churned = rng.random(150) < risk
    pairs = np.sign(risk[churned][:, None] - risk[~churned][None, :]) / 2 + 0.5
    auc = pairs.mean()
    variance = pairs.mean(axis=1).var(ddof=1) / len(pairs) + pairs.mean(axis=0).var(ddof=1) / pairs.shape[1]
    logit = math.log(auc / (1 - auc))
    half = stats.norm.ppf(0.975) * math.sqrt(variance) / (auc * (1 - auc))
    expected = [1 / (1 + math.exp(-bound)) for bound in (logit - half, logit + half)]
    assert roc_auc_interval(churned, risk) == pytest.approx(expected, abs=1e-12)


def test_perfect_and_useless_ranks_have_intervals() -> None:
    churned = np.arange(60) < 10
    assert roc_auc_interval(churned, churned.astype(np.float64)) == wilson_interval(10, 10)
    assert roc_auc_interval(churned, (~churned).astype(np.float64)) == wilson_interval(0, 10)
    # Equal risks rank everybody alike in any sample.
    assert roc_auc_interval(churned, np.full(60, 0.2)) == pytest.approx((0.5, 0.5), abs=1e-12)
    assert all(map(math.isnan, roc_auc_interval(np.arange(9) < 1, np.arange(9) / 9)))


@pytest.mark.parametrize("rows", [1, 9, 10, 19, 20, 137])
def test_lift_of_distinct_risks_is_of_the_first_tenth(rows: int) -> None:
    rng = np.random.default_rng(rows)
    risk, churned = rng.permutation(rows) / rows, rng.random(rows) < 0.5
    churned[0] = True
    top = np.argsort(-risk)[: max(1, rows // 10)]
    assert lift_top_decile(churned, risk) == pytest.approx(churned[top].mean() / churned.mean(), abs=1e-12)


def test_lift_of_equal_risks_is_1() -> None:
    assert lift_top_decile(np.arange(64) < 8, np.full(64, 0.3)) == pytest.approx(1.0)


def test_without_churned_rows_there_is_nothing_to_find() -> None:
    for churned, risk in ((np.zeros(0, np.bool_), np.zeros(0)), (np.zeros(30, np.bool_), np.arange(30) / 30)):
        of_found: list[Callable[[Outcomes, Values], float]] = [
            pr_auc,
            lift_top_decile,
            lambda churned, risk: precision_at_recall(churned, risk, 0.8),
            lambda churned, risk: lift_top_decile_interval(churned, risk)[0],
        ]
        assert all(math.isnan(of(churned, risk)) for of in of_found)


def test_risks_of_0_and_1_are_measured() -> None:
    churned = np.arange(40) < 20
    values = found(churned, churned.astype(np.float64))
    assert (values["roc_auc"], values["pr_auc"], values["precision_at_recall_80"]) == (1.0, 1.0, 1.0)
    assert (values["lift_top_decile"], values["ece"], values["brier"]) == (2.0, 0.0, 0.0)
    assert values["calibration_ratio"] == 1.0


@pytest.mark.parametrize("rows", [1, 7, 10, 25, 1003])
def test_bins_of_distinct_risks_are_of_equal_count(rows: int) -> None:
    rng = np.random.default_rng(rows)
    risk = rng.random(rows)
    sizes = [row.examples for row in reliability(rng.random(rows) < risk, risk)]
    assert len(sizes) == min(rows, 10)
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None)
@given(outcomes(), st.integers(1, 12))
def test_bins_part_the_rows_and_no_equal_risks(rows: tuple[Outcomes, Values], bins: int) -> None:
    churned, risk = rows
    table = reliability(churned, risk, bins)
    assert len(table) <= bins
    assert sum(row.examples for row in table) == len(risk)
    for row in table:
        inside = (risk >= row.risk_low) & (risk <= row.risk_high)
        assert row.examples == inside.sum()
        assert row.risk_low <= row.mean_risk <= row.risk_high
        assert row.mean_risk == pytest.approx(risk[inside].mean())
        assert row.observed_rate == pytest.approx(churned[inside].mean())
    assert all(low.risk_high < high.risk_low for low, high in pairwise(table))


def test_ece_sees_risks_that_are_too_high() -> None:
    rng = np.random.default_rng(5)
    risk = rng.uniform(0, 0.4, 20_000)
    churned = rng.random(20_000) < risk
    assert ece(churned, risk) < 0.012
    assert ece(churned, risk + 0.3) == pytest.approx(0.3, abs=0.012)
    assert math.isnan(ece(churned[:0], risk[:0]))
