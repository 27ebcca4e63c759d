"""The figures of `c360 evaluate` against plain counting on small worlds."""

from __future__ import annotations

from datetime import date
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from c360_stream.features.definitions import FEATURES
from c360_stream.features.emissions import TickRows
from c360_stream.labels.ledger import KnownLabels
from c360_stream.monitoring.profit import Campaign
from c360_stream.monitoring.quality import roc_auc
from c360_stream.scoring.tiers import HIGH, NO_TIER
from c360_stream.tools.evaluate.baselines import baselines
from c360_stream.tools.evaluate.criteria import criteria
from c360_stream.tools.evaluate.detectors import detector_row
from c360_stream.tools.evaluate.figures import Judged, expected_roc_auc, recovery, scorer_figures
from c360_stream.tools.evaluate.floor import floor
from c360_stream.tools.evaluate.lead import lead_time
from c360_stream.tools.evaluate.ledger import Matrices
from c360_stream.tools.evaluate.log_replay import ReplayedTick
from c360_stream.tools.evaluate.matured import NEVER, Examples, day_of
from c360_stream.tools.evaluate.maturity import LabelCounts
from c360_stream.tools.evaluate.refits import WarmUp, boosted, refitted, schedule
from tests.unit.features.deliveries import tick_labels

HORIZON = 60
CAMPAIGN = Campaign()
START = day_of(date(2024, 1, 1))


def judged(seed: int, *, days: int = 300, a_day: int = 20, change: int | None = None) -> tuple[Judged, Any]:
    """Examples with true risks, and the generator that drew them."""
    rng = np.random.default_rng(seed)
    as_of = START + np.repeat(np.arange(days), a_day)
    true_risk = rng.beta(1, 6, len(as_of))
    churned = rng.random(len(as_of)) < true_risk
    mrr = rng.uniform(1_000, 50_000, len(as_of))
    return Judged(
        as_of_day=as_of,
        churned=churned,
        true_risk=true_risk,
        mrr_cents=mrr,
        account=np.tile(np.arange(a_day), days),
        first_day=START,
        last_day=START + days - 1,
        change=change,
        horizon_days=HORIZON,
    ), rng


@pytest.mark.parametrize("seed", range(5))
def test_expected_roc_auc_counts_every_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true_risk = rng.random(12)
    risk = rng.integers(0, 4, 12) / 4  # with ties
    right = pairs = 0.0
    for i, j in product(range(12), repeat=2):
        if i != j:
            weight = true_risk[i] * (1 - true_risk[j])
            pairs += weight
            right += weight * (1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
    assert expected_roc_auc(true_risk, risk) == pytest.approx(right / pairs)


def test_expected_roc_auc_is_the_mean_over_draws() -> None:
    rng = np.random.default_rng(0)
    true_risk, risk = rng.beta(1, 5, 400), rng.random(400)
    drawn = [roc_auc(rng.random(400) < true_risk, risk) for _ in range(300)]
    assert expected_roc_auc(true_risk, risk) == pytest.approx(np.mean(drawn), abs=0.005)


def test_blocks_are_counted_from_the_change_and_say_whether_they_are_whole() -> None:
    world, rng = judged(1, days=200, change=START + 100)
    risk = rng.random(len(world.churned))
    found = scorer_figures(world, risk, CAMPAIGN)
    shown = [(block["block"], block["first_day"], block["last_day"], block["whole"]) for block in found["blocks"]]
    assert shown == [
        (-2, "2024-01-01", "2024-02-09", False),
        (-1, "2024-02-10", "2024-04-09", True),
        (0, "2024-04-10", "2024-06-08", True),
        (1, "2024-06-09", "2024-07-18", False),
    ]
    assert sum(block["examples"] for block in found["blocks"]) == found["segments"]["all"]["examples"] == 4000
    rows = slice(40 * 20, 100 * 20)
    assert world.true_risk is not None
    block = found["blocks"][1]
    assert block["churners"] == world.churned[rows].sum()
    assert block["roc_auc"] == roc_auc(world.churned[rows], risk[rows])
    assert block["calibration_ratio"] == pytest.approx(risk[rows].mean() / world.churned[rows].mean())
    assert block["calibration_ratio_true"] == pytest.approx(risk[rows].mean() / world.true_risk[rows].mean())


def test_segments_before_after_and_late() -> None:
    world, rng = judged(2, change=START + 150)
    segments = scorer_figures(world, rng.random(len(world.churned)), CAMPAIGN)["segments"]
    days = {name: (one["first_day"], one["last_day"], one["examples"]) for name, one in segments.items()}
    assert days == {
        "all": ("2024-01-01", "2024-10-26", 6000),
        "before": ("2024-01-01", "2024-03-31", 91 * 20),  # the horizon of its last as-of ends with the change
        "after_60d": ("2024-05-30", "2024-07-28", 60 * 20),
        "late": ("2024-07-29", "2024-10-26", 90 * 20),
    }


def test_without_a_change_there_is_one_segment_and_blocks_begin_with_the_first_day() -> None:
    world, rng = judged(3, days=130)
    found = scorer_figures(world, rng.random(len(world.churned)), CAMPAIGN)
    assert list(found["segments"]) == ["all"]
    assert [(block["block"], block["whole"]) for block in found["blocks"]] == [(0, True), (1, True), (2, False)]


def test_curves_count_from_the_top() -> None:
    world, rng = judged(4, days=30)
    risk = rng.integers(0, 50, len(world.churned)) / 50
    found = scorer_figures(world, risk, CAMPAIGN)
    possible = set()
    for cut in np.unique(risk):
        called = risk >= cut
        hits = int((world.churned & called).sum())
        possible.add((called.mean(), hits / world.churned.sum()))
        assert called.sum() >= hits
    assert found["gains"][0] == [0.0, 0.0]
    assert found["gains"][-1] == [1.0, 1.0]
    assert {(x, y) for x, y in found["gains"][1:]} <= possible
    for recall, precision in found["precision_recall"]:
        cut = next(
            cut
            for cut in np.unique(risk)[::-1]
            if (world.churned & (risk >= cut)).sum() >= recall * world.churned.sum() - 1e-9
        )
        assert precision == pytest.approx((world.churned & (risk >= cut)).sum() / (risk >= cut).sum())


@pytest.mark.parametrize("blind_days", [0, 30, 75])
def test_recovery_is_the_day_from_which_on_the_run_is_as_good_as_the_best(blind_days: int) -> None:
    change = START + 150
    world, rng = judged(5, a_day=40, change=change)
    best = world.true_risk
    assert best is not None
    blind = (world.as_of_day >= change) & (world.as_of_day < change + blind_days)
    risk = np.where(blind, rng.random(len(best)), best)
    found = recovery(world, risk, best)
    if not blind_days:
        assert found["recovery_days"] == found["expected_recovery_days"] == 0
        return
    # Once the last blind day has left the 28 days, the two are equal; a few blind days more or less do not show.
    assert blind_days <= found["expected_recovery_days"] <= blind_days + 28
    first_seen = change + found["expected_recovery_days"]
    rows = world.rows(first_seen - 27, first_seen)
    assert expected_roc_auc(best[rows], risk[rows]) >= 0.985 * expected_roc_auc(best[rows], best[rows])


def test_a_run_that_never_gets_there() -> None:
    world, rng = judged(6, change=START + 150)
    assert world.true_risk is not None
    found = recovery(world, rng.random(len(world.churned)), world.true_risk)
    assert found["recovery_days"] is None
    assert found["expected_recovery_days"] is None


@pytest.mark.parametrize("change", [START - 5, START + 400])
def test_there_is_no_recovery_from_a_change_that_was_not_judged(change: int) -> None:
    world, _ = judged(7, change=change)
    assert world.true_risk is not None
    assert recovery(world, world.true_risk, world.true_risk) == {}


def told_world(
    seed: int, blocks: list[tuple[int, bool, int, float, float]], recovery_days: int | None
) -> dict[str, Any]:
    """The figures of a world, as far as the criteria look: blocks are number, whole, churners, mean and true risk."""
    shown = [
        {"block": number, "whole": whole, "examples": 1000, "churners": churners, "mean_risk": mean}
        | {"mean_true_risk": true}
        for number, whole, churners, mean, true in blocks
    ]
    back = {"recovery_days": recovery_days, "expected_recovery_days": 20}
    alarms = {"concept_delay_days": 70 + seed, "promoted_after_change": []}
    contest = {"fast": [{"day": "2024-08-01", "gain": 0.01, "gain_t": 3.5, "log_loss": 0.3}]}
    return {
        "world": {"scenario": "price_increase", "seed": seed},
        "change": "2024-07-01",
        "scorers": {"default": {"segments": {"all": {"ece": 0.01 * seed}}, "blocks": shown}},
        "runs": {"default": {"recovery": back, "alarms": alarms, "contest": contest}},
    }


def test_criteria_pool_the_blocks_of_all_worlds_and_hold_each_limit() -> None:
    worlds = [
        told_world(1, [(-2, True, 1, 0.5, 0.5), (-1, True, 80, 0.10, 0.10), (0, False, 1, 0.9, 0.1)], 10),
        told_world(2, [(-2, True, 1, 0.5, 0.5), (-1, True, 120, 0.12, 0.10), (0, True, 100, 0.1, 0.1)], None),
    ]
    found = {row["name"]: row for row in criteria(worlds, "default")}
    # The first block and one that is not whole do not count: block -1 is (100 + 120) over 200, and over (100 + 100).
    assert found["calibration_ratio"]["value"] == pytest.approx(1.1)
    assert found["calibration_ratio_true"]["value"] == pytest.approx(1.1)
    assert not found["calibration_ratio"]["met"]
    assert (found["ece"]["value"], found["ece"]["met"]) == (pytest.approx(0.015), True)
    assert (found["recovery_days"]["value"], found["recovery_days"]["met"]) == (None, False)
    assert (found["expected_recovery_days"]["value"], found["expected_recovery_days"]["met"]) == (20, True)
    assert (found["concept_delay_days"]["value"], found["concept_delay_days"]["met"]) == (72, True)
    assert (found["better_challengers_not_promoted"]["value"], found["better_challengers_not_promoted"]["met"]) == (
        2,
        False,
    )
    assert "roc_auc_against_lightgbm" not in found, "nothing is known of it"


def test_criteria_hold_a_run_against_the_better_peer() -> None:
    def scorer(roc_auc: float, log_loss: float) -> dict[str, Any]:
        return {"segments": {"all": {"roc_auc": roc_auc, "log_loss": log_loss}}, "blocks": []}

    peers = {"lightgbm-28d": scorer(0.80, 0.30), "stumps-28d": scorer(0.82, 0.32)}
    scorers = {"default": scorer(0.81, 0.29)} | peers
    run = {"recovery": {}, "alarms": {"per_year": 1.0}}
    steady = {"world": {"scenario": "steady"}, "change": None, "scorers": scorers, "runs": {"default": run}}
    found = {row["name"]: (row["value"], row["met"]) for row in criteria([steady], "default")}
    assert found["roc_auc_against_lightgbm"] == (pytest.approx(0.01), True)
    assert found["roc_auc_share_of_best_peer"] == (pytest.approx(0.81 / 0.82), False)
    assert found["log_loss_against_best_peer"] == (pytest.approx(-0.01), True)


@pytest.mark.parametrize("seed", range(4))
def test_lead_time_against_counting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ticks, accounts, horizon, first = 80, 15, 10, 12
    tier = rng.choice([NO_TIER, 0, 1, 2, 3], p=[0.05, 0.6, 0.2, 0.1, 0.05], size=(ticks, accounts)).astype(np.int8)
    over = tier >= HIGH
    gone = rng.random((ticks, accounts)) < 0.03
    mrr = np.where(rng.random(accounts) < 0.2, np.nan, rng.integers(1, 100, accounts) * 1000.0)
    found = lead_time(
        Matrices(START, [f"a{i}" for i in range(accounts)], tier, over, gone, mrr), START + first, horizon
    )

    leads, revenue = [], []
    for tick, account in product(range(ticks), range(accounts)):
        if gone[tick, account] and tick >= first + horizon + 1:
            flags = [t for t in range(tick - 1 - horizon, tick) if over[t, account]]
            leads.append(tick - 1 - flags[0] if flags else None)
            revenue.append(0.0 if np.isnan(mrr[account]) else mrr[account])
    flagged = [lead for lead in leads if lead is not None]
    assert found["cancellations"] == len(leads) > 0
    assert found["never"] == leads.count(None)
    assert found["days"] == [flagged.count(days) for days in range(horizon + 1)]
    assert found["share_flagged_7d"] == pytest.approx(sum(lead >= 7 for lead in flagged) / len(leads))

    false = entries = scored = 0
    for tick, account in product(range(first, ticks - horizon), range(accounts)):
        scored += tier[tick, account] != NO_TIER
        if tier[tick, account] >= HIGH and not tier[tick - 1, account] >= HIGH:
            entries += 1
            false += not gone[tick + 1 : tick + 1 + horizon, account].any()
    assert (found["entries"], found["false_alarms"]) == (entries, false)
    assert found["account_months"] == pytest.approx(scored / 30.4375)


def test_a_cancellation_flagged_on_the_last_day_of_the_horizon_has_the_longest_lead() -> None:
    over = np.zeros((40, 1), np.bool_)
    gone = np.zeros((40, 1), np.bool_)
    over[20, 0] = gone[31, 0] = True  # flagged at tick 20, cancelled in day 30
    tier = np.where(over, HIGH, 0).astype(np.int8)
    found = lead_time(Matrices(START, ["a"], tier, over, gone, np.array([500.0])), START, 10)
    assert found["days"] == [0] * 10 + [1]


def known_tick(day: int, scored: int, known: list[tuple[int, int, bool]]) -> ReplayedTick:
    """A tick of one shard: accounts scored, and labels that became known (account, as-of, churned)."""
    account, as_of, churned = ([row[i] for row in known] for i in range(3))
    labels = KnownLabels(np.array(account, np.int32), np.array(as_of, np.int64), np.array(churned, np.bool_))
    none = np.zeros(0, np.int32)
    accounts, features = np.arange(scored, dtype=np.int32), np.zeros((scored, len(FEATURES)))
    rows = TickRows(
        shard=0, day=day, account=accounts, new_ids=[], features=features, gone=none, labels=tick_labels(labels)
    )
    return ReplayedTick(day, [rows], [], [])


def test_label_counts() -> None:
    counts = LabelCounts(horizon_days=7)
    known: dict[int, list[tuple[int, int, bool]]] = {
        3: [(0, 0, True), (0, 1, True), (0, 2, True)],  # account 0 cancelled in day 2: its three scores are known
        7: [(1, 0, False), (2, 0, False)],
        9: [(1, 0, True)],  # and account 1 had cancelled in day 6, which was learnt late
    }
    for day in range(15):
        counts.take(known_tick(day, 3 if day < 3 else 2, known.get(day, [])))
    found = counts.figures()
    # Of 3 + 3 + 3 + 2 * 5 scores whose horizon has passed, account 0's are known after 3, 2 and 1 days.
    assert found["by_age"] == pytest.approx([0, 1 / 19, 2 / 19, 3 / 19, 3 / 19, 3 / 19, 3 / 19, 1.0])
    assert found["after"] == {"7": 1.0, "30": 1.0, "60": 1.0}
    at = {row["day"]: row for row in found["through_time"]}
    assert at["1970-01-08"] == {"day": "1970-01-08", "pending": 14, "provisional": 2, "matured": 3, "corrected": 0}
    assert at["1970-01-15"]["corrected"] == 1


def examples(seed: int, weeks: int = 30, accounts: int = 60) -> Examples:
    """Weekly examples whose true risk follows the first feature."""
    rng = np.random.default_rng(seed)
    n = weeks * accounts
    features = rng.normal(size=(n, len(FEATURES)))
    true_risk = 1 / (1 + np.exp(2.0 - 1.5 * features[:, 0]))
    ids = [f"a{i:03}" for i in range(accounts)] * weeks
    as_of = START + np.repeat(np.arange(weeks) * 7, accounts)
    churned = rng.random(n) < true_risk
    return Examples(
        as_of_day=as_of,
        ids=ids,
        features=features,
        churned=churned,
        corrected_day=np.full(n, NEVER, np.int64),
        risk={},
        true_risk=true_risk,
    )


def lightgbm(given: Examples) -> tuple[NDArray[np.float64], list[int]]:
    refits = schedule(given, START, HORIZON, WarmUp(100, 10))
    return refitted(given.features, refits, boosted).risk, [refit.day for refit in refits]


def test_lightgbm_is_refitted_every_28_days_and_knows_no_outcome_too_early() -> None:
    given = examples(1)
    risk, fits = lightgbm(given)
    assert fits == [START + 28 * k for k in range(3, 8)]
    assert np.isnan(risk[given.as_of_day < fits[0]]).all()
    assert not np.isnan(risk[given.as_of_day >= fits[0]]).any()
    assert roc_auc(given.churned[given.as_of_day >= fits[0]], risk[given.as_of_day >= fits[0]]) > 0.65
    # Other outcomes that became known after a fit change nothing before the next one.
    other = examples(1)
    unknown = other.as_of_day + HORIZON > fits[1]
    other.churned[unknown] = ~other.churned[unknown]
    changed, _ = lightgbm(other)
    until_next = (given.as_of_day >= fits[0]) & (given.as_of_day < fits[2])
    assert np.array_equal(risk[until_next], changed[until_next])
    assert not np.array_equal(risk[given.as_of_day >= fits[-1]], changed[given.as_of_day >= fits[-1]])


def test_a_late_correction_is_not_known_before_its_day() -> None:
    given, corrected = examples(2), examples(2)
    row = int(np.flatnonzero(~corrected.churned)[0])
    corrected.churned[row] = True
    corrected.corrected_day[row] = START + 28 * 4 + 1
    before, after = lightgbm(given)[0], lightgbm(corrected)[0]
    early = (given.as_of_day >= START + 84) & (given.as_of_day < START + 28 * 5)
    assert np.array_equal(before[early], after[early])


def test_the_floor_of_an_account_does_not_know_its_own_truth() -> None:
    given, other = examples(3), examples(3)
    assert other.true_risk is not None
    mine = np.array([account == "a007" for account in other.ids])
    other.true_risk[mine] = 1 - other.true_risk[mine]
    (risk, kinds), (changed, _) = floor(given, None), floor(other, None)
    assert set(kinds) == {"before"}
    assert np.array_equal(risk[mine], changed[mine])
    assert given.true_risk is not None
    assert expected_roc_auc(given.true_risk, risk) > 0.98 * expected_roc_auc(given.true_risk, given.true_risk)


def test_the_floor_is_fitted_anew_after_the_change() -> None:
    given = examples(4)
    change = START + 15 * 7
    after = given.as_of_day >= change
    assert given.true_risk is not None
    given.true_risk[after] = 1 - given.true_risk[after]  # the feature means the contrary now
    risk, kinds = floor(given, change)
    assert list(kinds) == ["before", "after"]
    for rows in (~after, after):
        assert expected_roc_auc(given.true_risk[rows], risk[rows]) > 0.75


def test_the_base_rate_knows_what_has_matured() -> None:
    given = examples(5)
    rate = baselines(given, HORIZON, 0.08)["base-rate"]
    row = len(given) - 1
    known = given.as_of_day + HORIZON <= given.as_of_day[row]
    assert rate[0] == 0.08
    assert rate[row] == pytest.approx((given.churned[known].sum() + 8) / (known.sum() + 100))


def test_detections_before_a_change_are_false_and_the_first_after_it_is_the_delay() -> None:
    days = [START + 10, START + 100, START + 230, START + 250]
    assert detector_row(days, START, START + 365, START + 200) == {
        "detections": 4,
        "false_per_year": pytest.approx(2 / (200 / 365.25)),
        "delay_days": 30,
    }
    steady = detector_row(days, START, START + 365, None)
    assert steady["false_per_year"] == pytest.approx(4 / (365 / 365.25))
    assert steady["delay_days"] is None
    assert detector_row([], START, START + 365, START + 200)["delay_days"] is None
