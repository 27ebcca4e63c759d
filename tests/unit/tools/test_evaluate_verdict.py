"""The verdict of `c360 evaluate`: right for good and bad models, few outcomes and none, with errors that are honest."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from c360_stream.monitoring.quality import log_loss, roc_auc
from c360_stream.tools.evaluate import clusters
from c360_stream.tools.evaluate.calls import MONDAY, CallLists
from c360_stream.tools.evaluate.figures import Judged
from c360_stream.tools.evaluate.judgement import judgement
from c360_stream.tools.evaluate.names import LIGHTGBM, SILENCE, STUMPS
from c360_stream.tools.evaluate.pooled import Calls, Pool, pooled
from c360_stream.tools.evaluate.verdict import HEADLINES, verdict, verdicts

START = 19_723  # 2024-01-01, a Monday
HORIZON = 60
Floats = NDArray[np.float64]


def clustered(seed: int, accounts: int = 120, weeks: int = 10) -> tuple[Any, Floats, Floats, Any]:
    """Outcomes, two risks and accounts; all examples of an account are alike."""
    rng = np.random.default_rng(seed)
    account = np.repeat(np.arange(accounts), weeks)
    level = np.repeat(rng.normal(size=accounts), weeks)
    churned = np.repeat(rng.random(accounts) < 0.3, weeks)
    noise = rng.normal(size=len(account)) / 4
    risks = (1 / (1 + np.exp(2 - churned - each * level - noise)) for each in (0.5, 1.0))
    return churned, next(risks), next(risks), account


@pytest.mark.parametrize("seed", range(3))
def test_the_error_of_a_roc_auc_is_that_of_drawing_accounts_again(seed: int) -> None:
    churned, risk, other, account = clustered(seed)
    found = clusters.roc_auc(churned, risk, account)
    beside = clusters.roc_auc(churned, risk, account, other)
    assert found is not None
    assert beside is not None
    assert found.value == pytest.approx(roc_auc(churned, risk))
    assert beside.value == pytest.approx(roc_auc(churned, risk) - roc_auc(churned, other))
    rng = np.random.default_rng(0)
    rows = np.arange(len(account)).reshape(-1, 10)
    again = [rows[rng.integers(0, len(rows), len(rows))].ravel() for _ in range(400)]
    drawn = [(roc_auc(churned[each], risk[each]), roc_auc(churned[each], other[each])) for each in again]
    assert found.error == pytest.approx(np.std([one for one, _ in drawn]), rel=0.2)
    assert beside.error == pytest.approx(np.std([one - two for one, two in drawn]), rel=0.2)


def test_saying_the_same_again_of_each_account_adds_no_certainty() -> None:
    churned, risk, other, account = clustered(4, weeks=1)
    once = (clusters.roc_auc(churned, risk, account, other), clusters.rate_gap(churned, risk, account))
    churned, risk, other, account = (np.repeat(each, 9) for each in (churned, risk, other, account))
    again = (clusters.roc_auc(churned, risk, account, other), clusters.rate_gap(churned, risk, account))
    for one, two in zip(once, again, strict=True):
        assert one is not None
        assert two == pytest.approx(one)


def test_the_gap_of_independent_examples_has_the_error_that_the_textbook_has() -> None:
    churned = np.arange(1000) % 10 == 0
    found = clusters.rate_gap(churned, np.full(1000, 0.3), np.arange(1000))
    assert found == pytest.approx((-0.2, math.sqrt(0.1 * 0.9 / 999)))


def test_what_cannot_be_estimated_is_none() -> None:
    risk, account = np.linspace(0, 1, 6), np.array([0, 0, 1, 1, 2, 2])
    assert clusters.roc_auc(np.zeros(6, np.bool_), risk, account) is None
    assert clusters.roc_auc(account == 1, risk, account) is None
    assert clusters.rate_gap(account == 1, risk, np.zeros(6, np.int64)) is None
    assert clusters.sum_over(np.ones(1), 5) is None


@pytest.mark.parametrize("seed", range(4))
def test_calls_against_counting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    accounts, days, horizon, since = [f"a{i:02}" for i in range(40)], 70, 20, START + 10
    lists, on, gone = CallLists(), {}, {}
    for day in range(START, START + days):
        here = [account for account in accounts if rng.random() < 0.9]
        risk = rng.integers(0, 8, len(here)) / 8  # with ties
        silent = np.where(rng.random(len(here)) < 0.1, np.nan, rng.integers(0, 30, len(here)))
        left = [account for account in accounts if rng.random() < 0.01]
        lists.note(day, here, risk, silent, left)
        gone[day] = left
        if day % 7 == MONDAY:
            count = max(1, round(len(here) / 10))
            silence = np.nan_to_num(silent, nan=1e9)
            on[day] = [
                {here[i] for i in sorted(range(len(here)), key=lambda i: (-order[i], here[i]))[:count]}
                for order in (risk, silence)
            ]
    found = lists.figures(since, horizon)

    whole = [day for day in on if since <= day and day + horizon < START + days]
    shares = []
    for place, order in enumerate(("model", "rule")):
        called = [(day, account) for day in whole for account in on[day][place]]
        followed = [any(account in gone[day + ahead] for ahead in range(1, horizon + 1)) for day, account in called]
        assert (found[order]["mondays"], found[order]["calls"]) == (len(whole), len(called))
        assert found[order]["followed"] == sum(followed) > 0
        shares.append(sum(followed) / len(called))
        leads = []
        for tick, account in product(range(since + horizon + 1, START + days), accounts):
            if account in gone[tick]:
                before = [
                    day for day in on if max(since, tick - 1 - horizon) <= day < tick and account in on[day][place]
                ]
                leads.append(tick - 1 - min(before) if before else None)
        assert found[order]["cancellations"] == len(leads) > 0
        assert found[order]["caught"] == sum(lead is not None for lead in leads)
        assert found[order]["days"] == [leads.count(ahead) for ahead in range(horizon + 1)]
    assert found["model_above_rule"]["value"] == pytest.approx(shares[0] - shares[1])
    assert found["model_above_rule"]["error"] > 0


def test_half_of_the_caught_were_on_a_list_so_many_days_ahead() -> None:
    def median(days: tuple[int, ...]) -> int | None:
        return Calls(
            calls=1, followed=0, a_monday=1.0, new_a_monday=None, cancellations=9, caught=sum(days), days=days
        ).median_days

    assert median((0, 1, 0, 1, 2)) == 4
    assert median((3, 1, 0, 0, 1)) == 0
    assert median((0, 0, 2, 0, 1)) == 2
    assert median((0, 0, 0, 0, 0)) is None


def test_pooled_estimates_weigh_and_leave_out_what_is_missing() -> None:
    found = pooled([{"value": 1.0, "error": 0.3}, None, {"value": 3.0, "error": 0.4}], [3, 100, 1])
    assert found == pytest.approx((1.5, math.hypot(0.9, 0.4) / 4))
    assert pooled([None, None]) is None


def test_judgement_of_risks_that_are_right_and_of_bands_and_times() -> None:
    rng = np.random.default_rng(1)
    as_of = START + np.repeat(np.arange(150), 40)
    account = np.tile(np.arange(40), 150)
    true_risk = rng.beta(1, 6, len(as_of))
    churned = rng.random(len(as_of)) < true_risk
    judged = Judged(
        as_of_day=as_of,
        churned=churned,
        true_risk=true_risk,
        mrr_cents=np.zeros(len(as_of)),
        account=account,
        first_day=START,
        last_day=START + 149,
        change=None,
        horizon_days=HORIZON,
    )
    silent = np.where(rng.random(len(as_of)) < 0.2, np.inf, rng.random(len(as_of)))
    worse = true_risk**2
    found = judgement(judged, {"own": true_risk, SILENCE: silent, STUMPS: worse}, "own", (0.1, 0.25, 0.5))
    assert (found["accounts"], found["left"], found["stayed"]) == (40, 40, 40)
    assert found["roc_auc"]["value"] == pytest.approx(roc_auc(churned, true_risk))
    assert found["against"].keys() == {SILENCE, STUMPS}
    assert found["against"][SILENCE]["value"] == pytest.approx(roc_auc(churned, true_risk) - roc_auc(churned, silent))
    saved = log_loss(churned, worse) - log_loss(churned, true_risk)
    assert found["log_loss_against"].keys() == {STUMPS}
    assert found["log_loss_against"][STUMPS]["value"] == pytest.approx(-saved)
    assert saved > 3 * found["log_loss_against"][STUMPS]["error"] > 0
    counts = (found["first_day"], found["last_day"], found["examples"], found["churners"])
    assert counts == ("2024-01-01", "2024-05-29", 6000, churned.sum())
    for part in (found["bands"], found["times"]):
        for each in part:
            assert abs(each["gap"]["value"]) < 4 * each["gap"]["error"]
            assert each["mean_true_risk"] == pytest.approx(each["mean_risk"])
    for band in found["bands"]:
        rows = (true_risk >= band["risk_low"]) & (true_risk < band["risk_high"])
        assert band["examples"] == rows.sum()
        assert band["observed_rate"] == pytest.approx(churned[rows].mean())
    assert sum(band["examples"] for band in found["bands"]) == len(as_of)
    # Two whole blocks; of the third there is half.
    assert [(time["first_day"], time["examples"]) for time in found["times"]] == [
        ("2024-01-01", 2400),
        ("2024-03-01", 2400),
    ]


def estimate(value: float, error: float = 0.01) -> dict[str, float]:
    return {"value": value, "error": error}


def part(told: float, left: float, error: float = 0.01, accounts: int = 100) -> dict[str, Any]:
    counts = {"examples": 500, "accounts": accounts}
    return counts | {"mean_risk": told, "observed_rate": left, "gap": estimate(left - told, error)}


def world(**changes: Any) -> dict[str, Any]:
    """A world's figures, as far as the verdict looks: a good model of which all is known, but for the changes."""
    told: dict[str, Any] = {
        "left": 90, "stayed": 280, "accounts": 300, "churners": 1000, "mean_risk": 0.101,
        "roc_auc": estimate(0.82), "silence": estimate(0.08), "batch": estimate(0.03), "stumps": None,
        "batch_loss": estimate(-0.01, 0.001), "second_month": None, "gap": estimate(-0.001, 0.006),
        "bands": [(0.0, 0.1, part(0.04, 0.045)), (0.1, 0.5, part(0.2, 0.19)), (0.5, 1.0, part(0.6, 0.58, 0.05))],
        "times": [("2024-05-01", "2024-06-29", part(0.1, 0.11))],
        "model": {"mondays": 50, "calls": 1500, "followed": 600, "new_per_monday": 8.0, "cancellations": 80},
        "caught": 60, "days": [0, 0, 10, *[0] * 37, 50, *[0] * 20], "above_rule": estimate(0.1, 0.02), "seed": 7,
        "segments": {},
    } | changes  # fmt: skip
    calls = told["model"] | {"caught": told["caught"], "days": told["days"]}
    against = {SILENCE: told["silence"], LIGHTGBM: told["batch"], STUMPS: told["stumps"]}
    named = ("left", "stayed", "accounts", "churners", "mean_risk", "roc_auc", "gap")
    judged = {name: told[name] for name in named} | {
        "first_day": "2024-03-26",
        "last_day": "2025-04-24",
        "examples": 10_000,
        "against": {name: value for name, value in against.items() if value is not None},
        "log_loss_against": {} if told["batch"] is None else {LIGHTGBM: told["batch_loss"]},
        "bands": [{"risk_low": low, "risk_high": high} | each for low, high, each in told["bands"]],
        "times": [{"first_day": first, "last_day": last} | each for first, last, each in told["times"]],
    }
    lists = {"model": calls, "rule": calls | {"followed": calls["followed"] * 2 // 3, "caught": told["caught"] // 2}}
    seed = {} if told["seed"] is None else {"seed": told["seed"]}
    return {
        "world": {"scenario": "steady"} | seed, "horizon_days": 60, "second_month": None,
        "scorers": {"default": {"segments": told["segments"]}},
        "runs": {
            "default": {"judgement": judged, "calls": lists | {"model_above_rule": told["above_rule"]}}
            | {"second_month": told["second_month"]}
        },
    }  # fmt: skip


def of(**changes: Any) -> dict[str, Any]:
    return verdict(Pool([world(**changes)], "default"))


def test_a_good_model_is_good_enough_and_its_verdict_says_why() -> None:
    found = of()
    assert (found["grade"], found["headline"]) == ("act", "Good enough to act on.")
    ranking = " ".join(found["ranking"])
    assert "82% of all cases (ROC-AUC 0.820, 95% interval 0.800 to 0.840; chance is 0.5)" in ranking
    assert "better than ordering by days since the last activity, longest first, with 0.740" in ranking
    assert "better than LightGBM refitted every 28 days, with 0.790" in ranking
    assert found["probabilities"] == [
        "On the whole the percentages add up: 10.1% were expected to leave within 60 days, 10.0% did."
    ]
    assert found["bands"][2]["given"] == "50% and more"
    assert found["bands"][2]["left_low"] == pytest.approx(0.58 - 1.96 * 0.05, abs=1e-4)
    calls = " ".join(found["calls"])
    assert "riskiest 10% are 30 accounts, 8 of them not on the list of the week before" in calls
    assert (
        "40% of those on the list left within 60 days; of all accounts, 10%; of a list of the longest silent, 27%"
        in calls
    )
    assert "Of 80 cancellations, 75% (65% to 83%) had been on a list" in calls
    assert "Half of these were on it 40 days ahead or more. At least 7 days ahead: 62% of all" in calls
    basis = " ".join(found["basis"])
    assert "10,000 risks of 300 accounts, one a week each from 2024-03-26 to 2025-04-24; 90 accounts left" in basis
    assert "stored before its outcome could be known" in basis


@pytest.mark.parametrize(
    ("grade", "changes"),
    [
        ("nobody", {"left": 0, "churners": 0, "roc_auc": None, "silence": None, "batch": None}),
        ("too_few", {"left": 29}),
        ("too_few", {"stayed": 29}),
        ("too_few", {"roc_auc": None}),
        ("chance", {"roc_auc": estimate(0.53, 0.02)}),
        ("worse_than_rule", {"silence": estimate(-0.05)}),
        ("as_rule", {"silence": estimate(0.015)}),
        ("as_rule", {"silence": estimate(0.0, 0.0)}),
        ("rank_only", {"gap": estimate(0.05), "mean_risk": 0.05}),
        ("act", {"gap": estimate(0.05, 0.03), "mean_risk": 0.05}),  # may be chance
        ("act", {"gap": estimate(0.005, 0.001), "mean_risk": 0.095}),  # certain, and does not matter
        ("rank_only", {"bands": [(0.5, 1.0, part(0.66, 0.38, 0.07))]}),
        ("act", {"bands": [(0.5, 1.0, part(0.66, 0.38, 0.07, accounts=19))]}),
        ("act", {"bands": [(0.5, 1.0, part(0.66, 0.48, 0.07))]}),
        ("rank_only", {"times": [("2024-05-01", "2024-06-29", part(0.1, 0.2))]}),
    ],
)
def test_the_grade(grade: str, changes: dict[str, Any]) -> None:
    found = of(**changes)
    assert found["grade"] == grade
    if grade not in {"too_few", "rank_only"}:
        assert found["headline"] == HEADLINES[grade]
    assert found["limits"]


def test_nobody_left() -> None:
    found = of(
        left=0, churners=0, roc_auc=None, silence=None, batch=None, gap=estimate(-0.1, 0.0), above_rule=estimate(0, 0),
        model={"mondays": 50, "calls": 1500, "followed": 0, "new_per_monday": 8.0, "cancellations": 0}, caught=0,
        days=[0] * 61,
    )  # fmt: skip
    assert found["ranking"] == ["How well it ranks is unknown: that takes accounts that left and accounts that stayed."]
    assert found["probabilities"] == [
        "Whether the percentages are right is unknown: 10.1% were expected to leave, nobody did."
    ]
    assert "Nobody left whose 60 days before were all judged" in found["calls"][1]
    assert found["limits"][0].startswith("Any decision that rests on these scores alone")


def test_few_outcomes_are_named_and_nothing_is_claimed_of_the_percentages() -> None:
    found = of(left=12, gap=estimate(0.05), mean_risk=0.05)
    assert found["headline"].startswith("Too early to say. Only 12 of 300 accounts left; with fewer than 30")
    assert "These are too few to judge" in found["probabilities"][0]


def test_a_rule_that_is_as_good_is_said_to_be() -> None:
    found = of(silence=estimate(0.01))
    assert "neither better nor worse, for all one can tell, than ordering by days" in " ".join(found["ranking"])
    assert "Replacing a rule that you have" in found["limits"][0]
    worse = of(silence=estimate(-0.05))
    assert "On the same scores this is worse than ordering by days" in " ".join(worse["ranking"])
    assert "Deciding whom to call: go by who has been silent longest" in worse["limits"][0]


@pytest.mark.parametrize(
    ("above", "said"),
    [((0.02, 0.02), "does as well, as far as these"), ((-0.1, 0.02), "does better"), ((0.1, 0.02), "")],
)
def test_the_headline_says_whether_a_list_by_the_rule_would_do(above: tuple[float, float], said: str) -> None:
    headline = of(above_rule=estimate(*above))["headline"]
    assert ("To fill a list of the riskiest 10%" in headline) is bool(said)
    assert said in headline


def test_wrong_percentages_are_named() -> None:
    off = of(gap=estimate(-0.05), mean_risk=0.15)
    assert off["headline"] == HEADLINES["rank_only"]
    assert off["probabilities"][0].startswith("On the whole the percentages are too high by 50%: 15.0% were expected")
    low = of(gap=estimate(0.05), mean_risk=0.05)
    assert low["probabilities"][0].startswith("On the whole the percentages are too low by 50%")
    parts = of(
        bands=[(0.0, 0.1, part(0.04, 0.04)), (0.5, 1.0, part(0.66, 0.38, 0.07))],
        times=[("2024-05-01", "2024-06-29", part(0.1, 0.2)), ("2024-06-30", "2024-08-28", part(0.1, 0.1))],
    )
    assert "those of 50% and more are too high, at times all were off" in parts["headline"]
    assert parts["probabilities"][1:] == [
        "Too high in part: of those given 50% and more (66% on average), 38% left.",
        "Off in 1 of 2 times of 60 days: 2024-05-01 to 2024-06-29 too low, 10% for 20%.",
    ]
    assert any(limit.startswith("Adding up revenue at risk") for limit in parts["limits"])
    unsure = of(gap=estimate(0.05, 0.03), mean_risk=0.05)
    assert "not shown to be wrong, but these outcomes are too few" in unsure["probabilities"][0]


def test_what_it_is_not_good_enough_for() -> None:
    limits = of()["limits"]
    assert limits[0] == "Being sure of one account: of ten on the list about 6 would have stayed anyway."
    assert limits[1] == "Catching everybody: 25% of those that left had not been on the list."
    assert "this company is simulated" in limits[-1]
    assert not any("simulated" in limit for limit in of(seed=None)["limits"])
    segments = {"before": {"roc_auc": 0.82}, "after_60d": {"roc_auc": 0.75}}
    changed = of(batch=estimate(-0.03), segments=segments, days=[0, 0, 50, *[0] * 37, 10, *[0] * 20])["limits"]
    assert "Getting the most out of these features: a model refitted monthly ranks better by 0.030." in changed
    assert "The 60 days after a change such as the one here: ROC-AUC 0.820 before, 0.750 in them." in changed
    assert "Measures that take weeks: half of those caught first came on the list 2 days ahead." in changed


def test_a_log_that_is_too_short_for_a_list_or_for_lightgbm() -> None:
    none = {"mondays": 0, "calls": 0, "followed": 0, "new_per_monday": None, "cancellations": 0}
    found = of(model=none, caught=0, days=[0] * 61, above_rule=None, batch=None)
    assert found["calls"] == ["What calling the riskiest would have met is unknown: no list is old enough."]
    assert found["ranking"][-1].startswith("There is no comparison with LightGBM")


def test_in_short_it_is_held_against_the_best_batch_model() -> None:
    found = of()["in_short"]
    assert found == [
        "It ranks accounts better than the best batch model that we fitted anew every month (LightGBM): of one account"
        " that left and one that stayed, it put the one that left first 82 times in 100, the batch model 79 times in"
        " 100.",
        "Its percentages are closer to what happened than those of the best one (LightGBM).",
        "It ranks better than a list of who has been silent longest, which needs no model and puts the one that left"
        " first 74 times in 100.",
    ]
    other = of(stumps=estimate(-0.02, 0.005), batch_loss=estimate(0.01, 0.001))
    assert "worse than the best batch model that we fitted anew every month (trees of depth 1)" in other["in_short"][0]
    assert "the batch model 84 times" in other["in_short"][0]
    assert other["in_short"][1].startswith("Its percentages are further from what happened than")
    assert any("a model refitted monthly ranks better by 0.020" in limit for limit in other["limits"])
    alike = of(batch=estimate(0.01), batch_loss=estimate(0.001, 0.001), silence=estimate(-0.01))
    assert alike["in_short"][0].startswith("It ranks accounts as well as the best batch model")
    assert alike["in_short"][1].startswith("Its percentages are as close to what happened as those")
    assert alike["in_short"][2].startswith("It ranks no better than a list")
    assert of(batch=None)["in_short"][0].startswith("No batch model could be fitted")


def test_the_verdict_is_on_all_from_the_second_month_if_the_time_of_batch_models_has_too_few_outcomes() -> None:
    [whole] = world()["runs"].values()
    early = whole["judgement"] | {"first_day": "2024-01-31", "examples": 12_000, "against": {SILENCE: estimate(0.05)}}
    second = {"judgement": early | {"log_loss_against": {}}, "calls": whole["calls"]}
    [few] = verdicts([world(left=12, second_month=second)], ["default"])
    assert few["grade"] == "act"
    basis = " ".join(few["basis"])
    assert "12,000 risks of 300 accounts, one a week each from 2024-01-31" in basis
    assert "All from the second month on is judged" in basis
    assert few["in_short"][0].startswith("No batch model could be fitted")
    [enough] = verdicts([world(second_month=second)], ["default"])
    assert "10,000 risks" in enough["basis"][0]
    [too_few] = verdicts([world(left=12, second_month=second | {"judgement": early | {"left": 29}})], ["default"])
    assert too_few["grade"] == "too_few"


def test_worlds_of_a_scenario_are_pooled() -> None:
    other = world(left=30, roc_auc=estimate(0.72, 0.03), silence=None, churners=3000)
    [found] = verdicts([world(), other], ["default"])
    assert (found["scenario"], found["run"], found["worlds"]) == ("steady", "default", 2)
    assert "ROC-AUC 0.770" in found["ranking"][0]
    assert f"{0.77 - 1.96 * math.hypot(0.01, 0.03) / 2:.3f} to" in found["ranking"][0]
    assert "with 0.690: the difference is +0.080" in found["ranking"][1]
    assert "20.0% did" in found["probabilities"][0]
    assert "20,000 risks of 600 accounts, in 2 companies" in found["basis"][0]
    assert found["bands"][0]["examples"] == 1000
