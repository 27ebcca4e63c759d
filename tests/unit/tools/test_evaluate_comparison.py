"""Intervals by drawing accounts again, comparisons, and what features are worth, against slow ways of counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from c360_stream.features.definitions import FEATURES
from c360_stream.monitoring.quality import log_loss, pr_auc, roc_auc
from c360_stream.tools.evaluate.ablation import ablation, importance
from c360_stream.tools.evaluate.comparison import comparison, contest_comparison
from c360_stream.tools.evaluate.comparison_tables import best, side_by_side, thirds
from c360_stream.tools.evaluate.contributions import COLUMNS_OF
from c360_stream.tools.evaluate.figures import Judged
from c360_stream.tools.evaluate.matured import NEVER, Examples
from c360_stream.tools.evaluate.names import BASE_RATE, LIGHTGBM, REGRESSION, SILENCE, STUMPS
from c360_stream.tools.evaluate.newton import weights
from c360_stream.tools.evaluate.ramps import DecileRamps, RampRegression
from c360_stream.tools.evaluate.refits import ROUNDS, Boosted, WarmUp, boosted, refitted, regression, schedule, stumps
from c360_stream.tools.evaluate.resamples import RESAMPLES, Resamples, interval

START, HORIZON = 19_723, 60
Floats = NDArray[np.float64]


def judged(seed: int = 1, accounts: int = 40, weeks: int = 12) -> tuple[Judged, Floats]:
    """Weekly examples of accounts that are all alike in themselves, and a risk with ties that knows something."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=accounts)
    left = rng.random(accounts) < 1 / (1 + np.exp(1 - 2 * level))
    churned = np.tile(left, weeks) & (rng.random(weeks * accounts) < 0.8)
    risk = np.round(1 / (1 + np.exp(1.5 - np.tile(level, weeks) - rng.normal(size=weeks * accounts) / 2)), 1)
    as_of = START + np.repeat(np.arange(weeks) * 7, accounts)
    return Judged(
        as_of_day=as_of,
        churned=churned,
        true_risk=None,
        mrr_cents=np.zeros(len(as_of)),
        account=np.tile(np.arange(accounts) * 3, weeks),
        first_day=START,
        last_day=int(as_of[-1]),
        change=None,
        horizon_days=HORIZON,
    ), np.clip(risk, 0.05, 0.95)


def test_each_resample_is_what_the_measures_say_of_its_accounts_examples() -> None:
    given, risk = judged()
    found = Resamples(given.account, given.churned)
    draws = found.ranking(risk) | found.probabilities(risk)
    for number in (0, 1, 7, RESAMPLES):
        times = found.times[number].astype(np.int64)[np.unique(given.account, return_inverse=True)[1]]
        rows = np.repeat(np.arange(len(risk)), times)
        churned, drawn = given.churned[rows], risk[rows]
        assert draws["roc_auc"][number] == pytest.approx(roc_auc(churned, drawn))
        assert draws["pr_auc"][number] == pytest.approx(pr_auc(churned, drawn))
        assert draws["log_loss"][number] == pytest.approx(log_loss(churned, drawn))
        assert draws["calibration_ratio"][number] == pytest.approx(drawn.mean() / churned.mean())
    assert found.times[0].tolist() == [1.0] * 40
    assert (found.times.sum(axis=1) == 40).all()


def test_the_draws_do_not_depend_on_how_many_fit_into_memory() -> None:
    given, risk = judged(2)
    whole = Resamples(given.account, given.churned).ranking(risk)
    one_by_one = Resamples(given.account, given.churned, cells_max=1).ranking(risk)
    assert all(np.array_equal(whole[name], one_by_one[name]) for name in whole)


def test_saying_the_same_of_an_account_nine_times_adds_no_certainty() -> None:
    given, risk = judged(3, accounts=120, weeks=1)
    once = interval(Resamples(given.account, given.churned).ranking(risk)["roc_auc"])
    account, churned = np.repeat(given.account, 9), np.repeat(given.churned, 9)
    again = interval(Resamples(account, churned).ranking(np.repeat(risk, 9))["roc_auc"])
    assert once is not None
    assert again == pytest.approx(once)
    assert once.low is not None
    assert once.high is not None
    assert once.high - once.low > 0.1


def test_a_figure_that_most_resamples_leave_undefined_has_no_interval() -> None:
    account, churned = np.arange(30), np.arange(30) == 3
    found = interval(Resamples(account, churned).ranking(np.linspace(0, 1, 30))["roc_auc"])
    assert found is not None
    assert found.low is found.high is None, "a third of all resamples have nobody who left"
    assert interval(Resamples(account, np.zeros(30, np.bool_)).ranking(np.linspace(0, 1, 30))["roc_auc"]) is None


def compared() -> tuple[dict[str, Any], Judged, dict[str, Floats]]:
    given, risk = judged(4)
    silent = np.where(np.arange(len(risk)) % 7 == 0, np.inf, np.arange(len(risk)) % 5)
    scores = {"default": risk, LIGHTGBM: risk**0.05, STUMPS: 1 - risk, REGRESSION: np.full(len(risk), 0.3)}
    scores |= {SILENCE: silent, BASE_RATE: np.full(len(risk), 0.2)}
    return comparison(given, scores, ["default"]), given, scores


def test_a_comparison_has_every_scorer_its_differences_and_names_the_best_peer() -> None:
    found, given, scores = compared()
    assert (found["examples"], found["accounts"], found["churners"]) == (480, 40, given.churned.sum())
    for name, risk in scores.items():
        own = found["scorers"][name]
        assert own["roc_auc"]["value"] == pytest.approx(roc_auc(given.churned, risk))
        assert own["roc_auc"]["low"] <= own["roc_auc"]["value"] <= own["roc_auc"]["high"]
        assert own["pr_auc"]["value"] == pytest.approx(pr_auc(given.churned, risk))
    assert found["scorers"][SILENCE].keys() == {"roc_auc", "pr_auc"}, "an order has no log loss"
    differences = found["differences"]["default"]
    assert differences.keys() == scores.keys() - {"default"}
    same = differences[LIGHTGBM]["roc_auc"]
    assert same == {"value": 0.0, "low": 0.0, "high": 0.0}, "the order is the same in every resample"
    lost = log_loss(given.churned, scores["default"]) - log_loss(given.churned, scores[LIGHTGBM])
    assert differences[LIGHTGBM]["log_loss"]["value"] == pytest.approx(lost)
    assert found["best_peer"]["roc_auc"] == LIGHTGBM
    losses = {name: log_loss(given.churned, scores[name]) for name in (LIGHTGBM, STUMPS, REGRESSION)}
    assert found["best_peer"]["log_loss"] == min(losses, key=losses.__getitem__) != LIGHTGBM
    assert best(found) == (
        "Best peer by ROC-AUC: LightGBM every 28 days; by log loss: logistic regression every 28 days."
    )
    assert len(side_by_side(found).rows) == len(scores)


def test_thirds_are_the_examples_in_order_of_their_risk() -> None:
    found, given, scores = compared()
    order = sorted(range(480), key=lambda row: scores["default"][row])
    for number, third in enumerate(found["scorers"]["default"]["thirds"]):
        rows = order[number * 160 : (number + 1) * 160]
        assert third["examples"] == 160
        assert third["mean_risk"] == pytest.approx(scores["default"][rows].mean())
        assert third["observed_rate"] == pytest.approx(given.churned[rows].mean())
        assert third["calibration_ratio"] == pytest.approx(third["mean_risk"] / third["observed_rate"])
        assert third["calibration_ratio_low"] < third["calibration_ratio"]
        high = third["calibration_ratio_high"]
        assert high is None or high > third["calibration_ratio"], "None: perhaps nobody leaves"
    assert len(thirds(found).rows) == len(scores) - 1


def test_contenders_are_compared_on_what_all_predicted_and_late_ones_are_left_out() -> None:
    given, risk = judged(5)
    early = np.where(np.arange(480) < 100, np.nan, risk)
    late = np.where(np.arange(480) < 400, np.nan, 1 - risk)
    scores = {"default": risk, BASE_RATE: np.full(480, 0.2)}
    found = contest_comparison(given, scores, "default", {"own": early, "fresh": late, BASE_RATE: np.full(480, 0.1)})
    assert found is not None
    assert found["examples"] == 380
    assert (found["models"], found["left_out"]) == (["own", BASE_RATE], {"fresh": 80})
    assert found["scorers"]["own"] == found["scorers"]["stored"]
    ratio = found["scorers"][BASE_RATE]["calibration_ratio"]["value"]
    assert ratio == pytest.approx(0.1 / given.churned[100:].mean()), "the contest's own base rate, not the peer's"
    never = np.full(480, np.nan)
    left = contest_comparison(given, scores, "default", {"never": never})
    assert left is not None
    assert left["left_out"] == {"never": 0}


def world(seed: int, weeks: int = 40, accounts: int = 70) -> Examples:
    """Weekly examples: the first feature decides in a U, of all others one says the same as it, noisily."""
    rng = np.random.default_rng(seed)
    n = weeks * accounts
    features = rng.normal(size=(n, len(FEATURES)))
    features[:, 1] = features[:, 0] + rng.normal(size=n)
    features[rng.random(n) < 0.1, 3] = np.nan
    churned = rng.random(n) < 1 / (1 + np.exp(3.0 - 1.5 * features[:, 0] ** 2))
    return Examples(
        as_of_day=START + np.repeat(np.arange(weeks) * 7, accounts),
        ids=[f"a{i:03}" for i in range(accounts)] * weeks,
        features=features,
        churned=churned,
        corrected_day=np.full(n, NEVER, np.int64),
        risk={},
    )


def test_batch_models_find_what_there_is_and_the_latest_month_says_when_to_stop() -> None:
    given = world(1)
    refits = schedule(given, START, HORIZON, WarmUp(200, 20))
    found = {fit.__name__: refitted(given.features, refits, fit) for fit in (boosted, stumps, regression)}
    for peer in found.values():
        known = ~np.isnan(peer.risk)
        assert given.as_of_day[known].min() == refits[0].day
        assert roc_auc(given.churned[known], peer.risk[known]) > 0.65
        assert abs(peer.risk[known].mean() / given.churned[known].mean() - 1) < 0.15
    rounds = [each.rounds for each in found["boosted"].fitted if isinstance(each, Boosted)]
    assert rounds[0] == ROUNDS, "before there is a month to hold back"
    assert min(rounds[1:]) < ROUNDS, "this noise is not worth 150 rounds"
    last = refits[-1]
    month = given.as_of_day[last.known][-last.held :]
    assert month.max() - month.min() == 21
    assert given.as_of_day[last.known][-last.held - 1] < month.min()
    assert month.max() + HORIZON <= last.day
    again = refitted(given.features, refits, boosted)
    assert np.array_equal(again.risk, found["boosted"].risk, equal_nan=True)


def test_ramps_go_from_decile_to_decile_and_say_what_is_missing() -> None:
    features = np.stack([np.arange(101.0), np.tile([0.0, 5.0, np.nan], 34)[:101]], axis=1)
    ramps = DecileRamps(features)
    assert ramps.width == 10 + 1 + 1
    columns = ramps.columns(np.array([[25.0, 5.0], [-3.0, np.nan], [1000.0, 2.5]]))
    assert columns[0].tolist() == [1.0, 1.0, 0.5, *[0.0] * 7, 1.0, 0.0]
    assert columns[1].tolist() == [*[0.0] * 10, 0.0, 1.0]
    assert columns[2].tolist() == [*[1.0] * 10, 0.5, 0.0]


def test_newton_finds_the_minimum_in_parts_as_in_one() -> None:
    rng = np.random.default_rng(6)
    columns = np.concatenate([rng.normal(size=(400, 3)), np.ones((400, 1))], axis=1)
    target = (rng.random(400) < 1 / (1 + np.exp(-columns @ np.array([1.0, -2.0, 0.0, -1.0])))).astype(np.float64)
    whole = weights(lambda: iter([(slice(0, 400), columns)]), target, 4)
    parts = weights(lambda: ((slice(i, i + 100), columns[i : i + 100]) for i in range(0, 400, 100)), target, 4)
    assert parts == pytest.approx(whole, abs=1e-9)
    slope = columns.T @ (1 / (1 + np.exp(-columns @ whole)) - target) + np.array([1, 1, 1, 1e-3]) * whole
    assert np.abs(slope).max() < 1e-3
    assert whole == pytest.approx([1.0, -2.0, 0.0, -1.0], abs=0.5)


def test_a_regression_of_rows_in_parts_is_that_of_rows_at_once() -> None:
    given = world(2, weeks=10)
    label = given.churned.astype(np.float64)
    whole = RampRegression(given.features, label).predict(given.features)
    parts = RampRegression(given.features, label, rows=97, kept_max=0)
    assert parts.predict(given.features) == pytest.approx(whole, abs=1e-6)


def test_the_feature_that_decides_is_worth_most_however_it_is_asked() -> None:
    given = world(3)
    given.features[:, 1] = 0.0  # nothing says the same
    refits = schedule(given, START, HORIZON, WarmUp(200, 20))
    peer = refitted(given.features, refits, boosted)
    rows = np.flatnonzero(~np.isnan(peer.risk))
    account = np.unique(np.array(given.ids)[rows], return_inverse=True)[1]
    resamples = Resamples(account, given.churned[rows])
    shuffled = importance(given.features, refits, peer, rows, resamples)
    without = ablation(given.features, refits, peer, rows, resamples)
    assert shuffled.keys() == without["groups"].keys() == COLUMNS_OF.keys()
    assert without["features"].keys() == set(FEATURES)
    assert min(shuffled, key=lambda group: shuffled[group]["roc_auc"]["value"]) == "usage"
    for found in (shuffled["usage"], without["groups"]["usage"], without["features"][FEATURES[0]]):
        assert found["roc_auc"]["high"] < 0 < found["log_loss"]["low"]
    assert abs(without["features"][FEATURES[1]]["roc_auc"]["value"]) < 0.02
    assert without["groups"]["tenure"] == without["features"]["account_age_days"]
